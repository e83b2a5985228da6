/* Start lines and whole heads, in one pass over a buffer (framing.py). In doubt the answer is BAD: hands off. */
#include "lines.h"

/* The end of a line that is good but for it: CRLF or LF at `at`. */
static inline enum parsed_kind line_end(const u8 *at, const u8 *end, const u8 **next) {
    if (at == end)
        return UNFINISHED;
    u8 byte = *at++;
    if (byte == '\r') {
        if (at == end)
            return UNFINISHED;
        byte = *at++;
    } /* nothing else may stand between the two */
    *next = at;
    return byte == '\n' ? WHOLE : BAD;
}

/* "HTTP/1.0" or "HTTP/1.1" at `at`, with 8 bytes there. */
static inline bool version(const u8 *at, u8 *minor) {
    u64 found = *(const any_u64 *)at;
    *minor = (u8)((found >> 56) & 1);
    return (found & 0xfeffffffffffffffu) == 0x302e312f50545448u; /* "HTTP/1.0", little-endian */
}

/* The first byte that is no target character (RFC 9112 3.2, and raw UTF-8), or `end`. */
static const u8 *find_target_end(const u8 *at, const u8 *end) {
    for (; (size_t)(end - at) >= BLOCK; at += BLOCK) {
        block data = block_at(at);
        lanes found = lanes_of(either(at_most(data, ' '), same(data, 0x7f)));
        if (found)
            return at + first_lane(found);
    }
    while (at < end && *at > ' ' && *at != 0x7f)
        at++;
    return at;
}

enum parsed_kind request_line(const u8 *at, const u8 *end, struct head *head, const u8 **next) {
    const u8 *method = at;
    at = find_token_end(at, end, last_block(at, end));
    if (at == end)
        return UNFINISHED;
    if (at == method || (size_t)(at - method) > METHOD_SIZE || *at != ' ')
        return BAD;
    head->method = (struct bytes){method, (u32)(at - method)};
    const u8 *target = ++at;
    at = find_target_end(at, end);
    if (at == end)
        return UNFINISHED;
    if (at == target || *at != ' ' || (size_t)(at - target) > KEPT)
        return BAD;
    head->target = (struct bytes){target, (u32)(at - target)};
    head->status = 0;
    head->odd = false;
    if (end - ++at < 8)
        return UNFINISHED;
    return version(at, &head->minor) ? line_end(at + 8, end, next) : BAD;
}

enum parsed_kind status_line(const u8 *at, const u8 *end, struct head *head, const u8 **next) {
    if (end - at < 13)
        return UNFINISHED;
    u8 first = (u8)(at[9] - '0'), second = (u8)(at[10] - '0'), third = (u8)(at[11] - '0');
    if (!version(at, &head->minor) || at[8] != ' ' || (u8)(first - 1) > 8 || second > 9 || third > 9)
        return BAD;
    head->method = head->target = (struct bytes){at, 0};
    head->status = (u16)(first * 100 + second * 10 + third);
    const u8 *line = at, *behind;
    at += 12;
    head->odd = false;
    if (*at == ' ')
        at = find_line_end_noting(at, end, last_block(line, end), &behind, &head->odd);
    head->start_size = (u32)(at - line);
    return line_end(at, end, next);
}

static inline bool is_space(u8 byte) { return byte == ' ' || byte == '\t'; }

/* Continued lines at `at` (obs-fold, RFC 9112 5.2), which belong to `field`, whose value began in `list`. */
RARE static enum parsed_kind continued(struct framing *framing, struct list *list, u32 field, const u8 *at,
                                       const u8 *end, const u8 **next) {
    while (at < end && is_space(*at)) {
        const u8 *value_end = find_line_end(at, end);
        enum parsed_kind kind = line_end(value_end, end, next);
        if (kind != WHOLE)
            return kind;
        if (field)
            list_feed(list, framing, field, at, value_end);
        at = *next;
    }
    if (field)
        list_end(list, framing, field);
    return WHOLE;
}

/* A value that is all in [at, value_end), split at its commas. */
RARE static void whole_list(struct framing *framing, u32 field, const u8 *at, const u8 *value_end, const u8 *end) {
    for (const u8 *last = last_block(at - 2, end);;) { /* a name and a colon come before it */
        const u8 *comma = find_before(at, value_end, last, ','), *stop = comma;
        while (at < stop && is_space(*at))
            at++;
        while (at < stop && is_space(stop[-1]))
            stop--;
        framing_element(framing, field, (struct bytes){at, (u32)MIN(stop - at, (s64)KEPT)});
        if (comma >= value_end)
            return;
        at = comma + 1;
    }
}

/* A number of 1 to 18 digits, or ~0. */
static inline u64 plain_number(const u8 *at, u64 size) {
    u64 number = 0;
    if (size - 1 > 17)
        return ~0ull;
    for (const u8 *stop = at + size; at < stop; at++) {
        u8 digit = (u8)(*at - '0');
        if (digit > 9)
            return ~0ull;
        number = number * 10 + digit;
    }
    return number;
}

/* One of the values that nearly all have, behind a space. False: it is to be looked at as a list. */
static inline bool usual_value(struct framing *framing, u32 field, const u8 *at, const u8 *value_end) {
    u64 size = (u64)(value_end - at) - 1;
    if (UNLIKELY(at == value_end) || UNLIKELY(*at++ != ' '))
        return false;
    if (field == FIELD_LENGTH) {
        u64 length = framing->has_length ? ~0ull : plain_number(at, size);
        if (length == ~0ull)
            return false;
        framing->has_length = true;
        framing->length = length;
        framing->length_digits = (u8)size;
        return true;
    }
    if (field == FIELD_CONNECTION && size == 10 && SPELLS(at, "keep-alive"))
        return framing->keep_alive = true;
    if (field == FIELD_CONNECTION && size == 5 && SPELLS(at, "close"))
        return framing->close = true;
    if (field != FIELD_CODING || size != 7 || !SPELLS(at, "chunked"))
        return false;
    framing_element(framing, field, (struct bytes){at, (u32)size});
    return true;
}

