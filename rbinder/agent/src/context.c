/* What a request brings: its parent, the lines its calls carry on, and the span that comes of it
 * (binder/context.py, propagation.py extract, sampling.py). */
#include "context.h"

#include "lines.h"

#define MAX_MEMBERS 32 /* of a tracestate */
#define LONGEST_B3 72  /* bytes; no valid value of a B3 header is longer */

/* -- lines about trace context */

/* A field about trace context: `text` is its value as it stands, with folds and the blanks around it. */
struct field {
    enum context_name kind;
    struct bytes name, text;
    bool folded;
};

static bool may_name_context(u8 first) {
    first |= 0x20;
    return first == 't' || first == 'b' || first == 'x';
}

/* The next line, behind a LF in [at, end), that may be about trace context. */
static const u8 *next_candidate(const u8 *at, const u8 *end) {
    for (; end - at > (long)BLOCK; at += BLOCK) {
        block first = either(block_at(at + 1), every(0x20));
        lanes names = lanes_of(either(either(same(first, 't'), same(first, 'b')), same(first, 'x')));
        lanes found = lanes_of(same(block_at(at), '\n')) & names;
        if (UNLIKELY(found))
            return at + first_lane(found) + 1;
    }
    for (; end - at > 1; at++)
        if (*at == '\n' && may_name_context(at[1]))
            return at + 1;
    return NULL;
}

/* Whether the line that begins at `at` is about trace context; its name and kind. */
static bool names_context(const u8 *at, const u8 *end, struct field *field) {
    const u8 *colon = find_byte(at, end, ':');
    if (!colon)
        return false;
    field->name = (struct bytes){at, (u32)(colon - at)};
    field->kind = identify_likely(at, field->name.size) & CONTEXT_NAMES;
    return field->kind && (field->kind != NAME_X_B3 || !find_byte(at, colon, '\n'));
}

static const u8 *line_end(const u8 *at, const u8 *end) {
    const u8 *feed = find_byte(at, end, '\n');
    return feed ? feed : end;
}

static bool continued(const u8 *feed, const u8 *end) {
    return end - feed > 1 && (feed[1] == ' ' || feed[1] == '\t');
}

/* Where in a head the search for fields about trace context goes on. */
struct cursor {
    const struct head *head;
    u32 line;     /* of head->lines */
    const u8 *at; /* where they aren't known */
};

static struct cursor fields_of(const struct head *head) {
    return (struct cursor){head, 0, head->raw.at};
}

RARE static bool search_context(struct cursor *cursor, struct field *field) {
    const u8 *end = cursor->head->raw.at + cursor->head->raw.size;
    for (const u8 *line = next_candidate(cursor->at, end); line; line = next_candidate(line, end)) {
        if (!names_context(line, end, field))
            continue;
        const u8 *from = field->name.at + field->name.size + 1, *stop = line_end(from, end);
        field->folded = continued(stop, end);
        while (continued(stop, end))
            stop = line_end(stop + 1, end);
        cursor->at = stop;
        field->text = (struct bytes){from, (u32)(stop - from)};
        if (field->text.size && stop[-1] == '\r')
            field->text.size--;
        return true;
    }
    return false;
}

/* The next field about trace context. */
static bool next_context(struct cursor *cursor, struct field *field) {
    const struct head *head = cursor->head;
    if (UNLIKELY(!head->indexed))
        return search_context(cursor, field);
    while (cursor->line < head->line_count) {
        const struct line *line = &head->lines[cursor->line++];
        const u8 *text = head->raw.at;
        field->kind = line->field & CONTEXT_NAMES;
        if (!field->kind)
            continue;
        field->name = (struct bytes){text + line->name, line->value - 1 - line->name};
        field->text = (struct bytes){text + line->value, line->end - line->value};
        field->folded = false;
        return true;
    }
    return false;
}

/* Copies a value, folds joined by a space (RFC 9112 5.2), blanks around it left out. The value's size; of a longer one the
 * first `room` bytes are there, and something above `room` is returned. */
static u32 copy_value(const struct field *field, u8 *out, u32 room) {
    if (LIKELY(!field->folded)) {
        struct bytes value = trimmed(field->text);
        memcpy(out, value.at, MIN(value.size, room));
        return value.size;
    }
    const u8 *at = field->text.at, *end = at + field->text.size;
    u32 size = 0, full = 0; /* up to the last byte that isn't blank; with the blanks behind it */
    while (at < end) {
        u8 byte = *at++;
        if (byte == '\r' && at < end && *at == '\n')
            continue;
        if (byte == '\n') {
            while (at < end && (*at == ' ' || *at == '\t'))
                at++;
            byte = ' ';
        }
        bool blank = byte == ' ' || byte == '\t';
        if (blank && !size)
            continue;
        if (full < room)
            out[full] = byte;
        full++;
        if (!blank)
            size = full;
    }
    return size;
}

