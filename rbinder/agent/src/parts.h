/* What the files of a dialogue share: turns.c, dialogue.c, plans.c. */
#ifndef RBINDER_PARTS_H
#define RBINDER_PARTS_H

#include "report.h"

#define OTHER_ERROR BYTES("_OTHER")

/* Reads the first `total` bytes of a source with a scanner (plans.py, scan). */
struct reading {
    struct scanner *scanner;
    const struct iovec *vector, *end;
    const u8 *data; /* being read, or NULL */
    u64 size, at;   /* of `data` */
    u64 offset;     /* of `data` in the source */
    u64 total;
};
/* dialogue.c */
struct reading reading_of(struct scanner *scanner, const struct source *source, u64 total);
bool reading_next(struct reading *reading, struct event *event); /* its `at`s count from reading->offset */

/* turns.c -- binder.py */
struct turn *turn_share(struct turn *turn);
void turn_release(struct turn *turn);
/* A request's head has been read: rule 1. NULL: the pools are empty. */
struct turn *turn_incoming(const struct dialogue *dialogue, struct thread *thread, const struct head *head, u64 started);
/* A request's head is about to be written, its blank line at `blank` in the plan's source: the call's turn, and in the
 * plan's desk what is inserted. NULL: the pools are empty. */
struct turn *turn_outgoing(const struct dialogue *dialogue, struct plan *plan, struct request *cause,
                           const struct head *head, u64 blank);

/* dialogue.c */
void let_go(struct dialogue *dialogue); /* hands off from now on */
void untag(struct dialogue *dialogue);
void rests(struct dialogue *dialogue, struct group *group);
void add_turn(struct dialogue *dialogue, struct turn *turn, const struct head *head, u64 now);
void message_end(struct dialogue *dialogue, const struct turn *turn, bool is_response, u64 body_size, u64 now);
/* False: there is nobody to answer, and what follows is of no interest. */
bool response_event(struct dialogue *dialogue, const struct event *event, u64 now);
void response_end(struct dialogue *dialogue, u64 body_size, u64 now); /* the same of an END */
void read_responses(struct dialogue *dialogue, const struct source *source, u64 count, u64 now);

/* plans.c: another thread reads an answer before the call that sent the request has returned. */
void answered_early(struct dialogue *dialogue, u64 now);

#endif
