/* The ring's producers: reserve by one compare-and-swap, write, commit.
 *
 *      tail                                   head
 *       │ committed │ being written │ committed │ free: zeros ...          positions count bytes and never wrap;
 *       └─ the consumer is here                 └─ the next slot           memory is data[position % capacity]
 *
 * A slot shows itself by its stamp, its position XOR a constant, so that a consumer that has lost its way (a producer was
 * killed between reserving and stamping) finds the next one. Free memory is all zeros: the consumer sees to it.
 *
 * Whoever walks round and round 4 MiB finds none of it in a cache. So the consumer, where it has emptied the ring at a
 * position h behind the ring's first part, lets head and tail jump to J, where the round after the next one begins:
 *
 *     next_tail = J;  head: h → J, by compare-and-swap;  tail = J        it failed: next_tail is again what it was
 *
 * A producer that comes between the last two, or after a consumer that was killed there, finds the ring full by `tail`. Then
 * next_tail counts in its stead, if head >= next_tail > tail + capacity. That is sound: where it holds, the jump was made.
 * For assume that head has grown past J by reservations, though the jump failed, or was not tried. As J > h + capacity, one
 * of them has seen a tail behind h, or a later jump's next_tail; both are stored after next_tail was put back (or was given
 * up by the consumer that took over), by release; the reservation has acquired it, and head, on which everybody has
 * released what he knew, was acquired by us. So we could not have read J in next_tail any more. And after a jump all that
 * lies before J is consumed and zeros, so that J is as good as the tail that is still to come.
 */
#include "ring.h"

#include "raw.h"

#define AHEAD 4 /* cache lines: about a record */
#define ATTEMPTS 1000 /* to reserve; each fails only because another producer has succeeded */

/* Kept here from the first record on: another program that writes over the shared memory must not lead us out of it. */
static u64 known_capacity;

static inline u64 capacity_of(const struct shared *shared) {
    u64 capacity = __atomic_load_n(&known_capacity, __ATOMIC_RELAXED);
    if (LIKELY(capacity))
        return capacity;
    capacity = shared->capacity;
    if (!capacity || (capacity & (capacity - 1)) || capacity != shared->size - SHARED_HEADER)
        return 0;
    __atomic_store_n(&known_capacity, capacity, __ATOMIC_RELAXED);
    return capacity;
}

static inline struct slot *slot_at(struct shared *shared, u64 position) {
    return (struct slot *)((u8 *)shared + SHARED_HEADER + (position & (capacity_of(shared) - 1)));
}

struct place {
    u64 position; /* of the slot */
    u64 padding;  /* bytes before it, up to the ring's end */
    u64 filled;   /* bytes in use, this slot included */
    u64 capacity;
};

/* Bytes to leave unused at the ring's end, for a slot is never cut in two. */
static inline u64 padding_before(u64 head, u64 length, u64 capacity) {
    u64 to_end = capacity - (head & (capacity - 1));
    return length <= to_end ? 0 : to_end;
}

enum claim { CLAIMED, FULL, BEATEN };

/* Room behind `*head`, if that is still where it was; BEATEN: it is elsewhere, and `*head` tells where. */
static inline enum claim claim(struct shared *shared, u64 *head, u64 tail, u64 length, u64 capacity, struct place *place) {
    u64 padding = padding_before(*head, length, capacity);
    u64 next = *head + padding + length;
    if (UNLIKELY(next - tail > capacity))
        return FULL;
    /* sequentially consistent: the consumer's `sleeping` is looked at after it */
    if (UNLIKELY(!__atomic_compare_exchange_n(&shared->head, head, next, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)))
        return BEATEN;
    *place = (struct place){*head + padding, padding, next - tail, capacity};
    return CLAIMED;
}

/* acquire: the consumer has zeroed what it gave back */
static inline u64 tail_of(const struct shared *shared) { return __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE); }

/* `tail`, or what it is about to be; `head` was acquired. */
static u64 tail_in_jump(const struct shared *shared, u64 head, u64 tail, u64 capacity) {
    u64 next = __atomic_load_n(&shared->next_tail, __ATOMIC_ACQUIRE);
    return next > tail && next - tail > capacity && head >= next ? next : tail;
}

/* The ring seems full, or others reserve as well. */
RARE static bool reserve_again(struct shared *shared, u64 length, u64 capacity, struct place *place) {
    u64 head = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
    for (int i = 0; i < ATTEMPTS; i++) {
        u64 tail = tail_of(shared), now = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
        if (now != head) { /* `tail` may have overtaken the head we knew */
            head = now;
            continue;
        }
        enum claim done = claim(shared, &head, tail_in_jump(shared, head, tail, capacity), length, capacity, place);
        if (done == CLAIMED)
            return true;
        if (done == FULL && tail_of(shared) == tail)
            return false;
    }
    return false;
}