/* -- hexadecimal */

enum digit { VALUE = 0x0f, UPPER = 0x10, DIGIT = 0x20 }; /* bits of a digit's entry */
#define D DIGIT
#define U DIGIT | UPPER
static const u8 DIGITS[256] = {
    ['0'] = D | 0,  ['1'] = D | 1,  ['2'] = D | 2,  ['3'] = D | 3,  ['4'] = D | 4,  ['5'] = D | 5,  ['6'] = D | 6,
    ['7'] = D | 7,  ['8'] = D | 8,  ['9'] = D | 9,  ['a'] = D | 10, ['b'] = D | 11, ['c'] = D | 12, ['d'] = D | 13,
    ['e'] = D | 14, ['f'] = D | 15, ['A'] = U | 10, ['B'] = U | 11, ['C'] = U | 12, ['D'] = U | 13, ['E'] = U | 14,
    ['F'] = U | 15,
};
#undef D
#undef U

/* Sixteen digits at once; false: they are none. */
static inline bool read_sixteen(const u8 *from, u8 *to, bool any_case) {
    block text = block_at(from), letters = any_case ? either(text, every(0x20)) : text;
    block are_numbers = within(text, '0', '9'), are_letters = within(letters, 'a', 'f');
    block values = either(both(less(text, '0'), are_numbers), both(less(letters, 'a' - 10), are_letters));
    put_pairs(to, values);
    return !other_lanes(either(are_numbers, are_letters));
}

/* Reads `count` bytes' worth of digits: one, or a multiple of eight. */
static inline bool read_hex(const u8 *from, u32 count, u8 *to, bool any_case) {
    if (count == 1) {
        u8 high = DIGITS[from[0]], low = DIGITS[from[1]];
        *to = (u8)(high << 4 | (low & VALUE));
        return high & low & DIGIT && (any_case || !((high | low) & UPPER));
    }
    bool good = true;
    for (u32 index = 0; index < count; index += 8)
        good &= read_sixteen(from + 2 * index, to + index, any_case);
    return good;
}

static inline bool no_trace_id(const u8 *id) {
    return !(*(const any_u64 *)id | *(const any_u64 *)(id + 8));
}

static inline bool no_span_id(const u8 *id) {
    return !*(const any_u64 *)id;
}

/* -- W3C */

/* context.py, parse_traceparent() of one value, of which 56 bytes are enough. */
static bool parse_traceparent(struct bytes value, struct context *context) {
    u8 version, flags;
    const u8 *at = value.at;
    if (value.size < 55 || at[2] != '-' || at[35] != '-' || at[52] != '-')
        return false;
    if (!read_hex(at, 1, &version, false) || !read_hex(at + 3, 16, context->trace_id, false) ||
        !read_hex(at + 36, 8, context->span_id, false) || !read_hex(at + 53, 1, &flags, false))
        return false;
    if (version == 0xff || (value.size > 55 && (version == 0 || at[55] != '-')))
        return false;
    context->flags = flags & (FLAG_SAMPLED | FLAG_RANDOM);
    return !no_trace_id(context->trace_id) && !no_span_id(context->span_id);
}

enum key_class { KEY_START = 1, KEY_CHAR = 2 };
static const u8 KEYS[256] = {
    ['0' ... '9'] = KEY_START | KEY_CHAR, ['a' ... 'z'] = KEY_START | KEY_CHAR, ['_'] = KEY_CHAR, ['*'] = KEY_CHAR,
    ['/'] = KEY_CHAR, ['-'] = KEY_CHAR,
};

static u32 key_length(const u8 *at, const u8 *end) {
    const u8 *from = at;
    while (at < end && KEYS[*at] & KEY_CHAR)
        at++;
    return (u32)(at - from);
}

/* The size of the key that a member (without blanks around it) begins with, 0 if the member isn't valid. */
static u32 parse_member(const u8 *at, const u8 *end) {
    const u8 *from = at;
    if (!(KEYS[*at] & KEY_START))
        return 0;
    u32 size = key_length(at, end);
    at += size;
    if (at < end && *at == '@') {
        u32 vendor = key_length(at + 1, end);
        if (size > 241 || !vendor || vendor > 14 || !(KEYS[at[1]] & KEY_START))
            return 0;
        at += 1 + vendor;
    } else if (size > 256) {
        return 0;
    }
    if (at == end || *at != '=' || end - at < 2 || end - at > 257)
        return 0;
    u32 key = (u32)(at - from);
    for (at++; at < end; at++)
        if (*at < ' ' || *at > '~' || *at == ',' || *at == '=')
            return 0;
    return key;
}

