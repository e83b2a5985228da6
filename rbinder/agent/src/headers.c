/* Iterates over the fields of a head that a scanner has reported (events.py, Head.headers). */
#include "lines.h"

static bool is_space(u8 byte) { return byte == ' ' || byte == '\t'; }

/* Behind the line that begins at `at`. */
static const u8 *next_line(const u8 *at, const u8 *end) {
    const u8 *lf = find_byte(at, end, '\n');
    return lf ? lf + 1 : end;
}

static const u8 *skip_continued(const u8 *at, const u8 *end) {
    while (at < end && is_space(*at))
        at = next_line(at, end);
    return at;
}

struct joined {
    u8 *room;
    u32 size, most;
};

/* Spaces at the beginning are left out. */
static void join(struct joined *joined, const u8 *at, const u8 *end) {
    for (; at < end && joined->size < joined->most; at++)
        if (joined->size || !is_space(*at))
            joined->room[joined->size++] = *at;
}

/* `value`, which lines at `at` continue, with one space for each line's end (obs-fold, RFC 9112 5.2). */
static struct bytes unfolded(struct bytes value, const u8 *at, const u8 *end, struct joined *joined) {
    static const u8 space[] = {' '};
    join(joined, value.at, value.at + value.size);
    while (at < end && is_space(*at)) {
        const u8 *next = next_line(at, end), *stop = find_line_end(at, next);
        while (at < stop && is_space(*at))
            at++;
        join(joined, space, space + 1);
        join(joined, at, stop);
        at = next;
    }
    return (struct bytes){joined->room, joined->size};
}

bool next_field(struct bytes raw, u32 *at, struct bytes *name, struct bytes *value, u8 *fold, u32 fold_size) {
    const u8 *end = raw.at + raw.size, *line = raw.at + *at;
    if (!*at)
        line = skip_continued(next_line(line, end), end);
    while (line < end) {
        const u8 *next = next_line(line, end), *stop = find_line_end(line, next);
        const u8 *colon = find_byte(line, stop, ':'), *after = skip_continued(next, end);
        *at = (u32)(after - raw.at);
        if (colon && colon > line) {
            *name = (struct bytes){line, (u32)(colon - line)};
            *value = (struct bytes){colon + 1, (u32)(stop - colon - 1)};
            struct joined joined = {fold, 0, fold_size};
            if (after != next)
                *value = unfolded(*value, next, end, &joined);
            *value = trimmed(*value);
            return true;
        }
        line = after;
    }
    *at = raw.size;
    return false;
}
