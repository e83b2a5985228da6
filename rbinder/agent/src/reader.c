/* The ring's consumer: takes committed records out, clears their memory and gives it back.
 *
 * Nothing in the shared memory is trusted: any of the traced programs may have written over it. What doesn't hold is
 * counted and passed over, and no value read here leads outside the ring.
 */
#include <errno.h>

#include "raw.h"
#include "ring.h"

#define GIVE_BACK 65536u          /* bytes after which producers may have them again */
#define GONE_PATIENCE 20000000u   /* ns to wait for a slot whose process doesn't exist, as far as we can see */
#define FULL_AGAIN(capacity) ((capacity) / 2)
#define FIRST_PART(capacity) ((capacity) / 16) /* of the ring: behind it, an empty one begins anew */

struct cursor {
    struct reader *reader;
    u8 *data;
    u64 capacity, head, at;
    u64 given_back;
};

static inline struct slot *slot_at(const struct cursor *cursor, u64 position) {
    return (struct slot *)(cursor->data + (position & (cursor->capacity - 1)));
}

static inline bool stamped(const struct cursor *cursor, u64 position) {
    return __atomic_load_n(&slot_at(cursor, position)->stamp, __ATOMIC_ACQUIRE) == (position ^ SLOT_MAGIC);
}

static void give_back(struct cursor *cursor) {
    cursor->given_back = cursor->at;
    __atomic_store_n(&cursor->reader->shared->tail, cursor->at, __ATOMIC_RELEASE);
}

/* Clears [at, to) and goes on there; neither may lie in another round of the ring. */
static void clear_to(struct cursor *cursor, u64 to) {
    while (cursor->at < to) {
        u64 offset = cursor->at & (cursor->capacity - 1);
        u64 count = MIN(to - cursor->at, cursor->capacity - offset);
        memset(cursor->data + offset, 0, count);
        cursor->at += count;
    }
    cursor->reader->stuck_at = 0;
    if (cursor->at - cursor->given_back >= GIVE_BACK)
        give_back(cursor);
}

static bool gone(u32 pid) {
    return pid && pid < MADE_UP && raw_system_call(SYS_kill, (long)pid, 0, 0, 0, 0, 0) == -ESRCH;
}

/* How long the slot at hand has been waited for, ns. */
static u64 stuck_for(struct cursor *cursor, u64 now) {
    struct reader *reader = cursor->reader;
    if (reader->stuck_at != cursor->at + 1) {
        reader->stuck_at = cursor->at + 1;
        reader->stuck_since = now;
        reader->stuck_head = cursor->head;
    }
    return now - reader->stuck_since;
}

/* A producer that was too slow may still write to what it has reserved: that is no one else's for a whole round. */
static void abandon(struct cursor *cursor) {
    cursor->reader->abandoned++;
    cursor->reader->jumps_from = cursor->at + cursor->capacity;
}

/* Its producer was killed before it had stamped it, or a reader after it had cleared it: go on at the next stamp. Whatever
 * was reserved before we began to wait has had time to be stamped. */
static void pass_over_unstamped(struct cursor *cursor) {
    u64 limit = cursor->reader->stuck_head, next = cursor->at + SLOT_ALIGN;
    while (next < limit && !stamped(cursor, next))
        next += SLOT_ALIGN;
    abandon(cursor);
    clear_to(cursor, next);
}

/* A slot's length as it says, if it can be one; 0: it can't. */
static u64 slot_length(const struct cursor *cursor, const struct slot *slot) {
    u64 length = __atomic_load_n(&slot->length, __ATOMIC_RELAXED);
    u64 to_end = cursor->capacity - (cursor->at & (cursor->capacity - 1));
    bool fits = length && length % SLOT_ALIGN == 0 && length <= cursor->head - cursor->at && length <= to_end;
    return fits ? length : 0;
}

/* The record's size if slot and record agree on it, else 0. */
static u64 record_size(const struct slot *slot, u64 length) {
    const struct record *record = (const struct record *)(slot + 1);
    u64 size = __atomic_load_n(&slot->size, __ATOMIC_RELAXED);
    bool good = length > sizeof *slot && size >= sizeof *record && size <= length - sizeof *slot && size <= MAX_RECORD;
    return good && record->size == size && record->version == RECORD_VERSION ? size : 0;
}

