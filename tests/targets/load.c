// A bounded client: so many requests over so many connections, each connection in a thread of its own, each request with
// a trace of its own. Every answer must be a 200 with the request's id. Usage: load PORT CONNECTIONS REQUESTS [FIRST]
//
// Says "begun" when each connection has got its first answer, then waits for a line; "N answered" at the end. Request n has
// the trace id n. "reconnect" as a fifth argument: after a request that "failed N" there is another connection.

#include <stdatomic.h>

#include "wire.h"

static const char *port;
static int each, first, reconnects;
static atomic_int good, bad;
static pthread_barrier_t begun, go;

static int exchanged(int fd, int id, struct message *answer) {
    char request[256], expected[64];
    int size = snprintf(request, sizeof request,
                        "GET /work?id=%d HTTP/1.1\r\nHost: a\r\ntraceparent: 00-%032x-%016x-01\r\n\r\n", id, id, id);
    if (send(fd, request, (size_t)size, MSG_NOSIGNAL) != size || !receive(fd, answer)) return 0;
    snprintf(expected, sizeof expected, "{\"id\": \"%d\"", id);
    const char *body = answer->bytes + answer->head;
    return !strncmp(answer->bytes, "HTTP/1.1 200 ", 13) && !strncmp(body, expected, strlen(expected));
}

static void *client(void *number) {
    struct message *answer = malloc(sizeof *answer);
    int fd = connected(port), id = first + (int)(intptr_t)number * each;
    for (int i = 0; i < each; i++, id++) {
        if (exchanged(fd, id, answer)) {
            good++;
        } else {
            bad++;
            printf("failed %d\n", id);
            if (!reconnects) break;
            close(fd);
            fd = connected(port);
        }
        if (i == 0) {
            pthread_barrier_wait(&begun);
            pthread_barrier_wait(&go);
        }
    }
    close(fd);
    free(answer);
    return NULL;
}

int main(int count, char **arguments) {
    if (count < 4) return 2;
    port = arguments[1];
    int threads = atoi(arguments[2]), requests = atoi(arguments[3]);
    first = count > 4 ? atoi(arguments[4]) : 1;
    reconnects = count > 5;
    each = requests / threads;
    pthread_t ids[threads];
    pthread_barrier_init(&begun, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&go, NULL, (unsigned)threads + 1);
    for (int i = 0; i < threads; i++) pthread_create(&ids[i], NULL, client, (void *)(intptr_t)i);
    pthread_barrier_wait(&begun);
    printf("begun\n");
    fflush(stdout);
    getchar();
    pthread_barrier_wait(&go);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    printf("%d answered\n", good);
    return bad || good != each * threads;
}
