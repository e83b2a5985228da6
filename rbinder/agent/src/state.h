/* What the agent knows inside one process: the state, its lock, the pools it lives in. One mapping made at the start; no
 * allocation after it.
 *
 *     if (enter() == ENTERED) { ... leave(); }         around whatever looks at or changes the state
 *
 * Between the two there is no call of the program's and none that can sleep. enter() waits for a bounded time, and it
 * refuses whoever is in there already (a signal handler) and whoever merely borrows this memory (a child of vfork).
 */
#ifndef RBINDER_STATE_H
#define RBINDER_STATE_H

#include "dialogue.h"
#include "raw.h"
#include "system.h"

#define DESCRIPTORS 65536u      /* whose calls are followed: those below */
#define MOST_CONNECTIONS 16384u /* at a time */
#define MOST_THREADS 2048u      /* that have handled a connection, at a time */
#define PEER_TEXT 112u          /* bytes of an address: a Unix socket's path, and '@' */
#define MOST_ERAS 4u            /* mappings, one after the other (renew_state) */

enum status { NEW, STARTING, ACTIVE, OFF };
enum entered { ENTERED, BUSY, ASIDE };

/* What is known of a descriptor; else generation << 32 | (index of the connection + FIRST_CONNECTION). */
enum entry { UNKNOWN = 0, BORING = 1, FIRST_CONNECTION = 2 };

/* A thread's place: it keeps it until it has died. */
struct place {
    struct thread thread;
    u32 tid;                   /* 0: free */
    u32 process;               /* whose thread */
    u32 era;
    void *(*routine)(void *);  /* of a thread that has not begun */
    void *argument;
};

struct sending;

/* A stream socket of the program's. `holders` counts the descriptors that refer to it. */
struct __attribute__((aligned(64))) connection { /* as large as its place in the pool: it is found by its index */
    _Alignas(64) struct dialogue dialogue; /* first: announce() finds the rest. A whole number of lines: a pool's items */
    u32 generation, holders;
    u32 epoch, born;          /* the number of forks when it was used last, and when it was made */
    u32 told;                 /* pid of the process that has told of it; 0: nobody */
    struct sending *sending;  /* a call that sends is under way */
    u64 connect_start, connect_end, lookup_start, lookup_end;
    int error;
    u16 port;                 /* the peer's */
    u8 peer_size;
    u8 peer[PEER_TEXT];
    bool connecting;
    bool untrusted;           /* a call on it went unseen */
    bool disputed;            /* contexts of a runtime's differ about it (cpython_context.c) */
    bool closed;              /* no descriptor is left; the call that is under way gives it back */
    int descriptor;           /* that was made to refer to it last */
};

/* A call that sends, from before it is made until it has returned. Not in its caller's frame: that may be jumped out of. */
struct sending {
    struct plan plan;
    struct connection *connection;
    u64 entry;
    uintptr_t frame; /* where its caller's frame lies */
    u32 tid, process, era;
};

/* Three parts, each beginning a cache line: what is read by every call, what its threads take from each other, the rest. */
struct agent {
    _Alignas(64) u64 *table;
    u32 covered;   /* descriptors of the table; 0: not started, or nothing is followed */
    u32 status;
    u32 borrowers; /* children that run in this memory, or may do */
    u32 pid;
    u64 *process;  /* in a page that a forked child finds empty: the pid */
    struct shared *shared;
    struct connection *all;
    struct group *group;
    u32 epoch;     /* forks so far: its parents' included */
    u32 era;       /* mappings so far */
    /* the lock, and what is changed under it */
    _Alignas(64) uintptr_t frame; /* of the owner; all ones: not known yet */
    u32 owner;                    /* tid; 0: free */
    u32 connections;              /* made so far: part of their identity */
    u64 turns;                    /* how often it was left */
    struct connection *working;   /* what the lock's owner is at */
    struct random random;
    /* the process */
    _Alignas(64) struct propagation propagation;
    u64 stuck_turns, stuck_since; /* when the lock could not be had, and how often it had been left then */
    u32 parent;
    u32 highest; /* descriptor ever entered */
    bool runtime_hooks; /* as the shared memory says */
    bool told;
    u32 image_size;
    u8 *image; /* the middle of the PROCESS record */
};
extern struct agent agent;

struct self {
    struct place *place;
    u32 tid, era, epoch;
    int read_from;         /* the descriptor from which `read_task` was read */
    u64 asked, read_task;  /* what the runtime says, and is to be told (tasks.c) */
};
extern _Thread_local struct self self;

/* agent.c */
void start(void);
static inline bool started(void) {
    u32 status = __atomic_load_n(&agent.status, __ATOMIC_ACQUIRE);
    if (UNLIKELY(status == NEW))
        start(), status = __atomic_load_n(&agent.status, __ATOMIC_ACQUIRE);
    return status == ACTIVE;
}
void switch_off(void);
void give_up(void); /* the same, and the user is told */
/* Another mapping instead of one that may be in disorder. False: no more; the agent is off. */
bool renew_state(void);

/* lock.c */
enum entered enter(void);
void thread_known(void); /* the calling thread's id: later it may not be asked for */
void leave(void);
bool borrows_memory(void);
/* A frame of this thread's, from before: has it been returned from, or jumped out of? */
bool frame_is_gone(uintptr_t frame);

/* forks.c: in a forked child, before anything else. False: pass through. */
bool become_child(void);

/* threads.c: with the lock held. NULL: no place is left. */
struct thread *own_thread(void);
struct thread *known_thread(void); /* without the lock, to change what is this thread's alone. NULL: it has no place yet */
void thread_named(const char *name); /* of the calling thread, or a new one */
void migrating_runtime_serves(void); /* if there is one in this process; without the lock */

/* transfer.c: for when a pool is empty */
void sendings_sweep(void);

/* pools.c */
void pools_init(u8 *at);
u64 pools_size(void);
struct connection *connection_take(void);
void connection_give(struct connection *connection);
struct sending *sending_take(void);
void sending_give(struct sending *sending);
struct sending *sending_at(u32 index); /* also one that isn't taken; NULL: there are no more */
struct place *place_take(u32 tid);
void place_give(struct place *place);
struct group *group_take(void);

/* table.c */
u64 look_closer(int descriptor);
u64 followed(u64 entry); /* itself, or BORING: a connection whose calls are not followed any more */
/* BORING, or what may be a connection: a call on it is followed. */
static inline u64 look(int descriptor) {
    if (LIKELY((u32)descriptor < agent.covered)) {
        u64 entry = __atomic_load_n(&agent.table[descriptor], __ATOMIC_RELAXED);
        if (LIKELY(entry == BORING))
            return BORING;
        if (LIKELY(entry != UNKNOWN))
            return followed(entry);
    }
    return look_closer(descriptor);
}
struct connection *connection_of(u64 entry); /* with the lock held; NULL: it is gone, or not to be followed */
bool is_of_interest(int type, int domain); /* SOCK_, AF_ */
struct connection *connection_begin(int descriptor, bool known_start);
void descriptor_set(int descriptor, u64 entry); /* the same: opened() */
void descriptor_closed(int descriptor);          /* takes the lock itself, where that is needed */
void closed(int descriptor);                     /* with the lock held */
void distrust(u64 entry);
int socket_type(int descriptor); /* SOCK_, or a negated errno */
void used(struct connection *connection);

/* A call on `entry` was made; enters. NULL: it can't be followed (and is distrusted where that matters). Else leave(). */
struct connection *enter_for(u64 entry);

#endif
