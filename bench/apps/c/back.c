// Back: tells each request's id and the traceparent it came with; /wait takes 2 to 10 ms for it. Usage: back PORT.

#include <errno.h>
#include <time.h>

#include "paths.h"

static void wait_for(unsigned long long id) {
    struct timespec left = {0, (long)(2 + id * 7919 % 9) * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
}

static void *connection(void *argument) {
    int client = (int)(intptr_t)argument;
    struct message *message = malloc(sizeof *message);
    while (receive(client, message)) {
        char path[16] = "", body[256];
        unsigned long long id = 0;
        sscanf(message->bytes, "GET /%15[a-z]?id=%llu", path, &id);
        if (!strcmp(path, "wait")) wait_for(id);
        const char *context = header(message, "traceparent:");
        int size = context ? (int)strspn(context, "0123456789abcdef-") : 0;
        snprintf(body, sizeof body, "{\"id\": \"%llu\", \"traceparent\": \"%.*s\"}", id, size < 64 ? size : 64,
                 context ? context : "");
        if (!answered(client, "application/json", body) || is_last(message)) break;
    }
    free(message);
    close(client);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    serve(arguments[1], connection);
}
