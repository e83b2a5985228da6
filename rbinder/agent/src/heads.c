/* Makes of a message head what may leave the machine: a still parsable head without secrets (heads.py). */
#include "lines.h"

#define LEAST_LIMIT 80u /* bytes: the longest method fits, and a byte of the target */

/* What is written, and never beyond `end`: what doesn't fit is cut off. */
struct writer {
    u8 *at, *end;
    bool odd; /* there may be vertical tabs or form feeds in it */
};

static void put(struct writer *writer, const u8 *from, size_t size) {
    size_t room = (size_t)(writer->end - writer->at);
    size = MIN(size, room);
    memcpy(writer->at, from, size);
    writer->at += size;
}
#define PUT(writer, literal) put(writer, (const u8 *)(literal), sizeof(literal) - 1)

/* The same where there is room for it. */
#define APPEND(writer, literal)                                                                                        \
    (memcpy((writer)->at, literal, sizeof(literal) - 1), (writer)->at += sizeof(literal) - 1)

static inline u64 whole_blocks(u64 size) { return (size + BLOCK - 1) & ~(u64)(BLOCK - 1); }

/* `size` is a multiple of a block. */
static inline void put_whole(u8 *to, const u8 *from, size_t size) {
    for (size_t at = 0; at < size; at += BLOCK)
        block_put(to + at, block_at(from + at));
}

/* The head's last value: no whole block may be behind its beginning. */
static inline void put_few(u8 *to, const u8 *from, size_t size) {
    if (LIKELY(size >= 8)) {
        for (size_t at = 0; at + 8 < size; at += 8)
            *(any_u64 *)(to + at) = *(const any_u64 *)(from + at);
        *(any_u64 *)(to + size - 8) = *(const any_u64 *)(from + size - 8);
    } else {
        for (size_t at = 0; at < size; at++)
            to[at] = from[at];
    }
}

/* The same for what lies in front of `limit`, which may be read: whole blocks, where there is room for them. */
static inline void put_blocks(struct writer *writer, const u8 *from, size_t size, const u8 *limit) {
    size_t most = whole_blocks(size);
    if (UNLIKELY((size_t)(writer->end - writer->at) < most || (size_t)(limit - from) < most)) {
        put(writer, from, size);
        return;
    }
    put_whole(writer->at, from, most);
    writer->at += size;
}

/* -- the target */

static bool is_letter(u8 byte) { return (u8)((byte | 0x20) - 'a') < 26; }

/* The size of "scheme://" at the beginning of a target, or 0. */
static u32 scheme_size(struct bytes target) {
    u32 at = 0;
    while (at < target.size && (is_letter(target.at[at]) ||
                                (at && ((u8)(target.at[at] - '0') < 10 || target.at[at] == '+' ||
                                        target.at[at] == '-' || target.at[at] == '.'))))
        at++;
    if (!at || target.size - at < 3 || target.at[at] != ':' || target.at[at + 1] != '/' || target.at[at + 2] != '/')
        return 0;
    return at + 3;
}

/* Behind the '@' of a user name and password that begin at `from`, or 0. */
static u32 credentials_end(struct bytes target, u32 from) {
    u32 end = 0;
    for (u32 at = from; at < target.size; at++) {
        u8 byte = target.at[at];
        if (byte == '/' || byte == '?' || byte == '#')
            break;
        if (byte == '@')
            end = at + 1;
    }
    return end;
}

/* With bytes beyond ASCII as %XX; [at, limit) may be read. */
static void put_ascii(struct writer *writer, const u8 *at, const u8 *end, const u8 *limit) {
    static const u8 digits[] = {'0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'};
    while (at < end && writer->at < writer->end) {
        const u8 *plain = at;
        while (at < end && limit - at >= (s64)BLOCK && !other_lanes(at_most(block_at(at), 0x7f)))
            at += BLOCK;
        while (at < end && *at < 0x80)
            at++;
        at = MIN(at, end);
        put_blocks(writer, plain, (size_t)(at - plain), limit);
        if (at == end)
            return;
        u8 byte = *at++, escaped[] = {'%', digits[byte >> 4], digits[byte & 15]};
        put(writer, escaped, sizeof escaped);
    }
}

