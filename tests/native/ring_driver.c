/* Producers for the ring's tests; RING in the environment is the memory's descriptor.
 *
 *   put COUNT SEED MOST       records of random size, payload: u32 number, then bytes made of it; tells "put dropped"
 *   calm COUNT SEED MOST      the same, now and then waiting until the ring is empty
 *   flood SEED MOST           the same without end (until it is killed); says "." first
 *   reserve LENGTH            reserves and leaves
 *   stamp LENGTH KIND         reserves and stamps, writes the record's header, and leaves
 *   pad                       reserves across the ring's end, writes the padding alone, and leaves
 *   stay LENGTH               reserves and stamps, says ".", waits for a byte, commits
 *   raw SIZE                  a record whose header tells another size
 *   layout                    every number of contract.h
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../rbinder/agent/src/ring.c"
#include "layout.h"

static struct shared *map(void) {
    struct stat status;
    int descriptor = atoi(getenv("RING"));
    if (fstat(descriptor, &status) < 0)
        exit(2);
    void *at = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (at == MAP_FAILED)
        exit(2);
    return at;
}

static u64 state = 1;
static u32 any(u32 below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (u32)(state >> 33) % below;
}

static u8 body[MAX_RECORD];

static bool put(struct shared *shared, u32 number, u32 size) {
    memcpy(body, &number, sizeof number);
    for (u32 i = sizeof number; i < size; i++)
        body[i] = (u8)(number + i);
    struct record record = {.kind = number % 4 ? MESSAGE_END : REQUEST_HEAD, .time = number, .pid = (u32)getpid()};
    struct iovec pieces[] = {{body, MIN(size, 7)}, {body + MIN(size, 7), size - MIN(size, 7)}};
    return ring_put(shared, &record, pieces, 2);
}

static void say(void) {
    if (write(1, ".", 1) != 1)
        exit(2);
}

static int produce(struct shared *shared, u32 count, u32 seed, u32 most) {
    u64 done = 0, dropped_here = 0;
    state = seed;
    for (u32 i = 0; i < count; i++)
        if (put(shared, i, 4 + any(most)))
            done++;
        else
            dropped_here++;
    printf("%lu %lu\n", (unsigned long)done, (unsigned long)dropped_here);
    return 0;
}

static int produce_calmly(struct shared *shared, u32 count, u32 seed, u32 most) {
    u64 done = 0;
    state = seed;
    for (u32 i = 0; i < count; i++) {
        while (i % 16 == 0 && __atomic_load_n(&shared->head, __ATOMIC_RELAXED) != __atomic_load_n(&shared->tail, __ATOMIC_RELAXED))
            sched_yield();
        done += put(shared, i, 4 + any(most));
    }
    printf("%lu %lu\n", (unsigned long)done, (unsigned long)(count - done));
    return 0;
}

static struct slot *stamped_slot(struct shared *shared, u64 length, u32 kind, struct place *place) {
    if (!reserve(shared, length, place))
        exit(3);
    struct slot *slot = slot_at(shared, place->position);
    open_slot(slot, place->position, length, (u32)getpid());
    struct record record = {.size = 48, .kind = (u16)kind, .version = RECORD_VERSION, .pid = (u32)getpid()};
    slot->size = record.size;
    memcpy(slot + 1, &record, sizeof record);
    return slot;
}

static void pad(struct shared *shared) {
    struct place place;
    u64 to_end = shared->capacity - (shared->head & (shared->capacity - 1));
    if (to_end > shared->capacity / 4 || !reserve(shared, to_end + SLOT_ALIGN, &place))
        exit(3);
    u64 before = place.position - place.padding;
    open_slot(slot_at(shared, before), before, place.padding, (u32)getpid());
    close_slot(slot_at(shared, before), before ^ SLOT_MAGIC, SLOT_PADDING);
}

static void stay(struct shared *shared, u64 length) {
    struct place place;
    struct slot *slot = stamped_slot(shared, length, MESSAGE_END, &place);
    char go;
    say();
    if (read(0, &go, 1) != 1)
        exit(2);
    close_slot(slot, place.position ^ SLOT_MAGIC, SLOT_COMMITTED);
}

static void raw_record(struct shared *shared, u32 size) {
    struct place place;
    struct slot *slot = stamped_slot(shared, 128, REQUEST_HEAD, &place);
    ((struct record *)(slot + 1))->size = size;
    close_slot(slot, place.position ^ SLOT_MAGIC, SLOT_COMMITTED);
}

int main(int count, char **words) {
    const char *what = count > 1 ? words[1] : "";
    u32 first = count > 2 ? (u32)atoll(words[2]) : 0, second = count > 3 ? (u32)atoll(words[3]) : 0;
    if (!strcmp(what, "layout"))
        return tell_layout();
    struct shared *shared = map();
    struct place place;
    if (!strcmp(what, "put"))
        return produce(shared, first, second, (u32)atoll(words[4]));
    if (!strcmp(what, "calm"))
        return produce_calmly(shared, first, second, (u32)atoll(words[4]));
    if (!strcmp(what, "flood")) {
        say();
        state = first;
        for (u32 i = 0;; i++)
            put(shared, i, 4 + any(second));
    }
    if (!strcmp(what, "reserve"))
        return !reserve(shared, first, &place);
    if (!strcmp(what, "stamp"))
        stamped_slot(shared, first, second, &place);
    if (!strcmp(what, "pad"))
        pad(shared);
    if (!strcmp(what, "stay"))
        stay(shared, first);
    if (!strcmp(what, "raw"))
        raw_record(shared, first);
    return 0;
}
