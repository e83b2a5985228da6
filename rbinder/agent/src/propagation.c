/* The header lines that an outgoing request gets (binder/propagation.py, lines()). */
#include "block.h"
#include "context.h"

#define PUT(at, literal) (__builtin_memcpy(at, literal, sizeof(literal) - 1), (at) + sizeof(literal) - 1)
#define LARGE_MEMBER 128 /* bytes; larger members of a tracestate are the first to go (Trace Context, "tracestate Limits") */

/* `count` is a multiple of eight. */
static inline u8 *put_hex(u8 *to, const u8 *bytes, u32 count) {
    for (u32 index = 0; index < count; index += 8, to += BLOCK) {
        block digits = halves_at(bytes + index), are_letters = within(digits, 10, 15);
        block_put(to, plus(plus(digits, every('0')), both(are_letters, every('a' - '0' - 10))));
    }
    return to;
}

void write_hex(u8 *to, const u8 *bytes, u32 count) {
    put_hex(to, bytes, count);
}

static inline u8 *put_newline(u8 *at, u32 newline) {
    return newline == 2 ? PUT(at, "\r\n") : PUT(at, "\n");
}

static u8 *put_traceparent(u8 *at, const struct context *span) {
    at = PUT(at, "traceparent: 00-");
    at = put_hex(at, span->trace_id, 16);
    at = PUT(at, "-");
    at = put_hex(at, span->span_id, 8);
    at = PUT(at, "-0");
    *at++ = (u8)('0' + (span->flags & (FLAG_SAMPLED | FLAG_RANDOM)));
    return at;
}

/* The parent's span id if there is one: zeros stand for none. */
static const u8 *real(const u8 *parent_span_id) {
    u64 value = 0;
    if (parent_span_id)
        __builtin_memcpy(&value, parent_span_id, sizeof value);
    return value ? parent_span_id : NULL;
}

static u8 *put_b3_single(u8 *at, const struct context *span, const u8 *parent, bool debug) {
    at = PUT(at, "b3: ");
    at = put_hex(at, span->trace_id, 16);
    at = PUT(at, "-");
    at = put_hex(at, span->span_id, 8);
    at = PUT(at, "-");
    *at++ = debug ? 'd' : span->flags & FLAG_SAMPLED ? '1' : '0';
    if (parent) {
        at = PUT(at, "-");
        at = put_hex(at, parent, 8);
    }
    return at;
}

static u8 *put_b3_multi(u8 *at, const struct context *span, const u8 *parent, bool debug, u32 newline) {
    at = PUT(at, "x-b3-traceid: ");
    at = put_newline(put_hex(at, span->trace_id, 16), newline);
    at = PUT(at, "x-b3-spanid: ");
    at = put_newline(put_hex(at, span->span_id, 8), newline);
    if (debug)
        at = PUT(at, "x-b3-flags: 1"); /* stands for sampled: they never come together */
    else
        at = span->flags & FLAG_SAMPLED ? PUT(at, "x-b3-sampled: 1") : PUT(at, "x-b3-sampled: 0");
    at = put_newline(at, newline);
    if (parent) {
        at = PUT(at, "x-b3-parentspanid: ");
        at = put_newline(put_hex(at, parent, 8), newline);
    }
    return at;
}

/* A tracestate of at most `room` bytes: without its large members if it is longer, then without its last ones. */
static u32 put_state(u8 *out, const struct blob *state, u32 room) {
    if (state->size <= room) {
        memcpy(out, state->text, state->size);
        return state->size;
    }
    const u8 *at = state->text, *end = at + state->size;
    u32 written = 0;
    while (at < end) {
        const u8 *comma = find_byte(at, end, ',');
        u32 size = (u32)((comma ? comma : end) - at);
        u32 needed = size + (written ? 1 : 0);
        if (size <= LARGE_MEMBER) {
            if (written + needed > room)
                break;
            if (written)
                out[written++] = ',';
            memcpy(out + written, at, size);
            written += size;
        }
        at += size + 1;
    }
    return written;
}

/* -- lines that are carried on */

struct carried {
    struct bytes line;   /* name, colon, space, value */
    bool baggage;
    u32 rank;            /* the higher the sooner it is dropped: baggage first, then the longest */
};

