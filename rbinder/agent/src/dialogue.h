/* One connection's conversation: which side we are, where messages begin and end, what is recorded of them; equal to
 * rbinder/binder/dialogue.py. No I/O: bytes come in through dialogue_received and dialogue_plan / dialogue_sent, records go
 * out through report.h. The process's lock is held around each of these, and not between them.
 */
#ifndef RBINDER_DIALOGUE_H
#define RBINDER_DIALOGUE_H

#include <sys/uio.h>

#include "rules.h"

#define OPTIMISTIC (1u << 14) /* bytes: a whole response up to this size is taken as sent when it is about to be */
#define MOST_EDITS 256u       /* in one call; heads beyond go out as they are (plans.py) */
#define MOST_INSERTED (1u << 14)

/* One request and its response, as the binder follows it (binder.py, Turn). From a pool. Counted: held by the dialogue's
 * list, by its `pending`, and by plans. */
struct turn {
    struct turn *next;         /* of the dialogue's, oldest first */
    struct turn *next_planned; /* of the plan's */
    u32 references;
    struct context span;       /* has_span */
    u8 parent_id[8];           /* zeros: none */
    struct request *request;   /* counted; SERVER: itself; CLIENT: what it is made for; NULL: nobody known */
    u64 started;
    bool has_span, has_parent, called, responded;
    bool named;                /* SERVER: a runtime has asked for its task (tasks.h) */
};
struct turn *turn_take(void);
void turn_give(struct turn *turn);
static inline bool turn_recorded(const struct turn *turn) { return turn->has_span && turn->span.flags & FLAG_SAMPLED; }

/* edits.py: at `at` (offset in the program's bytes) leave out `drop` bytes and send `insert` in their place. */
struct edit {
    u64 at;
    u32 insert, size; /* of desk.text */
    u32 drop;         /* 0, or size */
    struct turn *owner;
};

/* Room for what is inserted into one call; from a small pool, held only while such a call is under way. */
struct desk {
    u32 edit_count, text_size;
    bool carries_rest; /* the first edit is the rest of an earlier call's, and has to be sent */
    struct edit edits[MOST_EDITS];
    struct iovec pieces[2 * MOST_EDITS + 1024];
    u8 text[MOST_INSERTED + BUDGET]; /* the lines of a head are written before it is known whether there is room */
};
struct desk *desk_take(void); /* NULL: all in use */
void desk_give(struct desk *desk);

/* What of an edit is still to be sent, before anything else or in place of the next bytes (Dialogue._rest). It stays in
 * its desk, so that nothing has to be found for it when it goes on. */
struct rest {
    struct desk *desk; /* NULL while a call is under way that sends it */
    u32 size;          /* of desk->text, from its beginning; 0: there is no rest */
    bool replaces;
};

/* The bytes of one call's buffers. */
struct source {
    const struct iovec *vectors;
    u32 count;
    u64 total;
};

struct dialogue {
    u64 identity;
    u32 generation;            /* of what plans were made of: one of an older generation looks again */
    struct group *group;       /* the process's */
    const struct propagation *propagation;
    struct scanner requests, responses;
    struct turn *turns, *newest; /* unanswered, oldest first; the list holds a reference of each */
    u32 turn_count;
    struct turn *pending;      /* whose head has been edited, but not been sent to its end */
    struct rest rest;
    u64 begun;
    struct group *resting;     /* CLIENT: who may use it for the next call */
    u64 seen;                  /* requests read */
    struct plan *sending;      /* a call that sends is under way: in its caller's frame */
    u64 peer;                  /* hash of the peer's address; 0: unknown */
    struct thread *connector;
    struct request *tag;       /* counted */
    u64 task;                  /* whom its next request is for, by the runtime's word; TASK_UNKNOWN: that isn't said */
    u8 side;                   /* enum side; UNKNOWN_SIDE until the first byte shows it */
    bool known_start, opaque, fresh, released;
    bool deserted;             /* SERVER: the client sends no more */
};

/* What is to be done with a call that sends (plans.py, Plan). Lives in the caller's frame between plan and sent, as do
 * the vectors of `source`. */