/* A record leaves the ring: does it tell of a span to come, or of one that will not? A failed connect is a failed call, unless
 * it is retracted (agent/watch.py). */
static void count_span(struct shared *shared, u32 kind) {
    if (kind == REQUEST_HEAD || kind == CONNECT_FAILED)
        shared->requests++;
    else if (kind == CONNECT_RETRACTED)
        shared->requests--;
}

static void count_request(struct cursor *cursor, const struct slot *slot, u64 length) {
    const struct record *record = (const struct record *)(slot + 1);
    if (length < sizeof *slot + sizeof *record || record->kind != REQUEST_HEAD)
        return;
    cursor->reader->abandoned_requests++;
    count_span(cursor->reader->shared, REQUEST_HEAD);
}

enum step { WAIT, PASSED, TAKEN, NO_ROOM };

static enum step take_committed(struct cursor *cursor, const struct slot *slot, u64 length, u8 *out, u64 room, u64 *size) {
    *size = record_size(slot, length);
    if (UNLIKELY(!*size)) {
        cursor->reader->corrupt++;
        count_request(cursor, slot, length);
        clear_to(cursor, cursor->at + length);
        return PASSED;
    }
    if (*size > room)
        return NO_ROOM;
    memcpy(out, slot + 1, *size);
    /* a program that writes over shared memory may do so at any time: what was checked is what is passed on */
    ((struct record *)out)->size = (u32)*size;
    ((struct record *)out)->version = RECORD_VERSION;
    count_span(cursor->reader->shared, ((struct record *)out)->kind);
    clear_to(cursor, cursor->at + length);
    return TAKEN;
}

static enum step take_uncommitted(struct cursor *cursor, const struct slot *slot, u64 length, u64 now, u64 patience) {
    u64 waited = stuck_for(cursor, now);
    u32 pid = __atomic_load_n(&slot->pid, __ATOMIC_RELAXED);
    if (waited < patience && (waited < GONE_PATIENCE || !gone(pid)))
        return WAIT;
    abandon(cursor);
    count_request(cursor, slot, length);
    clear_to(cursor, cursor->at + length);
    return PASSED;
}

static enum step take_unstamped(struct cursor *cursor, u64 now, u64 patience) {
    if (stuck_for(cursor, now) < patience)
        return WAIT;
    pass_over_unstamped(cursor);
    return PASSED;
}

static enum step take(struct cursor *cursor, u8 *out, u64 room, u64 now, u64 patience, u64 *size) {
    if (UNLIKELY(!stamped(cursor, cursor->at)))
        return take_unstamped(cursor, now, patience);
    const struct slot *slot = slot_at(cursor, cursor->at);
    u64 length = slot_length(cursor, slot);
    if (UNLIKELY(!length)) {
        cursor->reader->corrupt++;
        stuck_for(cursor, now);
        pass_over_unstamped(cursor);
        return PASSED;
    }
    u32 state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
    if (LIKELY(state == SLOT_COMMITTED))
        return take_committed(cursor, slot, length, out, room, size);
    if (state == SLOT_PADDING) {
        clear_to(cursor, cursor->at + length);
        return PASSED;
    }
    return take_uncommitted(cursor, slot, length, now, patience);
}

/* Positions that can't be: somebody has written over them. Begin anew where they say they are. */
static bool repaired(struct cursor *cursor, u64 tail) {
    if (cursor->head - tail <= cursor->capacity && (cursor->head | tail) % SLOT_ALIGN == 0)
        return true;
    cursor->reader->corrupt++;
    u64 start = (cursor->head + SLOT_ALIGN - 1) & ~(u64)(SLOT_ALIGN - 1);
    memset(cursor->data, 0, cursor->capacity);
    cursor->reader->jumps_from = start + cursor->capacity;
    __atomic_store_n(&cursor->reader->shared->next_tail, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&cursor->reader->shared->tail, start, __ATOMIC_RELEASE);
    __atomic_store_n(&cursor->reader->shared->head, start, __ATOMIC_SEQ_CST);
    return false;
}

