/* The lines of a head: start lines, fields, and what they say about the body. Between scanner.c and its neighbours. */
#ifndef RBINDER_LINES_H
#define RBINDER_LINES_H

#include "block.h"
#include "http.h"

#define METHOD_SIZE 64u
#define MAX_FIELDS 64u /* about framing, of one very long head (framing.py, _MAX_FIELDS) */

enum parsed_kind { WHOLE, UNFINISHED, BAD };

/* A start line at `at`, of which method, target, status and minor version are filled in; WHOLE: `*next` is behind its LF. */
enum parsed_kind request_line(const u8 *at, const u8 *end, struct head *head, const u8 **next);
enum parsed_kind status_line(const u8 *at, const u8 *end, struct head *head, const u8 **next);

static inline enum parsed_kind start_line(bool response, const u8 *at, const u8 *end, struct head *head,
                                          const u8 **next) {
    return response ? status_line(at, end, head, next) : request_line(at, end, head, next);
}

/* A field's name: a bit of enum context_name, or one of these; 0: of no interest here. */
enum {
    FIELD_LENGTH = 1 << 8,
    FIELD_CODING = 1 << 9,
    FIELD_CONNECTION = 1 << 10,
    FIELD_UPGRADE = 1 << 11,
    FIELD_HOST = 1 << 12,
    FIELD_USER_AGENT = 1 << 13,
    FIELD_EXPECT = 1 << 14,
    FIELD_FORWARDED = 1 << 15,
    FIELD_FORWARDED_FOR = 1 << 16,
    FIELD_FORWARDED_HOST = 1 << 17,
    FIELD_FORWARDED_PROTO = 1 << 18,
};
#define CONTEXT_NAMES 255u
#define FRAMING_FIELDS (FIELD_LENGTH | FIELD_CODING | FIELD_CONNECTION | FIELD_UPGRADE)
u32 identify_likely(const u8 *name, u32 size);

/* `size` is not 0. Most names are told by their first letter. */
static inline u32 identify(const u8 *name, u8 first, u32 size) {
    const u32 letters = 1u << ('b' & 31) | 1u << ('c' & 31) | 1u << ('e' & 31) | 1u << ('f' & 31) | 1u << ('h' & 31) |
                        1u << ('t' & 31) | 1u << ('u' & 31) | 1u << ('x' & 31);
    return letters >> (first & 31) & 1 ? identify_likely(name, size) : 0;
}

/* The same of a name of letters and '-' alone, shorter than a block, which may be read: one place in a table can have it. */
struct usual_name {
    u8 text[BLOCK];
    u32 size, field;
};
extern const struct usual_name usual_names[32];
#define USUAL_PLACE(first, size) (((first) * 12u + (size)) & 31) /* tried out; upper or lower case is the same */

static inline u32 identify_usual(const u8 *name, u8 first, u32 size) {
    const struct usual_name *known = &usual_names[USUAL_PLACE(first, size)];
    if (known->size != size)
        return 0;
    lanes others = other_lanes(alike(either(block_at(name), every(0x20)), block_at(known->text)));
    return others & (((lanes)1 << size * LANE) - 1) ? 0 : known->field;
}

/* !#$%&'*+-.^_`|~ digits and letters (RFC 9110 5.6.2). */
extern const u8 token_bytes[256];

/* The bytes of a block that most names don't have: neither letters nor '-'. */
static inline lanes find_no_name(block data) {
    return other_lanes(either(within(either(data, every(0x20)), 'a', 'z'), same(data, '-')));
}

/* The first byte in [at, end) that may not stand in a token, or `end`; `last` is a last_block() before `end`. */
__attribute__((always_inline)) static inline const u8 *find_token_end(const u8 *at, const u8 *end, const u8 *last) {
    for (; LIKELY(at <= last); at += BLOCK) {
        lanes others = find_no_name(block_at(at));
        if (LIKELY(others)) { /* nearly always a colon or a space; else a rarer byte of a token: byte by byte from there */
            at += first_lane(others);
            if (LIKELY(*at == ':'))
                return at;
            break;
        }
    }
    while (at < end && token_bytes[*at])
        at++;
    return at;
}

/* One element of a field's list, trimmed, in any case. */
void framing_element(struct framing *framing, u32 field, struct bytes element);
void framing_begin(struct framing *framing, u32 field);
bool framing_sound(const struct framing *framing); /* false: it contradicts itself */

/* The list of a field whose value comes in pieces. */
void list_feed(struct list *list, struct framing *framing, u32 field, const u8 *at, const u8 *end);
void list_end(struct list *list, struct framing *framing, u32 field);

/* A head's lines, in one buffer and in one pass: what they say, and in `head` what its start line says, the names of
 * context that are present, and where the fields of interest are. WHOLE: `*blank` is the blank line's first byte. */
enum parsed_kind parse_lines(struct head *head, struct framing *framing, bool response, const u8 *at, const u8 *end,
                             const u8 **blank);

/* walk.c: the lines of a head that outgrew KEPT, piece by piece; nothing is kept of them but what they say. */
void walk_begin(struct walk *walk, bool response);
/* Returns the blank line's first byte, or `end`. */
const u8 *walk_feed(struct walk *walk, const u8 *at, const u8 *end);
/* All complete lines so far are taken in (framing.py, fold_long); false: this is no head. `first`: for the first time. */
bool walk_fold(struct walk *walk, bool first);

/* chunks.c: goes on at data[at], returns the offset where the body ends or breaks, or the buffer does. */
enum chunk_state { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_DATA_LF, CHUNK_TRAILER, CHUNK_DONE, CHUNK_BROKEN };
u64 chunks_feed(struct chunks *chunks, u64 *left, const u8 *data, u64 at, u64 size);
void chunks_skip(struct chunks *chunks, u64 *left, u64 count);

#endif
