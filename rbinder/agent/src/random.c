/* The seed of ids: the kernel's random bytes. */
#include "context.h"

void random_seed(struct random *random, const u8 seed[32]) {
    random->next = NULL;
    __builtin_memcpy(random->state, seed, sizeof random->state);
    if (!(random->state[0] | random->state[1] | random->state[2] | random->state[3]))
        random->state[0] = 1; /* all zeros would stay so */
}
