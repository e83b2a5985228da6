/* Which incoming request caused this outgoing one? The rules of rbinder/binder/rules.py, equal to them. No I/O.
 *
 * All of it belongs to one process and is changed under the process's lock alone.
 */
#ifndef RBINDER_RULES_H
#define RBINDER_RULES_H

#include "context.h"

#define MOST_ERRANDS 256u
#define PEERS 256u /* of a group; beyond them no connection counts as spare */
#define NAMES 1024u /* of a group: a power of two */
#define LINGERS 60000000000ull            /* ns: servers wait as long by default (nginx's proxy_read_timeout) */
#define SAME_MOMENT 10000000ull           /* ns: within one turn of a loop */
#define NEVER_DROPPED (-(s64)SAME_MOMENT) /* a time */

/* A task: the incoming request that something is done for, as a number that is made of its span id. It stays its name for
 * ever; once the request has been answered nothing is done for it any more. */
#define TASK_NONE 0ull       /* known: for no request */
#define TASK_UNKNOWN (~0ull) /* nobody says */

struct thread;
struct group;

/* An incoming request being served. Counted: whoever keeps a pointer holds a reference (`request_share`,
 * `request_release`); an open one is held by its group as well. */
struct request {
    struct context span;
    struct inbound inbound;
    u64 connection;         /* identity */
    u32 references;
    s64 waiting;            /* calls it made whose responses have not ended */
    u64 began;              /* CLOCK_MONOTONIC ns, as are other times */
    s64 dropped_at;         /* the program has given up a call that it made for it; NEVER_DROPPED */
    struct group *lost_in;  /* its client has gone before the answer's end; in which process, and when. NULL: it hasn't */
    u64 lost_at;
    bool open;
    bool foreign;           /* it is another process's (we were forked by it): `open` is asked of shared.open */
    bool grouped;           /* in its group's list; `home` set: in its thread's list */
    struct thread *home;    /* the thread that serves it */
    struct request *next_of_group, *previous_of_group, *next_of_thread, *previous_of_thread; /* as they began */
    struct request *next_named; /* of those whose names share a place in their group's index */
};

struct spare {
    u64 peer; /* 0: free */
    s64 count;
};

struct group {
    bool migrates, acts_alone;
    bool indexed;             /* a task was asked for: open requests are in `named` */
    u64 begun;
    u64 doubt, doubt_before;  /* a minute after a client has gone, and after one had before it */
    u32 open;                 /* how many */
    struct request *requests, *newest; /* open ones, oldest first; the list holds a reference of each */
    struct spare spare[PEERS];
    struct request *named[NAMES]; /* open ones, by the low bits of their tasks */
};

struct thread {
    struct group *group;
    struct request *serving, *newest; /* oldest first */
    u32 serving_count, idle; /* how many, and how many of them wait for no call of theirs */
    bool interleaves, answered;
    bool strays;              /* it has made calls that nothing it read gave rise to */
    bool acted;               /* it has made a call, and read nothing since */
    bool told;                /* its runtime says of each call whom it is for; what it says nothing of is for nobody */
    u64 task;                 /* rule 0: what it works for by its runtime's word, until it says otherwise */
    u64 asked;                /* the same, for the call that is being planned */
    struct request *current;  /* counted references, as is `borrowed` */
    struct request *borrowed;
    s64 borrowed_at;          /* -1: a process of its own */
    u32 errand_count;
    u64 errands[MOST_ERRANDS]; /* hashes of (peer, method, path) */
};

/* pools.c, or malloc in tests. */
struct request *request_take(void);
void request_give(struct request *request);
/* report.c: sets and clears shared.open, and asks it. */
void shared_opened(const u8 *span_id);
void shared_finished(const u8 *span_id);
bool shared_is_open(const u8 *span_id);

struct request *request_share(struct request *request);
void request_release(struct request *request); /* NULL is fine */
bool request_open(struct request *request);     /* foreign ones are looked up */
void request_waits(struct request *request, int change); /* a call of its begins or ends */

void group_init(struct group *group);
/* In a forked child, before any event of its own: the open requests are the parent's, and leave the group. Threads of the
 * parent's are forgotten (thread_forget_all) after the one that goes on has inherited. */
void group_forked(struct group *group);
void thread_init(struct thread *thread, struct group *group);
void thread_forget_all(struct thread *thread); /* the thread has ended, or is another's now: releases what it holds */

void thread_begin(struct thread *thread, struct request *request);
void thread_touch(struct thread *thread, struct request *request);
void thread_resume(struct thread *thread, struct request *request); /* NULL: nobody known */
/* rule 7. `thread` is new; `parent` is who made it, in the same group; or, across fork, a copy of it (`forked`). */
void thread_inherit(struct thread *thread, struct thread *parent, bool forked);
u64 request_task(const struct request *request);
/* The open request that goes by this name, in this process or borrowed from the one it was forked by; or NULL. */
struct request *thread_named_request(struct thread *thread, u64 task);
/* Whether the runtime's word alone counts here: no other rule is asked. */
static inline bool thread_has_word(const struct thread *thread) {
    return (thread->task & thread->asked) != TASK_UNKNOWN || thread->told;
}
/* rule 3: something has been read here; a call has been made here, or connected for, in a process that serves. */
static inline void thread_listens(struct thread *thread) { thread->acted = false; }
static inline void thread_acts(struct thread *thread) {
    thread->strays |= thread->acted;
    thread->acted = thread->group->begun > 0;
}
/* rule 3: whether a call that is made here can't be another's than this one's. */
bool thread_excludes_others(const struct thread *thread, const struct request *own);
/* rule 6: a client has gone; the program has given up a call that it made for the request; whether what seems to be done
 * for the request may be done for one whose client has gone. */
void request_lost(struct request *request, struct group *group, u64 now);
void request_dropped(struct request *request, u64 now);
static inline bool group_doubts(const struct group *group, const struct request *request) {
    return UNLIKELY(group->doubt != 0) && request->began < group->doubt;
}
/* It has seen the request's client go while it serves the request: it is a loop. */
static inline void thread_watches(struct thread *thread, const struct request *request) {
    thread->interleaves |= request->home == thread;
}
/* `errand` 0: not known yet (a connect), or not asked for. `peer` is the errand's. Borrowed pointer: share it to keep it. */
struct request *thread_cause(struct thread *thread, u64 errand, u64 peer);
void thread_called(struct thread *thread, u64 errand);
/* Whether the errand matters to thread_cause() and to thread_called(): most threads serve one request at a time. */
static inline bool thread_asks_errand(const struct thread *thread) {
    return thread->interleaves || thread->answered;
}
static inline bool thread_keeps_errand(const struct thread *thread) {
    return !thread->serving && !thread->borrowed;
}
void request_finish(struct request *request, struct group *group);
bool group_spare(struct group *group, u64 peer, int change); /* false: no room to count it */

/* dialogue.py, errand(): never 0. */
u64 errand_of(u64 peer, const struct head *head);

#endif