struct plan {
    struct source source;
    struct thread *thread;
    struct scanner scanned;
    u64 started;
    u32 generation;
    struct turn *continued;          /* counted: the head that an earlier call left unfinished */
    struct turn *turns, *last_turn;  /* counted: of the other heads that end in these bytes, in order */
    u32 head_count;
    struct event first_head;         /* valid if head_count and not `complex` */
    u64 body_size;                   /* of the message that ends in these bytes, valid if `ended` and not `complex` */
    bool ended, complex;             /* complex: more than a head and an end, to be read again when they are sent */
    struct desk *desk;               /* NULL: nothing is changed */
    bool responses;                  /* SERVER: a response is sent */
    bool trial;                      /* `scanned` is a trial that is neither kept nor abandoned yet */
    bool settled;                    /* the call's result need not be known */
};

void dialogue_init(struct dialogue *dialogue, u64 identity, struct group *group, const struct propagation *propagation,
                   bool known_start);
void dialogue_connecting(struct dialogue *dialogue, struct thread *thread);
void dialogue_starts(struct dialogue *dialogue, u64 now);
void dialogue_give_up(struct dialogue *dialogue, struct bytes error_type, u64 now);
void dialogue_fail(struct dialogue *dialogue, struct bytes error_type, u64 now);
void dialogue_eof(struct dialogue *dialogue, bool inbound, u64 now);
/* The peer sends no more; a call has failed, that read or that sent; the program has closed it, told in two steps, so that
 * it can be said between them how a connect has ended. `thread` NULL: it isn't known whose. */
void dialogue_ended(struct dialogue *dialogue, struct thread *thread, u64 now);
void dialogue_broken(struct dialogue *dialogue, struct thread *thread, struct bytes error_type, bool reading, u64 now);
void dialogue_closing(struct dialogue *dialogue, u64 now);
void dialogue_closed(struct dialogue *dialogue, u64 now);
/* Gives back all that is held, records nothing. A call that is under way may still be ended by dialogue_sent. */
void dialogue_release(struct dialogue *dialogue);
static inline bool dialogue_settled(const struct dialogue *dialogue) {
    return UNLIKELY(dialogue->opaque) && !dialogue->rest.size && !dialogue->sending;
}
static inline bool dialogue_unanswered(const struct dialogue *dialogue) { return dialogue->turns != NULL; }
static inline bool dialogue_answering(const struct dialogue *dialogue) {
    return dialogue->turns && dialogue->turns->responded;
}

void dialogue_received(struct dialogue *dialogue, struct thread *thread, const struct source *source, u64 count, u64 now);
/* A call is about to send `source`. Fill `plan`; plan->desk then holds the pieces' edits, sorted, not overlapping. */
void dialogue_plan(struct dialogue *dialogue, struct thread *thread, const struct source *source, u64 now,
                   struct plan *plan);
/* The plan's edits can't be made: the call goes through as it is. */
void dialogue_untouched(struct dialogue *dialogue, struct plan *plan);
/* The call will never return, or its dialogue is another's by now: gives back what the plan holds. */
void plan_drop(struct plan *plan);
/* In a forked child: the dialogue is a copy. No call of the parent's is under way here. */
void dialogue_forked(struct dialogue *dialogue);
/* The call returned `result` (>= 0: bytes; < 0: a negated errno). What the program is told. Gives back the desk. */
s64 dialogue_sent(struct dialogue *dialogue, struct plan *plan, s64 result, u64 now);
void dialogue_moved(struct dialogue *dialogue, u64 count, bool inbound, u64 now);

/* edits.c -- edits.py, pieces() and accepted(). */
#define MOST_PIECES 1024u /* that one call takes (UIO_MAXIOV) */
/* What to send, in order, as an iovec array in desk->pieces; 0: more pieces than a call takes. (With a rest to be sent the
 * first of them: as many as a call takes.) */
u32 lay_out(struct desk *desk, const struct source *source);
struct accepted {
    u64 program;
    struct edit *last;     /* NULL: of none anything was sent */
    bool has_rest;
    u32 rest_at, rest_size; /* in desk->text */
    bool rest_replaces;
};
struct accepted translate(struct desk *desk, u64 result);

#endif