/* Makes of joined tracestate values a tracestate, in place; its size, 0 if it isn't valid (context.py, parse_tracestate). */
static u32 compact_state(u8 *text, u32 size) {
    struct bytes keys[MAX_MEMBERS];
    u32 members = 0, written = 0;
    const u8 *end = text + size;
    for (const u8 *at = text; at <= end;) {
        const u8 *comma = find_byte(at, end, ',');
        struct bytes member = trimmed((struct bytes){at, (u32)((comma ? comma : end) - at)});
        at = comma ? comma + 1 : end + 1;
        if (!member.size)
            continue;
        u32 key = parse_member(member.at, member.at + member.size);
        if (!key || members == MAX_MEMBERS)
            return 0;
        if (members)
            text[written++] = ',';
        memmove(text + written, member.at, member.size); /* never to the right of where it was */
        struct bytes name = {text + written, key};
        for (u32 index = 0; index < members; index++)
            if (equal(keys[index], name))
                return 0;
        keys[members++] = name;
        written += member.size;
    }
    return written;
}

static struct blob *extract_state(const struct head *head, u32 bound) {
    struct blob *state = blob_take(MIN(bound, STATE_LIMIT));
    struct cursor cursor = fields_of(head);
    struct field field;
    u32 size = 0;
    if (!state)
        return NULL;
    while (next_context(&cursor, &field)) {
        if (field.kind != NAME_TRACESTATE)
            continue;
        if (size && size < state->capacity)
            state->text[size++] = ',';
        u32 room = state->capacity - size, value = copy_value(&field, state->text + size, room);
        if (value > room)
            break;
        size += value;
    }
    state->size = compact_state(state->text, size);
    if (state->size)
        return state;
    blob_release(state);
    return NULL;
}

/* -- B3 */

struct b3_value {
    u8 size; /* LONGEST_B3 + 1: too long to be valid */
    u8 text[LONGEST_B3];
};
struct b3 {
    struct b3_value single, flags, sampled, trace, span;
    bool found;
};

static struct bytes text_of(const struct b3_value *value) {
    return (struct bytes){value->text, value->size > LONGEST_B3 ? 0 : value->size};
}

static struct b3_value *b3_place(struct b3 *b3, const struct field *field) {
    struct bytes rest = {field->name.at + 5, field->name.size > 5 ? field->name.size - 5 : 0};
    if (field->kind == NAME_B3)
        return &b3->single;
    if (equal_ignoring_case(rest, BYTES("flags")))
        return &b3->flags;
    if (equal_ignoring_case(rest, BYTES("sampled")))
        return &b3->sampled;
    if (equal_ignoring_case(rest, BYTES("traceid")))
        return &b3->trace;
    return equal_ignoring_case(rest, BYTES("spanid")) ? &b3->span : NULL;
}

static void gather_b3(const struct head *head, struct b3 *b3) {
    struct cursor cursor = fields_of(head);
    struct field field;
    b3->single.size = b3->flags.size = b3->sampled.size = b3->trace.size = b3->span.size = 0;
    b3->found = false;
    while (next_context(&cursor, &field)) {
        if (field.kind != NAME_B3 && field.kind != NAME_X_B3)
            continue;
        b3->found = true;
        struct b3_value *place = b3_place(b3, &field);
        if (place)
            place->size = (u8)MIN(copy_value(&field, place->text, LONGEST_B3), LONGEST_B3 + 1u);
    }
}

static enum word b3_word(u8 byte) {
    return byte == '1' || byte == 'd' ? WORD_YES : byte == '0' ? WORD_NO : WORD_NONE;
}

/* A trace id of 16 or 32 digits and a span id of 16. */
static bool b3_ids(struct bytes trace, const u8 *span, struct context *context) {
    if (trace.size != 16 && trace.size != 32)
        return false;
    memset(context->trace_id, 0, 8);
    return read_hex(trace.at, trace.size / 2, context->trace_id + 16 - trace.size / 2, true) &&
           read_hex(span, 8, context->span_id, true);
}

