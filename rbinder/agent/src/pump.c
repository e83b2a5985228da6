/* The collector's pump: from the ring, which is small and shared, to the spool, which is large and the collector's own.
 *
 * It is one call of one thread, so neither the interpreter's lock nor a low priority of what makes spans keeps the ring
 * from being emptied. What the spool has no room for stays in the ring; the producers then drop and count.
 */
#include "raw.h"
#include "ring.h"

#define ENOUGH (1u << 18) /* bytes: the taker has something to do for a while */
#define NS_PER_MS 1000000u

/* -- positions. The pump is at `written`, the taker at `taken`; a round of them is the spool once through. Where the pump
 * finds it empty it leaves out the rest of the round: the beginning's memory is in use already, and in the caches.
 */

static u64 next_round(const struct pump *pump, u64 position) {
    return (position | (pump->size - 1)) + 1;
}

/* Where the taker reads next, once there is something. */
static u64 taker_at(const struct pump *pump, u64 taken) {
    bool left = taken && taken == __atomic_load_n(&pump->left_at, __ATOMIC_RELAXED);
    return left ? next_round(pump, taken) : taken;
}

/* As the pump sees it, bytes. */
static u64 filled(const struct pump *pump) {
    u64 taken = __atomic_load_n(&pump->taken, __ATOMIC_ACQUIRE);
    return taken == pump->written ? 0 : pump->written - taker_at(pump, taken);
}

/* The taker moves behind what is left out, if there is something for it; returns how many bytes there are. */
static u64 available(struct pump *pump) {
    u64 written = __atomic_load_n(&pump->written, __ATOMIC_SEQ_CST);
    if (written == pump->taken)
        return 0;
    __atomic_store_n(&pump->taken, taker_at(pump, pump->taken), __ATOMIC_RELEASE);
    return written - pump->taken;
}

/* -- the pump */

static void wake_taker(struct pump *pump) {
    if (__atomic_exchange_n(&pump->taker_sleeps, 0, __ATOMIC_SEQ_CST))
        raw_wake(&pump->taker_sleeps);
}

/* To wake the taker costs more than what it does with a few records: they wait for each other. Returns for how many
 * milliseconds at most the pump may sleep. */
static u32 offer(struct pump *pump, u32 nap) {
    u64 now = raw_now(), count = filled(pump);
    if (!count) {
        pump->since = 0;
        return nap;
    }
    if (!pump->since)
        pump->since = now;
    u64 waited = (now - pump->since) / NS_PER_MS;
    if (count < ENOUGH && waited < pump->gather && !__atomic_load_n(&pump->ending, __ATOMIC_RELAXED))
        return MIN(nap, (u32)(pump->gather - waited));
    pump->since = 0;
    wake_taker(pump);
    return nap;
}

/* A drain may run past the spool's end by up to one record (there is room for it); that part belongs at its beginning. */
static u64 fill(struct pump *pump) {
    u64 written = pump->written, used = filled(pump);
    if (!used && written & (pump->size - 1))
        written = next_round(pump, written);
    u64 offset = written & (pump->size - 1), to_end = pump->size - offset;
    u64 space = pump->size - SPOOL_BLOCK - used; /* a block the taker gives back is never one that is written to */
    u8 *at = pump->data + offset;
    u64 count = (u64)reader_drain(&pump->reader, at, MIN(space, to_end + MAX_RECORD), raw_now(), pump->patience);
    if (count > to_end)
        memcpy(pump->data, pump->data + pump->size, count - to_end);
    if (count) {
        if (written != pump->written)
            __atomic_store_n(&pump->left_at, pump->written, __ATOMIC_RELAXED);
        __atomic_store_n(&pump->written, written + count, __ATOMIC_SEQ_CST);
    }
    /* what was in the ring up to here is in the spool */
    __atomic_store_n(&pump->passed, __atomic_load_n(&pump->reader.shared->tail, __ATOMIC_RELAXED), __ATOMIC_RELEASE);
    return count;
}

__attribute__((visibility("default"))) void pump_run(struct pump *pump) {
    struct shared *shared = pump->reader.shared;
    u32 nap = pump->shortest;
    bool last = false;
    u64 end = 0;
    for (;;) {
        if (!last && __atomic_load_n(&pump->ending, __ATOMIC_ACQUIRE)) {
            end = __atomic_load_n(&shared->head, __ATOMIC_SEQ_CST);
            last = true;
        }
        u64 count = fill(pump);
        if (last && pump->passed >= end)
            return;
        nap = count ? pump->shortest : MIN(nap * 2, pump->longest);
        u32 sleep = offer(pump, last ? 1 : nap);
        if (count || reader_empty(shared))
            reader_wait(shared, sleep);
        else /* the spool has no room, or a record isn't finished: that there are more of them changes nothing */
            raw_sleep(&pump->ending, last, sleep);
    }
}

__attribute__((visibility("default"))) void pump_end(struct pump *pump) {
    __atomic_store_n(&pump->ending, 1, __ATOMIC_RELEASE);
    raw_wake(&pump->ending);
    reader_wake(pump->reader.shared);
}

/* -- the taker */

static void wait_for_bytes(struct pump *pump, long milliseconds) {
    __atomic_store_n(&pump->taker_sleeps, 1, __ATOMIC_SEQ_CST);
    if (!available(pump) && !__atomic_load_n(&pump->kicked, __ATOMIC_SEQ_CST))
        raw_sleep(&pump->taker_sleeps, 1, milliseconds);
    __atomic_store_n(&pump->taker_sleeps, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&pump->kicked, 0, __ATOMIC_RELAXED);
}

/* Whole records from data[taken % size] on, at most `limit` bytes of them, or one. One that runs over the spool's end is in
 * one piece behind it; the next one is at the beginning. */
static u64 whole_records(struct pump *pump, u64 limit) {
    u64 all = available(pump), offset = pump->taken & (pump->size - 1), to_end = pump->size - offset, count = 0;
    const u8 *data = pump->data + offset;
    while (count < all && count < to_end) {
        u32 size = ((const struct record *)(data + count))->size;
        if (count && count + size > limit)
            break;
        count += size;
    }
    return count;
}

__attribute__((visibility("default"))) u64 pump_available(struct pump *pump, u64 limit, long milliseconds) {
    if (milliseconds && !available(pump))
        wait_for_bytes(pump, milliseconds);
    return whole_records(pump, limit);
}

__attribute__((visibility("default"))) void pump_took(struct pump *pump, u64 count) {
    u64 after = pump->taken + count, block = SPOOL_BLOCK;
    for (u64 from = pump->taken / block * block; from + block <= after; from += block)
        raw_system_call(SYS_madvise, (long)(pump->data + (from & (pump->size - 1))), (long)block, RAW_MADV_DONTNEED, 0, 0, 0);
    __atomic_store_n(&pump->taken, after, __ATOMIC_RELEASE);
}

__attribute__((visibility("default"))) void pump_kick(struct pump *pump) {
    __atomic_store_n(&pump->kicked, 1, __ATOMIC_SEQ_CST);
    wake_taker(pump);
}
