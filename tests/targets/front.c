// Front: a thread for each connection, which keeps one plain socket to the back. Usage: front PORT BACKPORT.

#include "wire.h"

static const char *back_port;

static void *connection(void *argument) {
    int client = (int)(intptr_t)argument, back = connected(back_port);
    struct message *message = malloc(sizeof *message);
    while (receive(client, message)) {
        char query[256], call[512];
        if (sscanf(message->bytes, "GET /work?%255[^ ]", query) != 1) break;
        int size = snprintf(call, sizeof call, "GET /leaf?%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", query, back_port);
        send_all(back, call, (size_t)size);
        int last = is_last(message);
        if (!receive(back, message)) break;
        respond(client, message->bytes + message->head);
        if (last) break;
    }
    free(message);
    close(back);
    close(client);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    back_port = arguments[2];
    serve(arguments[1], connection);
}
