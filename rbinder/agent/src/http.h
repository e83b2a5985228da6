/* HTTP/1 on the wire, one direction of a connection: where heads and bodies begin and end. No I/O, no allocation.
 *
 * Equal to rbinder/http (scanner.py, stream.py, framing.py, chunks.py, heads.py) event by event; the same rules: hands off
 * (OPAQUE) as soon as the bytes can't be HTTP/1, no input crashes it.
 */
#ifndef RBINDER_HTTP_H
#define RBINDER_HTTP_H

#include "base.h"

#define KEPT (65536u - 2)         /* bytes of a head before its blank line that are kept (framing.py) */
#define UNLIMITED (1ull << 62)    /* a body that ends with the connection */
#define HELD_SIZE (65536u + 64)   /* room for a head that comes in pieces */
#define MAX_OUTSTANDING 512u      /* methods of unanswered requests that a scanner itself remembers; then hands off */

enum scanner_state { START, IN_HEAD, BLANK_LF, BODY, CHUNKS, TUNNEL, OPAQUE };
enum event_kind { EVENT_HEAD, EVENT_END, EVENT_OPAQUE };
enum method_kind { METHOD_OTHER, METHOD_HEAD, METHOD_CONNECT };

/* Names of trace context (framing.py, _PROPAGATED) that occur in a head: bits, for `present`. */
enum context_name {
    NAME_TRACEPARENT = 1,
    NAME_TRACESTATE = 2,
    NAME_BAGGAGE = 4,
    NAME_B3 = 8,             /* b3 */
    NAME_X_B3 = 16,          /* any x-b3-* */
    NAME_X_REQUEST_ID = 32,
    NAME_X_OT_SPAN_CONTEXT = 64,
};

/* A field of a head that somebody may ask for: offsets in head.raw. */
struct line {
    u32 field;       /* of enum context_name, or one of lines.h */
    u32 name, value; /* `value` is behind the colon */
    u32 end;         /* of the value */
};
#define INDEXED_LINES 16u

/* A message head, reported at its blank line (events.py, Head). Its pointers lead into the fed bytes or into the held
 * buffer. The fed bytes are good as long as they are there; what is held, until the scanner is fed again; of a trial, until
 * the next held_take() after it is committed or abandoned. */
struct head {
    struct bytes raw;      /* up to and including the blank line; of a truncated one the first lines without it */
    struct bytes method, target;
    u32 newline;           /* 1: LF, 2: CRLF, as the head's last line ended */
    u32 present;           /* of enum context_name */
    u64 content_length;
    u16 status;
    u8 minor;              /* HTTP/1.minor */
    bool has_length, chunked, interim, truncated, upgrade, ends_connection;
    bool indexed;          /* `lines` are all the fields of interest, and no line continues another */
    bool odd;              /* indexed: there may be vertical tabs or form feeds in it */
    u32 start_size;        /* of a response's start line, without its end */
    u32 line_count;
    struct line lines[INDEXED_LINES];
};

struct event {
    enum event_kind kind;
    u64 at;        /* offset in the fed bytes (data[0, size)), just after what is reported; where hands are off from */
    u64 insert_at; /* HEAD: offset of the blank line's first byte, always within the fed bytes */
    u64 body_size; /* END */
    struct head head;
};

/* What the fields about framing of a head say (framing.py, Framing). */
struct framing {
    u64 length;
    u8 length_digits;
    u8 chunked_count; /* saturating */
    bool has_length, length_bad, coded, chunked_last, close, keep_alive, upgrade;
};

/* The element of a field's list that is being read, where the value comes in pieces. */
struct list {
    u8 size;
    bool spaced; /* spaces came behind it */
    u8 text[20];
};

/* A head that outgrew KEPT: what its lines have said, and where in them we are (walk.c). */
struct walk {
    struct framing framing;
    struct list list;
    u8 name[20];     /* of the unfinished line: its beginning */
    u16 name_size;   /* saturating */
    u16 field;       /* about framing, that is being read; 0: none */
    u64 line, tail;  /* bytes: of the unfinished line; of all that fold_long() would still look at */
    u32 present;
    u8 phase;
    u8 fields;       /* about framing, saturating */
    bool bad;        /* a line that is complete is none */
    bool line_bad;   /* the unfinished line is none */
    bool named;      /* it begins with a name */
    bool continues;  /* it continues the one before */
    bool foldable;   /* the next line may continue the one before */
    bool some;       /* lines have been completed since the last fold */
    bool crlf;       /* as the last complete line ended */
};

/* Position in a chunked body (chunks.py). */
struct chunks {
    u8 state;
    u8 line_size;
    u8 line[64]; /* the beginning of an unfinished line */
};

