/* Walks over a chunked body without looking at its data (chunks.py, RFC 9112 7.1). */
#include "lines.h"

static bool is_hex(u8 byte, u64 *value) {
    u8 digit = (u8)(byte - '0'), letter = (u8)((byte | 0x20) - 'a');
    *value = digit < 10 ? digit : (u64)letter + 10;
    return digit < 10 || letter < 6;
}

/* A size line, of whose bytes the first are remembered: [0, remembered) of `line`, then those at `at`, which has a LF. */
struct size_line {
    const u8 *line, *at, *end;
    u32 remembered;
};

static int next_byte(struct size_line *from) {
    if (from->remembered) {
        from->remembered--;
        return *from->line++;
    }
    return from->at < from->end ? *from->at++ : -1;
}

/* 1 to 15 digits, spaces, perhaps an extension, CRLF or LF. */
static bool read_size(struct size_line from, u64 *size) {
    u64 total = 0, digit;
    u32 digits = 0;
    int byte = next_byte(&from);
    for (; byte >= 0 && is_hex((u8)byte, &digit); byte = next_byte(&from)) {
        if (++digits > 15)
            return false;
        total = total << 4 | digit;
    }
    while (byte == ' ' || byte == '\t')
        byte = next_byte(&from);
    *size = total;
    if (!digits)
        return false;
    if (byte == '\r')
        byte = next_byte(&from) == '\n' ? '\n' : -1;
    return byte == ';' || byte == '\n';
}

/* An unfinished line's beginning tells all; the rest is an extension or a trailer. */
static void remember(struct chunks *chunks, const u8 *at, u64 count, u32 most) {
    for (; count && chunks->line_size < most; count--)
        chunks->line[chunks->line_size++] = *at++;
}

static u64 size_line(struct chunks *chunks, u64 *left, const u8 *data, u64 at, u64 size) {
    const u8 *end = find_byte(data + at, data + size, '\n');
    if (!end) {
        remember(chunks, data + at, size - at, sizeof chunks->line);
        return size;
    }
    struct size_line from = {chunks->line, data + at, end + 1, chunks->line_size};
    if (!read_size(from, left)) {
        chunks->state = CHUNK_BROKEN;
        return at;
    }
    chunks->line_size = 0;
    chunks->state = *left ? CHUNK_DATA : CHUNK_TRAILER;
    return (u64)(end + 1 - data);
}

void chunks_skip(struct chunks *chunks, u64 *left, u64 count) {
    *left -= count;
    if (!*left)
        chunks->state = CHUNK_DATA_END;
}

static u64 data_end(struct chunks *chunks, u8 byte, u64 at) {
    if (byte == '\n')
        chunks->state = CHUNK_SIZE;
    else if (byte == '\r' && chunks->state == CHUNK_DATA_END)
        chunks->state = CHUNK_DATA_LF;
    else
        chunks->state = CHUNK_BROKEN;
    return chunks->state == CHUNK_BROKEN ? at : at + 1;
}

static u64 trailer(struct chunks *chunks, const u8 *data, u64 at, u64 size) {
    const u8 *end = find_byte(data + at, data + size, '\n');
    u64 next = end ? (u64)(end + 1 - data) : size;
    u32 before = chunks->line_size;
    if (!end) {
        remember(chunks, data + at, size - at, 2);
        return size;
    }
    u64 more = next - at; /* of which two are looked at */
    u8 first = before ? chunks->line[0] : data[at];
    chunks->line_size = 0;
    /* the blank line: LF alone, or CR and LF, wherever it was cut; its LF is the last byte of [at, next) */
    if (before + more == 1 || (first == '\r' && before + more == 2))
        chunks->state = CHUNK_DONE;
    return next;
}

u64 chunks_feed(struct chunks *chunks, u64 *left, const u8 *data, u64 at, u64 size) {
    while (at < size && chunks->state < CHUNK_DONE) {
        if (chunks->state == CHUNK_SIZE) {
            at = size_line(chunks, left, data, at, size);
        } else if (chunks->state == CHUNK_DATA) {
            u64 count = MIN(*left, size - at);
            chunks_skip(chunks, left, count);
            at += count;
        } else if (chunks->state == CHUNK_TRAILER) {
            at = trailer(chunks, data, at, size);
        } else {
            at = data_end(chunks, data[at], at);
        }
    }
    return at;
}
