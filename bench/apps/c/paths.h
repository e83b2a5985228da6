// What the C programs share: the paths that every front answers, and what each of them means.
#ifndef PATHS_H
#define PATHS_H

#include "../../../tests/targets/wire.h"

// Rounds of the loop below that take about 1 ms of CPU time: calibrated by `python bench/apps.py`, see there.
enum { MILLISECOND = 920000 };

struct path {
    const char *name;
    const char *call;  // the back's path, or NULL: no call
    int rounds;
};

static const struct path paths[] = {
    {"/hello", NULL, 0},
    {"/work", "/leaf", 0},
    {"/cpu", "/leaf", MILLISECOND},
    {"/io", "/wait", 0},
    {"/mixed", "/wait", MILLISECOND / 2},
};

// Whether all was sent: a peer that has gone ends its own connection and nothing else.
static inline int answered(int fd, const char *type, const char *body) {
    char out[1024];
    int size = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", type,
                        strlen(body), body);
    return size < (int)sizeof out && send(fd, out, (size_t)size, MSG_NOSIGNAL) == size;
}

#endif
