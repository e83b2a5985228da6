/* Ids: xoshiro256++ (Blackman and Vigna, public domain), seeded by the kernel's random bytes. Not for secrets. */
#include "context.h"

static inline u64 rotated(u64 value, u32 by) {
    return value << by | value >> (64 - by);
}

static u64 random_next(struct random *self) {
    u64 *state = self->state;
    u64 result = rotated(state[0] + state[3], 23) + state[0];
    u64 shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotated(state[3], 45);
    return result;
}

void random_seed(struct random *random, const u8 seed[32]) {
    __builtin_memcpy(random->state, seed, sizeof random->state);
    if (!(random->state[0] | random->state[1] | random->state[2] | random->state[3]))
        random->state[0] = 1; /* all zeros would stay so */
    random->next = random_next;
}
