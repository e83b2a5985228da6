// Front by four processes that accept on one socket, a thread for each connection. Usage: prefork PORT BACKPORT
//
// Ends with its workers at SIGTERM. One that dies is not replaced.

#include <signal.h>
#include <sys/wait.h>

#include "wire.h"

enum { WORKERS = 4 };

static const char *back_port;
static pid_t workers[WORKERS];

static void *connection(void *argument) {
    int client = (int)(intptr_t)argument, back = connected(back_port);
    struct message *message = malloc(sizeof *message);
    while (receive(client, message)) {
        char query[256], call[512];
        if (sscanf(message->bytes, "GET /work?%255[^ ]", query) != 1) break;
        int size = snprintf(call, sizeof call, "GET /leaf?%s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", query, back_port);
        send_all(back, call, (size_t)size);
        if (!receive(back, message)) break;
        respond(client, message->bytes + message->head);
    }
    free(message);
    close(back);
    close(client);
    return NULL;
}

static void work(int listener) {
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, connection, (void *)(intptr_t)fd)) _exit(1);
        pthread_detach(thread);
    }
}

static void end(int number) {
    for (int i = 0; i < WORKERS; i++) kill(workers[i], number);
    while (wait(NULL) > 0) continue;
    _exit(0);
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    back_port = arguments[2];
    int listener = listening(arguments[1]);
    for (int i = 0; i < WORKERS; i++)
        if ((workers[i] = fork()) == 0) work(listener);
    signal(SIGTERM, end);
    for (;;) pause();
}
