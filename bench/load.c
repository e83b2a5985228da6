// Load: asks a front over and over for a bounded time, on kept connections, each waiting for its answer.
// Usage: load PORT CONNECTIONS MILLISECONDS [RATE]. With a rate, so many requests a second are asked in all, as far as
// the answers allow. Prints: requests, nanoseconds, the median latency in nanoseconds.

#include <time.h>

#include "../tests/targets/wire.h"

enum { CONNECTIONS_LIMIT = 64, LATENCIES_LIMIT = 1 << 20 };

struct asker {
    pthread_t thread;
    const char *port;
    long until, count, pause;
    unsigned *latencies;
};

static long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void *ask(void *argument) {
    static const char request[] = "GET /work?id=1 HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: load\r\n\r\n";
    struct asker *asker = argument;
    struct message *message = malloc(sizeof *message);
    int fd = connected(asker->port);
    long due = now();
    for (long start = now(); start < asker->until && asker->count < LATENCIES_LIMIT; asker->count++) {
        send_all(fd, request, sizeof request - 1);
        if (!receive(fd, message) || strncmp(message->bytes, "HTTP/1.1 200", 12)) {
            fprintf(stderr, "load: not answered\n");
            exit(1);
        }
        long end = now();
        asker->latencies[asker->count] = (unsigned)(end - start);
        due += asker->pause;
        if (asker->pause && due > end) {
            struct timespec time = {due / 1000000000L, due % 1000000000L};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
            end = now();
        }
        start = end;
    }
    close(fd);
    free(message);
    return NULL;
}

static int ascending(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

// The middle of all the askers' latencies.
static unsigned median(const struct asker *askers, int connections, long total) {
    unsigned *all = malloc((size_t)total * sizeof *all), *end = all;
    for (int i = 0; i < connections; i++) {
        memcpy(end, askers[i].latencies, (size_t)askers[i].count * sizeof *all);
        end += askers[i].count;
    }
    qsort(all, (size_t)total, sizeof *all, ascending);
    unsigned middle = all[total / 2];
    free(all);
    return middle;
}

int main(int count, char **arguments) {
    static struct asker askers[CONNECTIONS_LIMIT];
    int connections = count == 4 || count == 5 ? atoi(arguments[2]) : 0;
    long rate = count == 5 ? atol(arguments[4]) : 0;
    if (connections < 1 || connections > CONNECTIONS_LIMIT) return 2;
    long start = now(), until = start + atol(arguments[3]) * 1000000, total = 0;
    for (int i = 0; i < connections; i++) {
        askers[i] = (struct asker){.port = arguments[1], .until = until};
        if (rate > 0) askers[i].pause = 1000000000L * connections / rate;
        askers[i].latencies = malloc(LATENCIES_LIMIT * sizeof *askers[i].latencies);
        if (pthread_create(&askers[i].thread, NULL, ask, &askers[i])) return 1;
    }
    for (int i = 0; i < connections; i++) {
        pthread_join(askers[i].thread, NULL);
        total += askers[i].count;
    }
    long elapsed = now() - start;
    printf("%ld %ld %u\n", total, elapsed, total ? median(askers, connections, total) : 0);
    return 0;
}