/* Opened by its owner alone. Small enough to be copied for a trial (scanner_try), which then sees the bytes that come next in
 * the original's stead: it ends in scanner_commit() or scanner_abandon_trial(), and stays where it is until then (`self` tells
 * a trial from an original). The two share `held`, which a trial only appends to, and `methods`. */
struct scanner {
    struct scanner *self; /* the original */
    u8 *held;             /* HELD_SIZE bytes of a pool's, or NULL; the head's bytes are at held + held_begin */
    u32 held_begin, held_size;
    u32 checked;          /* bytes of an unfinished start line that are known to be good */
    u8 state;             /* enum scanner_state */
    bool responses;       /* the direction in which responses travel */
    bool held_new;        /* a trial: it took `held` itself */
    bool lined;           /* the start line in `held` is complete and good */
    bool is_long;         /* the head outgrew KEPT; its first lines are in `held` */
    u8 part;              /* of the unfinished start line */
    u8 follows;           /* BLANK_LF: what comes behind the head */
    u8 told;              /* events that are still to be told */
    u64 left;             /* body bytes to come; CHUNKS: chunk data to come */
    u64 size;             /* body bytes seen */
    u32 outstanding; /* RESPONSES: how many are awaited */
    u32 oldest;      /* index in `methods`, a ring, of the oldest */
    union {
        struct walk walk;     /* is_long */
        struct chunks chunks; /* CHUNKS */
    } parts;
    u64 methods[MAX_OUTSTANDING / 32]; /* the original's: their kinds, 2 bits each */
};

_Static_assert(offsetof(struct scanner, parts) <= 80, "so much of it is copied for each call that sends");

/* The pool that `held` buffers come from: set once by whoever links this (agent: pools.c; tests: malloc). NULL: none left,
 * the connection is let go. */
u8 *held_take(void);
void held_give(u8 *held);

void scanner_init(struct scanner *scanner, bool responses);

/* Go over data[*at, size) up to the next event. True: `event` tells it, and *at is behind what was looked at; false: all
 * was looked at. To be called until it says false: an END or OPAQUE may still be to be told at the end of the data, and when
 * the scanner is opaque by then. */
bool scanner_goes_on(struct scanner *scanner, const u8 *data, u64 size, u64 *at, struct event *event);
static inline bool scanner_next(struct scanner *scanner, const u8 *data, u64 size, u64 *at, struct event *event) {
    return (*at < size || scanner->told || scanner->held) && scanner_goes_on(scanner, data, size, at, event);
}

/* Bytes that come next and need not be fed: scanner_skip() them (stream.py, skippable). */
u64 scanner_skippable(const struct scanner *scanner);
/* As feeding `count` <= skippable bytes; true: `event` (END, at 0 relative) tells that the body is complete. */
bool scanner_skip(struct scanner *scanner, u64 count, struct event *event); /* more than is skippable: OPAQUE */

void scanner_try(struct scanner *trial, const struct scanner *scanner); /* begins a trial */
bool scanner_eof(struct scanner *scanner, struct event *event); /* true: END; opaque after it */
void scanner_give_up(struct scanner *scanner);                  /* hands off; returns `held` to the pool */
void scanner_abandon_trial(struct scanner *trial, const struct scanner *original); /* a trial that is not kept: gives
                                                                     back a held buffer that only it has */
void scanner_commit(struct scanner *scanner, const struct scanner *trial); /* *scanner = *trial; gives back a held buffer
                                                                     that only the former had */
void scanner_resume(struct scanner *scanner);                   /* REQUESTS: a CONNECT was refused */
void scanner_expect(struct scanner *scanner, struct bytes method); /* RESPONSES: a request was sent */

static inline bool scanner_opaque(const struct scanner *scanner) { return scanner->state >= TUNNEL; }
static inline bool scanner_idle(const struct scanner *scanner) { return scanner->state == START; }

/* heads.c: equal to heads.py reduce_head(raw, limit): the bytes written to `out` (room for `limit`, at least 80), 0: no
 * head. Needs a line end in `raw`, as every head's has one. */
u32 reduce_head(struct bytes raw, u8 *out, u32 limit);
/* The same of head.raw, and sooner where the scanner has found the fields already. */
u32 reduce_told(const struct head *head, u8 *out, u32 limit);

/* headers.c: iterates over the header fields of head.raw: lower-case comparison is the caller's; continued lines are joined into
 * `fold` (a buffer of `fold_size` bytes; a longer value is cut). Begin with *at = 0. Equal to events.py Head.headers. */
bool next_field(struct bytes raw, u32 *at, struct bytes *name, struct bytes *value, u8 *fold, u32 fold_size);

#endif