/* The next line of `forward` that the program doesn't send itself; begin with *at = 0. */
static bool next_carried(const struct blob *forward, u32 *at, u32 present, struct carried *carried) {
    while (*at < forward->size) {
        const u8 *from = forward->text + *at, *end = find_byte(from, forward->text + forward->size, '\0');
        if (!end)
            return false;
        *at = (u32)(end + 1 - forward->text);
        carried->line = (struct bytes){from, (u32)(end - from)};
        carried->baggage = from[0] == 'b' && from[1] == 'a';
        carried->rank = carried->line.size | (carried->baggage ? 1u << 31 : 0);
        u32 name = carried->baggage ? NAME_BAGGAGE
                   : from[0] == 'b' || from[3] == '3' ? NAME_B3 | NAME_X_B3
                   : from[2] == 'r' ? NAME_X_REQUEST_ID
                                    : NAME_X_OT_SPAN_CONTEXT;
        if (!(present & name))
            return true;
    }
    return false;
}

/* What is dropped so that the others fit: all lines of a higher rank than `rank`, and the first `count` of that one. */
struct drops {
    u32 rank, count;
};

static struct drops choose_drops(const struct blob *forward, u32 present, u32 newline, u32 room) {
    struct drops drops = {~0u, 0};
    struct carried carried;
    s64 excess = -(s64)room;
    for (u32 at = 0; next_carried(forward, &at, present, &carried);)
        excess += carried.line.size + newline;
    while (excess > 0) {
        u32 highest = 0;
        for (u32 at = 0; next_carried(forward, &at, present, &carried);)
            if (carried.rank < drops.rank && carried.rank > highest)
                highest = carried.rank;
        drops = (struct drops){highest, 0};
        for (u32 at = 0; excess > 0 && next_carried(forward, &at, present, &carried);)
            if (carried.rank == highest) {
                drops.count++;
                excess -= carried.line.size + newline;
            }
    }
    return drops;
}

static u8 *put_forwarded(u8 *out, const struct blob *forward, u32 present, u32 newline, u32 room) {
    struct drops drops = {~0u, 0};
    struct carried carried;
    if (UNLIKELY(forward->size >= room / 2)) /* else it fits, whatever its lines */
        drops = choose_drops(forward, present, newline, room);
    for (u32 at = 0; next_carried(forward, &at, present, &carried);) {
        if (carried.rank > drops.rank || (carried.rank == drops.rank && drops.count && drops.count--))
            continue;
        memcpy(out, carried.line.at, carried.line.size);
        out = put_newline(out + carried.line.size, newline);
    }
    return out;
}

u32 propagation_lines(const struct propagation *propagation, const struct context *span, const u8 *parent_span_id,
                      const struct inbound *inbound, u32 present, u32 newline, u8 *out) {
    u32 propagators = propagation->propagators;
    const u8 *parent = real(parent_span_id);
    bool debug = inbound && inbound->debug, w3c = propagators & W3C && !(present & NAME_TRACEPARENT);
    u8 *at = out;
    if (!propagators)
        return 0;
    if (w3c)
        at = put_newline(put_traceparent(at, span), newline);
    if (propagators & B3_SINGLE && !(present & (NAME_B3 | NAME_X_B3)))
        at = put_newline(put_b3_single(at, span, parent, debug), newline);
    if (propagators & B3_MULTI && !(present & (NAME_B3 | NAME_X_B3)))
        at = put_b3_multi(at, span, parent, debug, newline);
    if (w3c && span->state && !(present & NAME_TRACESTATE)) {
        static const u8 name[] = "tracestate: ";
        u32 room = BUDGET - (u32)(at - out) - (sizeof name - 1) - newline;
        u32 size = put_state(at + sizeof name - 1, span->state, room);
        if (size) {
            __builtin_memcpy(at, name, sizeof name - 1);
            at = put_newline(at + sizeof name - 1 + size, newline);
        }
    }
    if (inbound && inbound->forward)
        at = put_forwarded(at, inbound->forward, present, newline, BUDGET - (u32)(at - out));
    return (u32)(at - out);
}
