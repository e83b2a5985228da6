// Serves by several processes, or away from whoever started it. Usage: servers MODE PORT [FILE | USER]
//
//   prefork  four workers that accept on one socket; ends with them at SIGTERM
//   daemon   forks twice, leaves its session and output, writes its pid to FILE; the first process ends with status 3
//   drop     gives up root for USER, then serves

#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

#include "wire.h"

enum { WORKERS = 4 };

static pid_t workers[WORKERS];

static void work(int listener) {
    struct message *message = malloc(sizeof *message);
    for (;;) {
        char body[32];
        int client = accept(listener, NULL, NULL);
        if (client < 0) _exit(1);
        snprintf(body, sizeof body, "%d", getpid());
        while (receive(client, message)) {
            respond(client, body);
            if (is_last(message)) break;
        }
        close(client);
    }
}

static void end(int number) {
    for (int i = 0; i < WORKERS; i++) kill(workers[i], number);
    while (wait(NULL) > 0) continue;
    _exit(0);
}

static int prefork(const char *port) {
    int listener = listening(port);
    for (int i = 0; i < WORKERS; i++)
        if ((workers[i] = fork()) == 0) work(listener);
    signal(SIGTERM, end);
    while (pause()) continue;
    return 0;
}

static int leave(const char *port, const char *file) {
    if (fork()) return 3;
    setsid();
    if (fork()) return 0;
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) dup2(null, fd);
    int listener = listening(port);
    FILE *out = fopen(file, "we");
    if (!out) return 1;
    fprintf(out, "%d\n", getpid());
    fclose(out);
    work(listener);
    return 0;
}

static int drop(const char *port, unsigned user) {
    int listener = listening(port);
    if (setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user)) return 1;
    work(listener);
    return 0;
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    if (!strcmp(arguments[1], "prefork")) return prefork(arguments[2]);
    if (count == 4 && !strcmp(arguments[1], "daemon")) return leave(arguments[2], arguments[3]);
    if (count == 4 && !strcmp(arguments[1], "drop")) return drop(arguments[2], (unsigned)atoi(arguments[3]));
    return 2;
}