/* The reader before this one may have been killed while it jumped: then that is brought to its end, or given up. Until then
 * `tail` stays where it was, and nobody but a jump moves `head` as far as next_tail. */
static u64 tail_of(struct shared *shared, u64 head, u64 capacity) {
    u64 tail = __atomic_load_n(&shared->tail, __ATOMIC_RELAXED), next = __atomic_load_n(&shared->next_tail, __ATOMIC_RELAXED);
    if (LIKELY(next <= tail))
        return tail;
    if (next - tail > capacity && next <= head && (next & (capacity - 1)) == 0) {
        __atomic_store_n(&shared->tail, next, __ATOMIC_RELEASE);
        return next;
    }
    __atomic_store_n(&shared->next_tail, 0, __ATOMIC_RELAXED); /* before `tail` moves: its stores release */
    return tail;
}

/* All that was there has been taken: on to where the ring's first part comes next, unless a producer is quicker (ring.c). */
static void jump(struct cursor *cursor) {
    struct shared *shared = cursor->reader->shared;
    u64 at = cursor->at, used = at & (cursor->capacity - 1);
    if (used < FIRST_PART(cursor->capacity) || at < cursor->reader->jumps_from)
        return;
    u64 former = __atomic_load_n(&shared->next_tail, __ATOMIC_RELAXED), next = at - used + 2 * cursor->capacity;
    __atomic_store_n(&shared->next_tail, next, __ATOMIC_RELEASE);
    if (__atomic_compare_exchange_n(&shared->head, &at, next, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        __atomic_store_n(&shared->tail, next, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&shared->next_tail, former, __ATOMIC_RELAXED); /* before `tail` moves */
}

/* The settings were checked when the memory was mapped; they lie in memory that others write to. */
static u64 capacity_of(const struct shared *shared) {
    u64 capacity = shared->capacity;
    bool good = capacity >= SLOT_ALIGN && (capacity & (capacity - 1)) == 0 && capacity <= shared->size - SHARED_HEADER;
    return good ? capacity : 0;
}

__attribute__((visibility("default"))) long reader_drain(struct reader *reader, u8 *out, u64 room, u64 now,
                                                         u64 patience) {
    struct shared *shared = reader->shared;
    struct cursor cursor = {reader, (u8 *)shared + SHARED_HEADER, capacity_of(shared),
                            __atomic_load_n(&shared->head, __ATOMIC_SEQ_CST), 0, 0};
    if (!cursor.capacity)
        return 0;
    cursor.at = cursor.given_back = tail_of(shared, cursor.head, cursor.capacity);
    if (!repaired(&cursor, cursor.at))
        return 0;
    u64 taken = 0;
    while (cursor.at != cursor.head) {
        u64 size = 0;
        enum step step = take(&cursor, out + taken, room - taken, now, patience, &size);
        if (step == TAKEN)
            taken += size;
        else if (step != PASSED)
            break;
    }
    if (cursor.at != cursor.given_back)
        give_back(&cursor);
    if (cursor.at == cursor.head)
        jump(&cursor);
    return (long)taken;
}

static bool half_full(const struct shared *shared) {
    u64 filled = __atomic_load_n(&shared->head, __ATOMIC_SEQ_CST) - __atomic_load_n(&shared->tail, __ATOMIC_RELAXED);
    return filled >= FULL_AGAIN(shared->capacity);
}

__attribute__((visibility("default"))) void reader_wait(struct shared *shared, long milliseconds) {
    __atomic_store_n(&shared->sleeping, 1, __ATOMIC_SEQ_CST);
    if (!half_full(shared)) /* asked after the store: a producer looks at `sleeping` after it has moved `head` */
        raw_sleep(&shared->sleeping, 1, milliseconds);
    __atomic_store_n(&shared->sleeping, 0, __ATOMIC_RELAXED);
}

__attribute__((visibility("default"))) void reader_wake(struct shared *shared) {
    __atomic_store_n(&shared->sleeping, 0, __ATOMIC_SEQ_CST);
    raw_wake(&shared->sleeping);
}

__attribute__((visibility("default"))) bool reader_empty(const struct shared *shared) {
    return __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE) == __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE);
}
