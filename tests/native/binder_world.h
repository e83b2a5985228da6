/* What surrounds the binder in tests: pools of malloc's that can be made to run dry, ids that count, records as lines. */
#ifndef BINDER_WORLD_H
#define BINDER_WORLD_H

#include "parts.h"

#define MOST 64

struct world {
    struct group groups[MOST];
    struct thread threads[MOST];
    struct dialogue dialogues[MOST];
    struct plan plans[MOST];
    struct dialogue *planned[MOST]; /* whose each plan is; NULL: no such plan is under way */
    struct propagation propagation;
    struct random random;
};

extern struct world world;
extern long in_use;      /* of all pools together */
extern long most_in_use; /* beyond it, pools are empty */
extern bool quiet;       /* no records are printed */

void world_begin(void);  /* nothing is there yet */
void world_end(void);    /* gives everything back */
void print_digits(const void *at, size_t size);
void print_hex(const void *at, size_t size); /* behind an equals sign */

#endif