static bool b3_parent(struct inbound *inbound, enum word sampled, bool debug) {
    struct context *parent = &inbound->parent;
    if (no_trace_id(parent->trace_id) || no_span_id(parent->span_id))
        return false;
    parent->flags = sampled == WORD_YES ? FLAG_SAMPLED : 0;
    inbound->has_parent = true;
    inbound->deferred = sampled == WORD_NONE;
    inbound->debug = debug;
    return true;
}

/* context.py, _b3_single(): the `b3` header. */
static bool b3_single(struct bytes value, struct inbound *inbound) {
    if (value.size == 1) {
        inbound->sampled = b3_word(value.at[0]);
        inbound->debug = value.at[0] == 'd';
        return inbound->sampled != WORD_NONE;
    }
    u32 trace = value.size > 16 && value.at[16] == '-' ? 16 : 32;
    u32 ids = trace + 1 + 16;
    if (value.size < ids || value.at[trace] != '-')
        return false;
    if (!b3_ids((struct bytes){value.at, trace}, value.at + trace + 1, &inbound->parent))
        return false;
    u8 state = value.size >= ids + 2 ? value.at[ids + 1] : 0, parent[8];
    if (value.size != ids &&
        (value.size < ids + 2 || value.at[ids] != '-' || b3_word(state) == WORD_NONE))
        return false;
    if (value.size > ids + 2 &&
        (value.size != ids + 19 || value.at[ids + 2] != '-' || !read_hex(value.at + ids + 3, 8, parent, true)))
        return false;
    return b3_parent(inbound, b3_word(state), state == 'd');
}

/* context.py, _b3_multi(): the x-b3-* headers. */
static void b3_multi(const struct b3 *b3, struct inbound *inbound) {
    struct bytes sampled = text_of(&b3->sampled), span = text_of(&b3->span), flags = text_of(&b3->flags);
    bool debug = flags.size == 1 && flags.at[0] == '1';
    enum word word = WORD_NONE;
    if (debug || equal_ignoring_case(sampled, BYTES("true")))
        word = WORD_YES;
    else if (equal_ignoring_case(sampled, BYTES("false")))
        word = WORD_NO;
    else if (sampled.size == 1)
        word = b3_word(lower(sampled.at[0]));
    if (span.size == 16 && b3_ids(text_of(&b3->trace), span.at, &inbound->parent)) {
        b3_parent(inbound, word, debug);
    } else if (word != WORD_NONE) {
        inbound->sampled = word;
        inbound->debug = debug;
    }
}

RARE static void extract_b3(const struct head *head, struct inbound *inbound) {
    struct b3 b3;
    gather_b3(head, &b3);
    if (b3.found && !b3_single(text_of(&b3.single), inbound))
        b3_multi(&b3, inbound);
}

/* -- everything a request brings */

static bool passes_on(u32 propagators, enum context_name kind) {
    if (kind == NAME_BAGGAGE)
        return propagators & BAGGAGE;
    if (kind == NAME_B3 || kind == NAME_X_B3)
        return !(propagators & (B3_SINGLE | B3_MULTI));
    return kind == NAME_X_REQUEST_ID || kind == NAME_X_OT_SPAN_CONTEXT;
}

static struct blob *extract_forward(const struct head *head, u32 propagators, u32 bound) {
    struct blob *forward = blob_take(bound);
    struct cursor cursor = fields_of(head);
    struct field field;
    u32 size = 0;
    if (!forward)
        return NULL;
    while (next_context(&cursor, &field)) {
        if (!passes_on(propagators, field.kind))
            continue;
        if (bound - size < field.name.size + field.text.size + 3)
            break;
        for (u32 index = 0; index < field.name.size; index++)
            forward->text[size++] = lower(field.name.at[index]);
        forward->text[size++] = ':';
        forward->text[size++] = ' ';
        size += copy_value(&field, forward->text + size, field.text.size);
        forward->text[size++] = '\0';
    }
    forward->size = size;
    return forward;
}

static u32 interesting(u32 propagators) {
    u32 names = NAME_B3 | NAME_X_B3 | NAME_X_REQUEST_ID | NAME_X_OT_SPAN_CONTEXT;
    return names | (propagators & W3C ? NAME_TRACEPARENT : 0) | (propagators & BAGGAGE ? NAME_BAGGAGE : 0);
}

static void take_traceparent(const struct field *field, u32 nth, struct inbound *inbound) {
    u32 size = copy_value(field, inbound->traceparent, sizeof inbound->traceparent);
    struct bytes value = {inbound->traceparent, MIN(size, (u32)sizeof inbound->traceparent)};
    bool only = nth == 1;
    inbound->has_parent = only && parse_traceparent(value, &inbound->parent);
    inbound->traceparent_size = only && size <= sizeof inbound->traceparent ? (u8)size : 0;
}

