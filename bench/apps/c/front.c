// Front: a thread for each connection, which keeps one socket to the back. Usage: front PORT BACKPORT.

#include "paths.h"

static const char *back_port;
static volatile uint32_t sink;

// The same loop in each language: a linear congruential generator, in which every round needs the one before.
static void spin(int rounds) {
    uint32_t value = 1;
    for (int i = 0; i < rounds; i++) value = value * 1664525u + 1013904223u;
    sink = value;
}

// Asks the back; its answer is in the message then. Returns 0 if there is none.
static int asked(int back, const char *path, const char *query, struct message *message) {
    char call[512];
    int size = snprintf(call, sizeof call, "GET %s?%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", path, query, back_port);
    return send(back, call, (size_t)size, MSG_NOSIGNAL) == size && receive(back, message);
}

static int worked(int client, int back, const struct path *path, const char *query, struct message *message) {
    spin(path->rounds);
    if (!path->call) return answered(client, "text/plain", "hello");
    return asked(back, path->call, query, message) &&
           answered(client, "application/json", message->bytes + message->head);
}

static const struct path *found(const char *name) {
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (!strcmp(name, paths[i].name)) return &paths[i];
    return NULL;
}

static void *connection(void *argument) {
    int client = (int)(intptr_t)argument, back = connected(back_port);
    struct message *message = malloc(sizeof *message);
    while (receive(client, message)) {
        char name[32] = "", query[256] = "";
        sscanf(message->bytes, "GET %31[^? ]?%255[^ ]", name, query);
        const struct path *path = found(name);
        int last = is_last(message);
        if (!path || !worked(client, back, path, query, message) || last) break;
    }
    free(message);
    close(back);
    close(client);
    return NULL;
}

int main(int count, char **arguments) {
    if (count == 2) {  // calibration: front ROUNDS
        spin(atoi(arguments[1]));
        return 0;
    }
    if (count != 3) return 2;
    back_port = arguments[2];
    serve(arguments[1], connection);
}
