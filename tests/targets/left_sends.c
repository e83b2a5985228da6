// Leaves a send that waits, by a cancelled thread or by a jump out of a handler, unmaps what it was sending, and only then
// reads the answer, in another thread. Usage: left_sends cancel|jump TIMES

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIZE (8 << 20)
#define HEAD "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n"
#define ANSWER "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n"

static int own, other;
static char *message;
static sigjmp_buf before;
static volatile int sending;

static void pair(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    own = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, size) || listen(listening, 1))
        exit(1);
    getsockname(listening, (struct sockaddr *)&address, &size);
    if (connect(own, (struct sockaddr *)&address, size))
        exit(1);
    other = accept(listening, NULL, NULL);
    close(listening);
}

static void leave(int number) {
    (void)number;
    siglongjmp(before, 1);
}

static void *send_all(void *jumps) {
    sending = 1;
    if (!jumps || !sigsetjmp(before, 1))
        send(own, message, SIZE, 0);
    sending = 2;
    while (jumps) // alive, and elsewhere
        pause();
    return NULL;
}

int main(int count, char **arguments) {
    int jumps = count > 1 && !strcmp(arguments[1], "jump"), times = count > 2 ? atoi(arguments[2]) : 1, answered = 0;
    signal(SIGUSR1, leave);
    for (int i = 0; i < times; i++) {
        char answer[200];
        pthread_t thread;
        sending = 0;
        message = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(message, HEAD, strlen(HEAD));
        pair();
        pthread_create(&thread, NULL, send_all, jumps ? &jumps : NULL);
        while (!sending)
            usleep(100);
        usleep(2000);
        if (jumps) {
            pthread_kill(thread, SIGUSR1);
            while (sending != 2)
                usleep(100);
        } else {
            pthread_cancel(thread);
            pthread_join(thread, NULL);
        }
        munmap(message, SIZE);
        if (write(other, ANSWER, strlen(ANSWER)) != (ssize_t)strlen(ANSWER))
            return 1;
        answered += read(own, answer, sizeof answer) == (ssize_t)strlen(ANSWER);
        close(own);
        close(other);
        if (jumps) {
            pthread_cancel(thread);
            pthread_join(thread, NULL);
        }
    }
    printf("%d answered\n", answered);
    return 0;
}
