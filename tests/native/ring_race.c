/* Producers, the pump and its taker as threads of one process, for the thread sanitizer: ring_race SECONDS. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "raw.h"
#include "ring.h"

#define CAPACITY (1u << 15)
#define PRODUCERS 3

static struct shared *shared;
static struct pump pump;
static u32 stop;
static u64 put_here[PRODUCERS];

static void *produce(void *argument) {
    u64 mine = (u64)(uintptr_t)argument, sequence = 0;
    u8 body[700];
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        if (sequence % 64 == mine) /* the others are at it, or nobody is, so that the pump finds the ring empty */
            usleep(2000);
        u32 size = (u32)(sequence * 7919 % sizeof body);
        memset(body, (int)mine, sizeof body);
        struct record record = {.kind = NOTE, .time = sequence, .pid = (u32)getpid(), .tid = (u32)mine};
        struct iovec piece = {body, size};
        if (ring_put(shared, &record, &piece, 1))
            sequence++;
    }
    put_here[mine] = sequence;
    return NULL;
}

static void *run(void *nothing) {
    pump_run(&pump);
    return nothing;
}

static void check(const u8 *data, u64 count, u64 *next) {
    for (u64 at = 0; at < count;) {
        struct record record;
        memcpy(&record, data + at, sizeof record);
        if (record.tid >= PRODUCERS || record.time != next[record.tid]++)
            fprintf(stderr, "thread %u: %lu\n", record.tid, (unsigned long)record.time), exit(1);
        for (u32 i = sizeof record; i < record.size; i++)
            if (data[at + i] != record.tid)
                fprintf(stderr, "thread %u: a byte is %u\n", record.tid, data[at + i]), exit(1);
        at += record.size;
    }
}

static void take(u64 *next) {
    u64 count = pump_available(&pump, 65536, 10);
    check(pump.data + (pump.taken & (pump.size - 1)), count, next);
    pump_took(&pump, count);
}

int main(int count, char **words) {
    size_t size = SHARED_HEADER + CAPACITY, spool = SPOOL_LEAST + MAX_RECORD;
    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared->size = (u32)size;
    shared->capacity = CAPACITY;
    pump = (struct pump){.reader = {.shared = shared}, .size = SPOOL_LEAST, .patience = 60000000000u, .shortest = 1, .longest = 4};
    pump.data = mmap(NULL, spool, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t producers[PRODUCERS], pumping;
    u64 next[PRODUCERS] = {0};
    pthread_create(&pumping, NULL, run, NULL);
    for (u64 i = 0; i < PRODUCERS; i++)
        pthread_create(&producers[i], NULL, produce, (void *)(uintptr_t)i);
    u64 end = raw_now() + (u64)(count > 1 ? atoi(words[1]) : 1) * 1000000000u;
    while (raw_now() < end)
        take(next);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    pump_end(&pump);
    while (__atomic_load_n(&pump.passed, __ATOMIC_ACQUIRE) < __atomic_load_n(&shared->head, __ATOMIC_RELAXED) ||
           pump.taken != __atomic_load_n(&pump.written, __ATOMIC_RELAXED))
        take(next);
    pthread_join(pumping, NULL);
    for (int i = 0; i < PRODUCERS; i++)
        if (next[i] != put_here[i])
            return fprintf(stderr, "of %lu came %lu\n", (unsigned long)put_here[i], (unsigned long)next[i]), 1;
    return 0;
}
