/* The ring in shared memory: many producers in many processes, one consumer. Never blocks; full: drop and count. */
#ifndef RBINDER_RING_H
#define RBINDER_RING_H

#include <sys/uio.h>

#include "contract.h"

/* ring.c. Async-signal-safe; no lock; at most one system call, a FUTEX_WAKE when a sleeping consumer has half a ring to
 * take. */
extern bool ring_stays_quiet; /* no system call: a sleeping consumer isn't woken */

/* A record that is being written. */
struct opened {
    struct slot *slot;
    const u8 *next; /* behind it */
    u64 stamp; /* of the slot, as long as it is ours */
    bool half; /* the ring is half full with it */
};
/* Reserves a record of `size` bytes, header included, in a slot of `pid`'s; size, kind, version and pid are filled in. NULL:
 * no room (counted in shared->dropped, and dropped_requests for a REQUEST_HEAD), or nobody consumes any more. Else it is
 * written where it lies, and closed: nothing that can sleep comes in between. */
struct record *ring_open(struct shared *shared, u64 size, u32 kind, u32 pid, struct opened *opened);
void ring_close(struct shared *shared, const struct opened *opened);
/* Both: a record made of `header`, of which kind, time, pid, tid, connection and exchange count, and payload pieces. False:
 * as NULL. */
bool ring_put(struct shared *shared, const struct record *header, const struct iovec *pieces, u32 count);

/* reader.c: the consumer's, in a library of its own that the collector loads with ctypes; plain C, no Python.
 * Moves committed records, back to back, to `out`; returns their bytes (0: none now). Slots of producers that died between
 * reserve and commit are passed over: `now` is CLOCK_MONOTONIC ns, and one that is not committed `patience` ns after it was
 * first seen, or whose process is gone, is counted as abandoned. What is no record is counted as corrupt, and passed over
 * as well. State between calls is in `struct reader`: zeros and `shared` to begin with, on a ring in whatever state the
 * last reader left it. */
struct reader {
    struct shared *shared;
    u64 stuck_at;    /* position of the slot that is waited for plus 1, and since when; 0: none */
    u64 stuck_since;
    u64 stuck_head;  /* where the next slots were reserved then: all before it had `patience` to show themselves */
    u64 abandoned, corrupt;
    u64 abandoned_requests; /* of both, those known to be REQUEST_HEADs */
    u64 jumps_from;  /* position from which on the ring may be jumped to its beginning again */
};
long reader_drain(struct reader *reader, u8 *out, u64 room, u64 now, u64 patience);
/* Sleeps until a producer finds the ring half full, reader_wake is called, or `milliseconds` have passed. */
void reader_wait(struct shared *shared, long milliseconds);
void reader_wake(struct shared *shared);
bool reader_empty(const struct shared *shared);

/* pump.c: a thread of the collector's moves the records from the ring to a spool, memory of its own in which they may wait,
 * without ever entering the interpreter; another takes them from there. Positions count bytes and never wrap. */
#define SPOOL_BLOCK (1u << 22) /* bytes of it that are given back to the kernel at once; so many stay unused */
#define SPOOL_LEAST (2 * SPOOL_BLOCK)
struct pump {
    struct reader reader;
    u8 *data;         /* the spool, and MAX_RECORD bytes more */
    u64 size;         /* of it without those, bytes: a power of two, at least SPOOL_LEAST */
    u64 written;      /* by the pump */
    u64 passed;       /* by the pump: whatever was in the ring before this position is in the spool before `written` */
    u64 left_at;      /* by the pump: from here on it has left out the rest of a round, last time */
    u64 taken;        /* by the taker */
    u32 taker_sleeps; /* futex: 1 while the taker waits for `written` to change */
    u32 kicked;       /* 1: the taker shall not wait now */
    u32 ending;       /* 1: take what is in the ring now, and return */
    u64 patience;     /* of reader_drain, ns */
    u32 shortest, longest; /* naps, milliseconds: while records come, and while none do */
    u32 gather;       /* milliseconds that a few records wait for more before the taker is woken */
    u64 since;        /* of the pump: when the first of them came, ns of CLOCK_MONOTONIC; 0: none waits */
};
/* Until `ending` is set, and everything that was in the ring then has been moved. */
void pump_run(struct pump *pump);
/* Ends it soon. */
void pump_end(struct pump *pump);
/* The taker: bytes of whole records that can be taken in one piece at data[taken % size], at most `limit` unless it is one
 * record; waits up to `milliseconds` for some (0: doesn't). pump_took() gives them back, and their memory now and then to the
 * kernel. */
u64 pump_available(struct pump *pump, u64 limit, long milliseconds);
void pump_took(struct pump *pump, u64 count);
/* Ends the taker's wait, or its next one. */
void pump_kick(struct pump *pump);

#endif
