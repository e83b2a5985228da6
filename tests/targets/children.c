// Starts children and threads in the ways there are. Usage: children MODE PORT
//
//   ask      sends a request, tells the answer's first line
//   threads  200 threads in waves, each of which asks
//   spawn    asks from a child of posix_spawn, of vfork, and of clone with shared memory
//   exec     asks by executing itself from a thread that isn't the first
//   wall     waits with __WALL for children with and without a signal at their end

#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "wire.h"

enum { WAVES = 10, THREADS = 20, STACK = 65536 };

extern char **environ;
static char *self, *port;
static int answered;

static void *ask(void *quiet) {
    char request[128], answer[4096];
    int fd = connected(port);
    int size = snprintf(request, sizeof request, "GET /asked HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", port);
    send_all(fd, request, (size_t)size);
    ssize_t got = recv(fd, answer, sizeof answer - 1, 0);
    if (got > 0) {
        answer[got] = 0;
        __sync_fetch_and_add(&answered, 1);
        if (!quiet) printf("%.*s\n", (int)strcspn(answer, "\r"), answer);
    }
    close(fd);
    return NULL;
}

static int threads(void) {
    for (int wave = 0; wave < WAVES; wave++) {
        pthread_t started[THREADS];
        for (int i = 0; i < THREADS; i++) pthread_create(&started[i], NULL, ask, &answered);
        for (int i = 0; i < THREADS; i++) pthread_join(started[i], NULL);
    }
    printf("%d answers\n", answered);
    return 0;
}

static int execute(void *unused) {
    (void)unused;
    char *arguments[] = {self, "ask", port, NULL};
    execve(self, arguments, environ);
    _exit(126);
}

static void *execute_here(void *unused) {
    execute(unused);
    return NULL;
}

static void told(const char *how, pid_t pid) {
    int status = -1;
    waitpid(pid, &status, __WALL);
    printf("%s %d\n", how, status);
    fflush(stdout);
}

static int spawn(void) {
    char *arguments[] = {self, "ask", port, NULL};
    pid_t pid = 0;
    posix_spawn(&pid, self, NULL, NULL, arguments, environ);
    told("posix_spawn", pid);
    pid = vfork();
    if (pid == 0) execve(self, arguments, environ), _exit(126);
    told("vfork", pid);
    char *stack = malloc(STACK);
    told("clone", clone(execute, stack + STACK, CLONE_VM | CLONE_FILES | SIGCHLD, NULL));
    return 0;
}

static int quit(void *status) { return (int)(intptr_t)status; }

static int wall(void) {
    static char stacks[2][STACK] __attribute__((aligned(16)));
    clone(quit, stacks[0] + STACK, CLONE_VM, (void *)5);  // no signal: only __WALL and __WCLONE see its end
    if (fork() == 0) _exit(6);
    clone(quit, stacks[1] + STACK, 0, (void *)7);
    int status, sum = 0, ended = 0;
    while (waitpid(-1, &status, __WALL) > 0) sum += WEXITSTATUS(status), ended++;
    printf("%d ended, sum %d\n", ended, sum);
    return 0;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const char *mode = arguments[1];
    self = arguments[0];
    port = arguments[2];
    if (!strcmp(mode, "ask")) return ask(NULL), answered ? 0 : 1;
    if (!strcmp(mode, "threads")) return threads();
    if (!strcmp(mode, "spawn")) return spawn();
    if (!strcmp(mode, "wall")) return wall();
    if (!strcmp(mode, "exec")) {
        pthread_t thread;
        pthread_create(&thread, NULL, execute_here, NULL);
        for (;;) pause();
    }
    return 2;
}