/* The size of a query key whose value is secret, with its '=', at `at`; or 0. Case counts. */
static u32 secret_key(const u8 *at, const u8 *end) {
    static const struct bytes keys[] = {
        BYTES("AWSAccessKeyId="),  BYTES("Signature="),        BYTES("sig="),
        BYTES("X-Goog-Signature="), BYTES("X-Amz-Signature="), BYTES("X-Amz-Credential="),
        BYTES("X-Amz-Security-Token="),
    };
    u8 first = at < end ? *at : 0;
    if (first != 'A' && first != 'S' && first != 's' && first != 'X')
        return 0;
    for (u32 key = 0; key < COUNT(keys); key++)
        if ((size_t)(end - at) >= keys[key].size && memcmp(at, keys[key].at, keys[key].size) == 0)
            return keys[key].size;
    return 0;
}

/* The first '?', '&' or ';' in [at, end), or `end`; [at, limit) may be read. */
static inline const u8 *find_separator(const u8 *at, const u8 *end, const u8 *limit) {
    for (; at < end && limit - at >= (s64)BLOCK; at += BLOCK) {
        block data = block_at(at);
        lanes found = lanes_of(either(either(same(data, '?'), same(data, '&')), same(data, ';')));
        if (found) {
            at += first_lane(found);
            return MIN(at, end);
        }
    }
    while (at < end && *at != '?' && *at != '&' && *at != ';')
        at++;
    return MIN(at, end);
}

/* Without the values of secret query keys. The first of its separators is at `at`. */
static void put_query(struct writer *writer, const u8 *plain, const u8 *at, const u8 *end, const u8 *limit) {
    for (; at < end; at = find_separator(at, end, limit)) {
        u32 key = secret_key(++at, end);
        if (!key)
            continue;
        at += key;
        put_ascii(writer, plain, at, limit);
        PUT(writer, "REDACTED");
        while (at < end && *at != '&' && *at != '#')
            at++;
        plain = at;
    }
    put_ascii(writer, plain, end, limit);
}

static void put_target(struct writer *writer, struct bytes target, const u8 *limit) {
    const u8 *at = target.at, *end = at + target.size;
    if (*at != '/' && find_byte(at, end, '@')) {
        u32 scheme = scheme_size(target), rest = credentials_end(target, scheme);
        if (rest) {
            put(writer, at, scheme);
            PUT(writer, "REDACTED:REDACTED@");
            at += rest;
        }
    }
    const u8 *separator = find_separator(at, end, limit);
    if (separator < end && (*separator == '?' || find_byte(separator, end, '?')))
        put_query(writer, at, separator, end, limit);
    else
        put_ascii(writer, at, end, limit);
}

/* -- lines */

static void put_request(struct writer *writer, const struct head *start, const u8 *end) {
    u8 *limit = writer->end;
    writer->end -= sizeof " HTTP/1.1\r\n" - 1;
    put_blocks(writer, start->method.at, start->method.size, end);
    APPEND(writer, " "); /* LEAST_LIMIT */
    put_target(writer, start->target, end);
    writer->end = limit;
    APPEND(writer, " HTTP/1.0\r\n");
    writer->at[-3] = '0' + start->minor;
}

static void put_status(struct writer *writer, const u8 *at, const struct head *start, const u8 *end) {
    writer->end -= 2;
    put_blocks(writer, at, start->start_size, end);
    writer->end += 2;
    APPEND(writer, "\r\n");
}

RARE static void put_start(struct writer *writer, const u8 *at, const struct head *start, const u8 *end) {
    if (start->status)
        put_status(writer, at, start, end);
    else
        put_request(writer, start, end);
}

/* Fields that may leave the machine: what spans are made of (HTTP semantic conventions) and what tells of a body. Cookies,
 * credentials and everything else stay behind, harmless or not: it would only be carried about. */
#define LEAVING                                                                                                        \
    (FIELD_LENGTH | FIELD_CODING | FIELD_UPGRADE | FIELD_HOST | FIELD_USER_AGENT | FIELD_EXPECT | FIELD_FORWARDED |    \
     FIELD_FORWARDED_FOR | FIELD_FORWARDED_HOST | FIELD_FORWARDED_PROTO)

