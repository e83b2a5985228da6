/* The lines of a head that outgrew KEPT (framing.py, fold_long). No byte of them is kept: what they say is.
 *
 * The Python scanner keeps the lines that are still to be folded away and judges them when there are too many, or when the
 * head ends. Here each byte is judged as it comes, and the judgement is pronounced at the same moments.
 */
#include "lines.h"

enum phase { LINE_START, NAME, VALUE, AFTER_CR, NONSENSE };

void walk_begin(struct walk *walk, bool response) {
    *walk = (struct walk){.foldable = response};
}

/* The field is complete: no further line continues it. */
static void field_ends(struct walk *walk) {
    if (walk->field)
        list_end(&walk->list, &walk->framing, walk->field);
    walk->field = 0;
}

static void line_ends(struct walk *walk, bool crlf) {
    walk->bad = walk->bad || walk->line_bad;
    walk->some = walk->foldable = true;
    if (walk->field && !walk->continues && walk->fields <= MAX_FIELDS)
        walk->fields++;
    walk->crlf = crlf;
    walk->line = 0;
    walk->phase = LINE_START;
}

static void line_begins(struct walk *walk, u8 first) {
    walk->continues = first == ' ' || first == '\t';
    walk->line_bad = walk->continues && !walk->foldable;
    walk->named = false;
    walk->name_size = 0;
    walk->phase = walk->continues ? VALUE : NAME;
    if (!walk->continues)
        field_ends(walk);
}

static const u8 *walk_name(struct walk *walk, const u8 *at, const u8 *end) {
    for (; at < end && token_bytes[*at]; at++) {
        if (walk->name_size < sizeof walk->name)
            walk->name[walk->name_size] = *at;
        if (walk->name_size < UINT16_MAX)
            walk->name_size++;
    }
    if (at == end)
        return at;
    if (*at != ':' || !walk->name_size) {
        walk->line_bad = true;
        walk->phase = NONSENSE;
        return at;
    }
    walk->named = true;
    walk->phase = VALUE;
    u32 field = identify(walk->name, walk->name[0], walk->name_size);
    walk->present |= field & CONTEXT_NAMES;
    walk->field = (u16)(field & FRAMING_FIELDS);
    if (walk->field)
        framing_begin(&walk->framing, walk->field);
    return at + 1;
}

static const u8 *walk_value(struct walk *walk, const u8 *at, const u8 *end) {
    const u8 *stop = find_line_end(at, end);
    if (walk->field)
        list_feed(&walk->list, &walk->framing, walk->field, at, stop);
    if (stop == end)
        return end;
    u8 byte = *stop;
    if (byte == '\n')
        line_ends(walk, false);
    else if (byte == '\r')
        walk->phase = AFTER_CR;
    else
        walk->line_bad = true;
    return stop + 1;
}

static const u8 *after_cr(struct walk *walk, const u8 *at) {
    if (*at == '\n') {
        line_ends(walk, true);
        return at + 1;
    }
    walk->line_bad = true;
    walk->phase = VALUE;
    return at;
}

static const u8 *walk_nonsense(struct walk *walk, const u8 *at, const u8 *end) {
    const u8 *stop = find_byte(at, end, '\n');
    if (!stop)
        return end;
    line_ends(walk, false);
    return stop + 1;
}

const u8 *walk_feed(struct walk *walk, const u8 *at, const u8 *end) {
    const u8 *begin = at, *line = at; /* where the unfinished line goes on in these bytes */
    u64 before = walk->line;
    bool blank = false;
    while (at < end && !blank) {
        u8 phase = walk->phase;
        if (phase == LINE_START) {
            u8 first = *at;
            blank = first == '\r' || first == '\n';
            if (!blank)
                line_begins(walk, first);
        } else if (phase == NAME) {
            at = walk_name(walk, at, end);
        } else if (phase == VALUE) {
            at = walk_value(walk, at, end);
        } else if (phase == AFTER_CR) {
            at = after_cr(walk, at);
        } else {
            at = walk_nonsense(walk, at, end);
        }
        if (walk->phase == LINE_START) {
            line = at;
            before = 0;
        }
    }
    walk->line = before + (u64)(at - line);
    walk->tail += (u64)(at - begin);
    return at;
}

/* An unfinished line that is longer than KEPT is replaced by a short one: its value is of no interest, but for a CR that
 * may be part of its end. */
static bool shorten(struct walk *walk) {
    if (!walk->named || walk->name_size > 256 || walk->field)
        return false;
    walk->line_bad = false;
    walk->line = walk->phase == AFTER_CR ? 3 : 2;
    walk->name_size = 1;
    return true;
}

bool walk_fold(struct walk *walk, bool first) {
    if (walk->bad || (!first && walk->some && walk->fields > MAX_FIELDS))
        return false;
    walk->some = false;
    if (!walk->line) {
        field_ends(walk);
        walk->foldable = false; /* a line that the next bytes continue would be there no more */
    } else if (walk->continues) {
        walk->line_bad = true;
    }
    if (walk->line + 2 > KEPT && !shorten(walk))
        return false;
    walk->tail = walk->line + 2;
    return true;
}