static inline bool reserve(struct shared *shared, u64 length, struct place *place) {
    u64 capacity = capacity_of(shared), head = __atomic_load_n(&shared->head, __ATOMIC_RELAXED);
    return LIKELY(claim(shared, &head, tail_of(shared), length, capacity, place) == CLAIMED) ||
           reserve_again(shared, length, capacity, place);
}

static void open_slot(struct slot *slot, u64 position, u64 length, u32 pid) {
    slot->length = (u32)length;
    slot->pid = pid;
    __atomic_store_n(&slot->stamp, position ^ SLOT_MAGIC, __ATOMIC_RELEASE);
}

/* Unless the consumer has given the slot up meanwhile (this process was stopped for long): then it is another's. */
static inline void close_slot(struct slot *slot, u64 stamp, u32 state) {
    if (LIKELY(__atomic_load_n(&slot->stamp, __ATOMIC_RELAXED) == stamp))
        __atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
}

/* The consumer, on another CPU, has zeroed what comes next: it is fetched while the program goes on, rather than when it is
 * written, and waited for before the next compare-and-swap. Addresses that aren't mapped do no harm. */
static inline void fetch(const u8 *next) {
    for (int line = 0; line < AHEAD; line++)
#ifdef __x86_64__
        __asm__ volatile("prefetchw %0" ::"m"(next[64 * line])); /* the compiler's own is for reading, unless told -mprfchw */
#else
        __builtin_prefetch(next + 64 * line, 1);
#endif
}

bool ring_stays_quiet;

static void wake(struct shared *shared) {
    if (!ring_stays_quiet && __atomic_exchange_n(&shared->sleeping, 0, __ATOMIC_RELAXED))
        raw_wake(&shared->sleeping);
}

/* No room, or nobody consumes any more. */
RARE static struct record *not_opened(struct shared *shared, u32 kind) {
    if (!__atomic_load_n(&shared->detached, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&shared->dropped, 1, __ATOMIC_RELAXED);
        if (kind == REQUEST_HEAD)
            __atomic_fetch_add(&shared->dropped_requests, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

struct record *ring_open(struct shared *shared, u64 size, u32 kind, u32 pid, struct opened *opened) {
    struct place place;
    u64 length = (sizeof(struct slot) + size + SLOT_ALIGN - 1) & ~(u64)(SLOT_ALIGN - 1);
    if (UNLIKELY(__atomic_load_n(&shared->detached, __ATOMIC_RELAXED) || size > MAX_RECORD || !reserve(shared, length, &place)))
        return not_opened(shared, kind);
    struct slot *slot = (struct slot *)((u8 *)shared + SHARED_HEADER + (place.position & (place.capacity - 1)));
    open_slot(slot, place.position, length, pid);
    if (UNLIKELY(place.padding)) {
        u64 before = place.position - place.padding;
        open_slot(slot_at(shared, before), before, place.padding, pid);
        close_slot(slot_at(shared, before), before ^ SLOT_MAGIC, SLOT_PADDING);
    }
    slot->size = (u32)size;
    *opened = (struct opened){slot, (const u8 *)slot + length, place.position ^ SLOT_MAGIC, place.filled * 2 >= place.capacity};
    struct record *record = (struct record *)(slot + 1);
    record->size = (u32)size;
    record->kind = (u16)kind;
    record->version = RECORD_VERSION;
    record->pid = pid;
    record->reserved = 0;
    return record;
}

void ring_close(struct shared *shared, const struct opened *opened) {
    close_slot(opened->slot, opened->stamp, SLOT_COMMITTED);
    fetch(opened->next);
    if (UNLIKELY(opened->half) && __atomic_load_n(&shared->sleeping, __ATOMIC_SEQ_CST))
        wake(shared);
}

bool ring_put(struct shared *shared, const struct record *header, const struct iovec *pieces, u32 count) {
    struct opened opened;
    u64 size = sizeof *header;
    for (u32 i = 0; i < count; i++)
        size += pieces[i].iov_len;
    struct record *record = ring_open(shared, size, header->kind, header->pid, &opened);
    if (UNLIKELY(!record))
        return false;
    record->time = header->time;
    record->tid = header->tid;
    record->connection = header->connection;
    memcpy(record->exchange, header->exchange, sizeof record->exchange);
    u8 *to = (u8 *)(record + 1);
    for (u32 i = 0; i < count; to += pieces[i++].iov_len)
        memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
    ring_close(shared, &opened);
    return true;
}