/* Their names with what follows them, in two blocks, by the number of their bit. */
static const struct {
    u8 text[2 * BLOCK];
    u32 size;
} names[] = {
#define NAMED(field, literal) [__builtin_ctz(field)] = {literal ": ", sizeof(literal ": ") - 1}
    NAMED(FIELD_LENGTH, "content-length"),
    NAMED(FIELD_CODING, "transfer-encoding"),
    NAMED(FIELD_UPGRADE, "upgrade"),
    NAMED(FIELD_HOST, "host"),
    NAMED(FIELD_USER_AGENT, "user-agent"),
    NAMED(FIELD_EXPECT, "expect"),
    NAMED(FIELD_FORWARDED, "forwarded"),
    NAMED(FIELD_FORWARDED_FOR, "x-forwarded-for"),
    NAMED(FIELD_FORWARDED_HOST, "x-forwarded-host"),
    NAMED(FIELD_FORWARDED_PROTO, "x-forwarded-proto"),
#undef NAMED
};

static inline bool is_white(u8 byte) { return byte <= ' ' && (byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f'); }

RARE static const u8 *behind_user(const u8 *at, const u8 *stop) {
    for (const u8 *user; (user = find_byte(at, stop, '@'));)
        at = user + 1;
    return at;
}

/* Whether there may be an '@' in [at, stop); [at, end) may be read. */
static inline bool may_have_user(const u8 *at, const u8 *stop, const u8 *end) {
    for (; at < stop; at += BLOCK)
        if (UNLIKELY(end - at < (s64)BLOCK) || UNLIKELY(lanes_of(same(block_at(at), '@'))))
            return true;
    return false;
}

/* Without the white bytes at both ends; nearly all values have one space, before them. */
static inline void trim(const u8 **from, const u8 **to) {
    const u8 *at = *from, *stop = *to;
    at += LIKELY(at < stop) && *at == ' ';
    if (UNLIKELY(at == stop) || UNLIKELY(*at <= ' ') || UNLIKELY(stop[-1] <= ' ')) {
        while (at < stop && is_white(*at))
            at++;
        while (at < stop && is_white(stop[-1]))
            stop--;
    }
    *from = at;
    *to = stop;
}

/* A field of LEAVING, its value in [at, stop); [at, end) may be read. False: there is no room for it. */
static inline bool put_field(struct writer *writer, u32 field, const u8 *at, const u8 *stop, const u8 *end) {
    const u8 *text = names[__builtin_ctz(field)].text;
    u32 name = names[__builtin_ctz(field)].size;
    trim(&at, &stop);
    if (field == FIELD_HOST && UNLIKELY(may_have_user(at, stop, end)))
        at = behind_user(at, stop);
    u64 size = (u64)(stop - at), room = (u64)(writer->end - writer->at), most = whole_blocks(size);
    if (LIKELY(room >= 2 * BLOCK + most && (u64)(end - at) >= most)) {
        u8 *to = writer->at;
        block_put(to, block_at(text));
        block_put(to + BLOCK, block_at(text + BLOCK));
        put_whole(to + name, at, most);
        writer->at = to + name + size;
    } else if (LIKELY(room >= 2 * BLOCK + size)) {
        block_put(writer->at, block_at(text));
        block_put(writer->at + BLOCK, block_at(text + BLOCK));
        put_few(writer->at + name, at, size);
        writer->at += name + size;
    } else if (room < size + name + 2) {
        return false;
    } else {
        put(writer, text, name);
        put(writer, at, size);
    }
    *(any_u16 *)writer->at = CRLF;
    writer->at += 2;
    return true;
}

/* h11 takes neither vertical tab nor form feed in a value. */
RARE static void whiten(u8 *at, const u8 *end) {
    for (; at < end; at++)
        if (*at == '\v' || *at == '\f')
            *at = ' ';
}

static u32 put_end(struct writer *writer, u8 *out) {
    *(any_u16 *)writer->at = CRLF;
    writer->at += 2;
    if (UNLIKELY(writer->odd))
        whiten(out, writer->at);
    return (u32)(writer->at - out);
}

/* -- a head of which only the bytes are there */

/* Whether a value that ends at `stop` ends its line, which the next one doesn't continue (obs-fold), without CR or NUL. */
static bool stands_alone(const u8 *stop, const u8 *end) {
    while (stop < end && *stop == '\r')
        stop++;
    return stop == end || (*stop == '\n' && (stop + 1 == end || (stop[1] != ' ' && stop[1] != '\t')));
}

/* The line at `line`, whose value ends at `stop`, if it is one that may leave the machine. False: there is no room for it. */
static bool put_line(struct writer *writer, const u8 *line, const u8 *stop, const u8 *end) {
    const u8 *colon = find_byte(line, stop, ':');
    u32 field = colon && colon > line ? identify(line, *line, (u32)MIN(colon - line, (s64)KEPT)) & LEAVING : 0;
    return !field || !stands_alone(stop, end) || put_field(writer, field, colon + 1, stop, end);
}

RARE u32 reduce_head(struct bytes raw, u8 *out, u32 limit) {
    struct head start;
    const u8 *end = raw.at + raw.size, *next;
    if (limit < LEAST_LIMIT || (request_line(raw.at, end, &start, &next) != WHOLE &&
                                status_line(raw.at, end, &start, &next) != WHOLE))
        return 0;
    struct writer writer = {out, out + limit - 2, start.odd};
    put_start(&writer, raw.at, &start, end);
    const u8 *last = last_block(raw.at, end);
    for (const u8 *line = next; line < end; line = next) {
        const u8 *stop = find_line_end_noting(line, end, last, &next, &writer.odd);
        if (UNLIKELY(!next)) {
            next = find_byte(stop, end, '\n');
            next = next ? next + 1 : end;
        }
        if (!put_line(&writer, line, stop, end))
            break;
    }
    return put_end(&writer, out);
}

/* -- a head that a scanner has told */

/* Where a query key may be secret, so that it is worth a closer look: its first letter, with what comes before it. */
static inline block secret_begins(block data, block next) {
    block separators = either(either(same(data, '?'), same(data, '&')), same(data, ';'));
    block letters = either(either(same(next, 'A'), same(next, 'X')), same(either(next, every(0x20)), 's'));
    return both(separators, letters);
}

/* The start line as it stands, where nothing in it is to be changed. False: something may be, and nothing is written. */
static inline bool put_plain_start(struct writer *writer, const u8 *text, const struct head *head, const u8 *end) {
    bool response = head->status != 0;
    u64 size = response ? head->start_size : (u64)(head->target.at - text) + head->target.size + sizeof " HTTP/1.0" - 1;
    u64 most = whole_blocks(size);
    block odd = every(0);
    if (UNLIKELY((u64)(writer->end - writer->at) < most + 2) || UNLIKELY((u64)(end - text) <= most) ||
        (!response && UNLIKELY(*head->target.at != '/')))
        return false;
    if (response) {
        put_whole(writer->at, text, most);
    } else {
        for (u64 at = 0; at < most; at += BLOCK) { /* beyond the start line there may be anything: to be looked at, too */
            block data = block_at(text + at);
            odd = either(odd, either(data, secret_begins(data, block_at(text + at + 1))));
            block_put(writer->at + at, data);
        }
        if (UNLIKELY(any_high(odd)))
            return false;
    }
    writer->at += size;
    *(any_u16 *)writer->at = CRLF;
    writer->at += 2;
    return true;
}

u32 reduce_told(const struct head *head, u8 *out, u32 limit) {
    if (UNLIKELY(!head->indexed || limit < LEAST_LIMIT))
        return reduce_head(head->raw, out, limit);
    struct writer writer = {out, out + limit - 2, head->odd};
    const u8 *text = head->raw.at, *end = text + head->raw.size;
    if (UNLIKELY(!put_plain_start(&writer, text, head, end)))
        put_start(&writer, text, head, end);
    for (const struct line *line = head->lines, *behind = line + head->line_count; line < behind; line++)
        if (line->field & LEAVING && !put_field(&writer, line->field, text + line->value, text + line->end, end))
            break;
    return put_end(&writer, out);
}
