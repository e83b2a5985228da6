/* Trace context on the wire: W3C Trace Context level 2, baggage and B3. Bytes in, values out; no I/O, no allocation but
 * from the pool of blobs. Equal to rbinder/binder/{context,propagation,sampling}.py. */
#ifndef RBINDER_CONTEXT_H
#define RBINDER_CONTEXT_H

#include "contract.h"
#include "http.h"

#define FLAG_SAMPLED 1u
#define FLAG_RANDOM 2u
#define BUDGET 8192u       /* bytes inserted into one head, at most (propagation.py) */
#define STATE_LIMIT 65535u /* bytes of a tracestate that is kept */

/* Counted text from a pool: a tracestate, and the lines a request's calls carry on. Shared by reference. */
struct blob {
    u32 references;
    u32 size;
    u32 capacity;
    u8 text[];
};
/* pools.c, or malloc in tests. NULL: none left (what it would have held is not kept). */
struct blob *blob_take(u32 capacity);
void blob_release(struct blob *blob); /* NULL is fine */
static inline struct blob *blob_share(struct blob *blob) {
    if (blob)
        blob->references++;
    return blob;
}

/* What identifies a span across processes. `state`: the W3C tracestate, NULL for none; owned by whoever owns this. */
struct context {
    u8 trace_id[16];
    u8 span_id[8];
    u8 flags;
    struct blob *state;
};

enum word { WORD_NONE = 0, WORD_NO = 1, WORD_YES = 2 }; /* B3's: a decision without ids */

/* What a request brought (propagation.py, Inbound). `forward` holds the lines its calls carry on unchanged, each
 * "name: value" and a NUL; the names are lower case. `traceparent` is the raw value of a single traceparent header. */
struct inbound {
    struct context parent;
    struct blob *forward;
    u8 traceparent[128]; /* longer ones are never the program's verbatim copy of ours: not kept */
    u8 traceparent_size;
    bool has_parent;
    u8 sampled;          /* enum word */
    bool deferred, debug;
};

struct sampler {
    u64 bound;
    bool all, parent_based;
};

/* Source of ids, never 0 (context.c retries). `next` NULL: the agent's, which is in line; a test's counts. */
struct random {
    u64 (*next)(struct random *self);
    u64 state[4];
};

/* random.c: makes `random` a generator of the agent's. After a fork the child seeds its own anew. */
void random_seed(struct random *random, const u8 seed[32]);

/* xoshiro256++ (Blackman and Vigna, public domain): `count` numbers, a constant. Not for secrets. */
static inline void random_draw(struct random *random, u64 *to, u32 count) {
    u64 a = random->state[0], b = random->state[1], c = random->state[2], d = random->state[3];
    for (u32 i = 0; i < count; i++) {
        if (UNLIKELY(random->next != NULL)) {
            to[i] = random->next(random);
            continue;
        }
        u64 sum = a + d, shifted = b << 17;
        to[i] = (sum << 23 | sum >> 41) + a;
        c ^= a;
        d ^= b;
        b ^= c;
        a ^= d;
        c ^= shifted;
        d = d << 45 | d >> 19;
    }
    if (LIKELY(!random->next)) {
        random->state[0] = a;
        random->state[1] = b;
        random->state[2] = c;
        random->state[3] = d;
    }
}

struct propagation {
    u32 propagators; /* of enum propagator */
    struct sampler sampler;
    struct random *random;
};

void extract(const struct propagation *propagation, const struct head *head, struct inbound *inbound);
void inbound_release(struct inbound *inbound);

/* binder.py, Binder.span: a new span below `parent` (NULL: a root); `inbound` for a SERVER span. */
void make_span(const struct propagation *propagation, const struct context *parent, const struct inbound *inbound,
               struct context *span);

/* propagation.py, Propagation.lines: writes at most BUDGET bytes to `out`; returns their number, 0 for none.
 * `parent_span_id` NULL: a root. `present` are bits of enum context_name. */
u32 propagation_lines(const struct propagation *propagation, const struct context *span, const u8 *parent_span_id,
                      const struct inbound *inbound, u32 present, u32 newline, u8 *out);

/* binder.py, _forwarded: the value of the head's traceparent line as it stands, and its offset in raw; false: none. */
bool find_traceparent(const struct head *head, struct bytes *value, u32 *offset);

void write_hex(u8 *to, const u8 *bytes, u32 count);

#endif