void extract(const struct propagation *propagation, const struct head *head, struct inbound *inbound) {
    u32 propagators = propagation->propagators, traceparents = 0, states = 0, forwarded = 0;
    struct cursor cursor = fields_of(head);
    struct field field;
    inbound->has_parent = inbound->deferred = inbound->debug = false;
    inbound->forward = inbound->parent.state = NULL;
    inbound->traceparent_size = inbound->sampled = 0;
    if (!propagators || !(head->present & interesting(propagators)))
        return;
    while (next_context(&cursor, &field)) {
        if (field.kind == NAME_TRACEPARENT && propagators & W3C)
            take_traceparent(&field, ++traceparents, inbound);
        else if (field.kind == NAME_TRACESTATE)
            states += field.text.size + 1;
        else if (passes_on(propagators, field.kind))
            forwarded += field.name.size + field.text.size + 3;
    }
    if (forwarded)
        inbound->forward = extract_forward(head, propagators, forwarded);
    if (!traceparents)
        extract_b3(head, inbound);
    else if (inbound->has_parent && states)
        inbound->parent.state = extract_state(head, states);
}

void inbound_release(struct inbound *inbound) {
    blob_release(inbound->parent.state);
    blob_release(inbound->forward);
    inbound->parent.state = inbound->forward = NULL;
}

/* -- spans */

static u64 big_endian(const u8 *at) {
    u64 value;
    __builtin_memcpy(&value, at, sizeof value);
    return __builtin_bswap64(value);
}

static void put_big_endian(u8 *at, u64 value) {
    value = __builtin_bswap64(value);
    __builtin_memcpy(at, &value, sizeof value);
}

/* sampling.py, Sampler.decide(). */
static bool decide(const struct sampler *sampler, const struct context *parent, const u8 *trace_id) {
    if (sampler->parent_based && parent)
        return parent->flags & FLAG_SAMPLED;
    return sampler->all || big_endian(trace_id + 8) < sampler->bound;
}

static bool decide_inbound(const struct sampler *sampler, const struct inbound *inbound, const u8 *trace_id) {
    if (!inbound->has_parent && inbound->sampled != WORD_NONE && sampler->parent_based)
        return inbound->sampled == WORD_YES;
    return decide(sampler, inbound->has_parent && !inbound->deferred ? &inbound->parent : NULL, trace_id);
}

void make_span(const struct propagation *propagation, const struct context *parent, const struct inbound *inbound,
               struct context *span) {
    struct random *random = propagation->random;
    const struct sampler *sampler = &propagation->sampler;
    u64 ids[3]; /* the trace's in two halves, the span's */
    if (parent) {
        __builtin_memcpy(span->trace_id, parent->trace_id, 16);
        random_draw(random, &ids[2], 1);
    } else {
        do
            random_draw(random, ids, 3);
        while (UNLIKELY(!(ids[0] | ids[1])));
        put_big_endian(span->trace_id, ids[0]);
        put_big_endian(span->trace_id + 8, ids[1]);
    }
    bool sampled = inbound ? decide_inbound(sampler, inbound, span->trace_id) : decide(sampler, parent, span->trace_id);
    span->flags = (u8)((sampled ? FLAG_SAMPLED : 0) | (parent ? parent->flags & FLAG_RANDOM : FLAG_RANDOM));
    while (UNLIKELY(!ids[2]))
        random_draw(random, &ids[2], 1);
    put_big_endian(span->span_id, ids[2]);
    span->state = blob_share(parent ? parent->state : NULL);
}

/* -- what a program sends itself */

bool find_traceparent(const struct head *head, struct bytes *value, u32 *offset) {
    const u8 *end = head->raw.at + head->raw.size;
    for (const u8 *feed = find_byte(head->raw.at, end, '\n'); feed; feed = find_byte(feed + 1, end, '\n')) {
        const u8 *at = feed + 1;
        if (end - at < 12 || !SPELLS(at, "traceparent"))
            continue;
        for (at += 11; at < end && (*at == ' ' || *at == '\t');)
            at++;
        const u8 *stop = line_end(at, end);
        if (at == end || *at != ':' || stop == end)
            continue;
        struct bytes text = trimmed((struct bytes){at + 1, (u32)(stop - at - 1) - (stop[-1] == '\r')});
        if (find_byte(text.at, text.at + text.size, '\r'))
            continue;
        *value = text;
        *offset = (u32)(text.at - head->raw.at);
        return true;
    }
    return false;
}
