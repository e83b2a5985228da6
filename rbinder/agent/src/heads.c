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

/* The same for what lies in front of `limit`, which may be read: whole blocks, where there is room for them. */
static inline void put_blocks(struct writer *writer, const u8 *from, size_t size, const u8 *limit) {
    size_t most = (size + BLOCK - 1) / BLOCK * BLOCK;
    if (UNLIKELY((size_t)(writer->end - writer->at) < most || (size_t)(limit - from) < most)) {
        put(writer, from, size);
        return;
    }
    for (size_t at = 0; at < size; at += BLOCK)
        block_put(writer->at + at, block_at(from + at));
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

/* Without the values of secret query keys. */
static void put_query(struct writer *writer, const u8 *at, const u8 *end, const u8 *limit) {
    const u8 *plain = at;
    while ((at = find_separator(at, end, limit)) < end) {
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
    if (UNLIKELY(separator < end) && find_byte(separator, end, '?'))
        put_query(writer, at, end, limit);
    else
        put_ascii(writer, at, end, limit);
}

/* -- lines */

/* The start line, in at most writer->end. Returns the LF before the first field; NULL: it is none. */
static const u8 *put_start(struct writer *writer, struct bytes raw) {
    struct head start;
    u8 *limit = writer->end;
    const u8 *end = raw.at + raw.size, *next, *next_line;
    if (request_line(raw.at, end, &start, &next) == WHOLE) {
        writer->end -= sizeof " HTTP/1.1\r\n" - 1;
        put_blocks(writer, start.method.at, start.method.size, end);
        PUT(writer, " ");
        put_target(writer, start.target, end);
        writer->end = limit;
        PUT(writer, " HTTP/1.0\r\n");
        writer->at[-3] = '0' + start.minor;
        return next - 1;
    }
    if (status_line(raw.at, end, &start, &next) != WHOLE)
        return NULL;
    const u8 *stop = find_line_end_noting(raw.at, end, last_block(raw.at, end), &next_line, &writer->odd);
    writer->end -= 2;
    put_blocks(writer, raw.at, (size_t)(stop - raw.at), end);
    writer->end = limit;
    PUT(writer, "\r\n");
    return next - 1;
}

/* A name with what follows it, in two blocks. */
struct name {
    const u8 *text;
    u32 size; /* of the name alone; 0: none */
};

#define NAMED(literal)                                                                                                 \
    if (stop - at >= (s64)sizeof(literal) && at[sizeof(literal) - 1] == ':' && SPELLS(at, literal)) {                  \
        static const u8 text[2 * BLOCK] = literal ": ";                                                                \
        return (struct name){text, sizeof(literal) - 1};                                                               \
    }

/* The name of a field that may leave the machine, lower case: what spans are made of (HTTP semantic conventions) and what
 * h11 needs to understand the framing. Cookies, credentials and everything not known to be harmless stay behind. */
static inline struct name allowed(const u8 *at, const u8 *stop) {
    switch (at < stop ? *at | 0x20 : 0) {
    case 'c':
        NAMED("connection")
        NAMED("content-type")
        NAMED("content-length")
        NAMED("content-encoding")
        break;
    case 'e':
        NAMED("expect")
        break;
    case 'f':
        NAMED("forwarded")
        break;
    case 'h':
        NAMED("host")
        break;
    case 't':
        NAMED("transfer-encoding")
        break;
    case 'u':
        NAMED("user-agent")
        NAMED("upgrade")
        break;
    case 'x':
        NAMED("x-request-id")
        NAMED("x-forwarded-for")
        NAMED("x-forwarded-host")
        NAMED("x-forwarded-proto")
        break;
    default:
        break;
    }
    return (struct name){NULL, 0};
}

/* Whether a value that ends at `stop` ends its line, which the next one doesn't continue (obs-fold), without CR or NUL. */
static bool stands_alone(const u8 *stop, const u8 *end) {
    while (stop < end && *stop == '\r')
        stop++;
    return stop == end || (*stop == '\n' && (stop + 1 == end || (stop[1] != ' ' && stop[1] != '\t')));
}

static inline bool is_white(u8 byte) { return byte <= ' ' && (byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f'); }

/* Whether a line that begins so may be one that may leave the machine. */
static inline bool may_leave(u8 first) {
    const u32 letters = 1u << ('c' & 31) | 1u << ('e' & 31) | 1u << ('f' & 31) | 1u << ('h' & 31) | 1u << ('t' & 31) |
                        1u << ('u' & 31) | 1u << ('x' & 31);
    return letters >> (first & 31) & 1;
}

/* The line at `line`, whose value ends at `stop`, if it is one that may leave the machine; [line, end) may be read. False:
 * there is no room for it. */
static bool put_line(struct writer *writer, const u8 *line, const u8 *stop, const u8 *next, const u8 *end) {
    struct name name = allowed(line, stop);
    bool plain = next - stop == 2 && *stop == '\r' && next < end && *next > ' ';
    if (!name.size || (!plain && !stands_alone(stop, end)))
        return true;
    const u8 *at = line + name.size + 1;
    while (at < stop && is_white(*at))
        at++;
    while (at < stop && is_white(stop[-1]))
        stop--;
    if (name.size == sizeof "host" - 1)
        for (const u8 *user; (user = find_byte(at, stop, '@'));)
            at = user + 1;
    u64 size = (u64)(stop - at), room = (u64)(writer->end - writer->at);
    if (room < size + name.size + 4)
        return false;
    put_blocks(writer, name.text, name.size + 2, name.text + 2 * BLOCK);
    put_blocks(writer, at, size, end);
    *(any_u16 *)writer->at = CRLF;
    writer->at += 2;
    return true;
}

/* h11 takes neither vertical tab nor form feed in a value. */
static void whiten(u8 *at, const u8 *end) {
    for (; at < end; at++)
        if (*at == '\v' || *at == '\f')
            *at = ' ';
}

u32 reduce_head(struct bytes raw, u8 *out, u32 limit) {
    struct writer writer = {out, out + MAX(limit, LEAST_LIMIT) - 2, false};
    bool odd = false;
    const u8 *end = raw.at + raw.size, *lf = limit < LEAST_LIMIT ? NULL : put_start(&writer, raw);
    if (!lf)
        return 0;
    const u8 *last = last_block(raw.at, end), *next;
    for (const u8 *line = lf + 1; line < end; line = next) {
        const u8 *stop = find_line_end_noting(line, end, last, &next, &odd);
        if (UNLIKELY(!next)) {
            next = find_byte(stop, end, '\n');
            next = next ? next + 1 : end;
        }
        if (UNLIKELY(may_leave(*line)) && !put_line(&writer, line, stop, next, end))
            break;
    }
    writer.odd = writer.odd || odd;
    writer.at[0] = '\r';
    writer.at[1] = '\n';
    writer.at += 2;
    if (UNLIKELY(writer.odd))
        whiten(out, writer.at);
    return (u32)(writer.at - out);
}