/* A field about framing, with its value in [at, value_end); what continues it begins at *next. */
static enum parsed_kind framing_field(struct head *head, struct framing *framing, u32 field, const u8 *at,
                                      const u8 *value_end, const u8 *end, const u8 **next) {
    framing_begin(framing, field);
    if (*next == end || !is_space(**next)) {
        if (UNLIKELY(!usual_value(framing, field, at, value_end)))
            whole_list(framing, field, at, value_end, end);
        return WHOLE;
    }
    head->indexed = false;
    struct list list = {0};
    list_feed(&list, framing, field, at, value_end);
    return continued(framing, &list, field, *next, end, next);
}

/* A line that begins with no name: it may continue the one before. */
RARE static enum parsed_kind odd_line(struct framing *framing, bool foldable, const u8 *at, const u8 *end,
                                      const u8 **next) {
    return foldable && is_space(*at) ? continued(framing, NULL, 0, at, end, next) : BAD;
}

/* Remembers where a field is, if there is room. */
static inline void index_line(struct head *head, struct line line) {
    if (LIKELY(head->line_count < INDEXED_LINES))
        head->lines[head->line_count++] = line;
    else
        head->indexed = false;
}

/* Where the parts of a field's line are: its colon, its value's end, and the next line. */
struct parts {
    const u8 *colon, *end, *next;
};

/* The bytes up to CR of the block at `at`; of those that end with the last block, where it is nearer. */
static inline lanes low_bytes(const u8 *at, const u8 *last) {
    if (LIKELY(at <= last))
        return lanes_of(at_most(block_at(at), '\r'));
    return at < last + BLOCK ? lanes_of(at_most(block_at(last), '\r')) >> (u32)(at - last) * LANE : 0;
}

/* A line as nearly all are: a name of less than a block, and CRLF. `last` is a last_block() before the byte that ends the
 * buffer. False: it may be one all the same. */
__attribute__((always_inline)) static inline bool usual_line(const u8 *at, const u8 *last, struct parts *parts) {
    if (UNLIKELY(at > last))
        return false;
    lanes found = find_no_name(block_at(at));
    const u8 *colon = at + first_lane(found | LAST_LANE), *stop = colon;
    if (UNLIKELY(*colon != ':' || colon == at))
        return false;
    for (stop++; !(found = low_bytes(stop, last)); stop += BLOCK)
        if (UNLIKELY(stop > last))
            return false;
    stop += first_lane(found);
    *parts = (struct parts){colon, stop, stop + 2};
    return *(const any_u16 *)stop == CRLF;
}

/* Any line of a field. */
RARE static enum parsed_kind any_line(const u8 *at, const u8 *end, struct parts *parts, bool *odd) {
    const u8 *last = last_block(at, end), *colon = find_token_end(at, end, last);
    if (colon == end)
        return UNFINISHED;
    if (*colon != ':' || colon == at)
        return BAD;
    parts->colon = colon;
    parts->end = find_line_end_noting(colon + 1, end, last, &parts->next, odd);
    return parts->next ? WHOLE : line_end(parts->end, end, &parts->next);
}

/* Its parts, and the field's name. */
static inline enum parsed_kind field_line(const u8 *at, const u8 *end, const u8 *last, struct parts *parts, bool *odd,
                                          u32 *field) {
    if (LIKELY(usual_line(at, last, parts))) {
        *field = identify_usual(at, *at, (u32)(parts->colon - at));
        return WHOLE;
    }
    struct parts found = {at, at, at}; /* `*parts` stays in registers */
    enum parsed_kind kind = any_line(at, end, &found, odd);
    *parts = found;
    *field = kind == WHOLE ? identify(at, *at, (u32)(found.colon - at)) : 0;
    return kind;
}

enum parsed_kind parse_lines(struct head *head, struct framing *framing, bool response, const u8 *at, const u8 *end,
                             const u8 **blank) {
    const u8 *after; /* `at` itself stays in a register */
    enum parsed_kind kind = start_line(response, at, end, head, &after);
    if (kind != WHOLE)
        return kind;
    const u8 *fields = response ? NULL : after; /* a request line can't be continued */
    const u8 *start = at, *last = last_block(at, end - 1);
    *framing = (struct framing){0};
    head->present = head->line_count = 0;
    head->indexed = true;
    for (at = after; at < end;) {
        u8 first = *at;
        struct parts line;
        if (UNLIKELY(first <= ' ')) {
            if (first == '\r' || first == '\n') {
                *blank = at;
                return WHOLE;
            }
            head->indexed = false;
            kind = odd_line(framing, at != fields, at, end, &after);
            if (kind != WHOLE)
                return kind;
            at = after;
            continue;
        }
        u32 field;
        kind = field_line(at, end, last, &line, &head->odd, &field);
        if (UNLIKELY(kind != WHOLE))
            return kind;
        const u8 *name = at;
        at = line.next;
        if (LIKELY(!field))
            continue;
        index_line(head, (struct line){field, (u32)(name - start), (u32)(line.colon + 1 - start), (u32)(line.end - start)});
        head->present |= field & CONTEXT_NAMES;
        if (field & FRAMING_FIELDS) {
            after = line.next;
            kind = framing_field(head, framing, field, line.colon + 1, line.end, end, &after);
            if (kind != WHOLE)
                return kind;
            at = after;
        }
    }
    return UNFINISHED;
}
