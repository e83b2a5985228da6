/* Spans of exchanges like others before them, made without the interpreter.
 *
 *     records ──▶ stencils_feed ──▶ passed: records, as they came or a little later ──▶ exchanges, spans (Python)
 *                       │  ▲                                                                │
 *                       │  └──────────────── stencils_fill: what its span looks like ───────┘
 *                       └──▶ spans, encoded
 *
 * A stencil is an encoded span with holes for ids, times, the target and the client's port. It is cut from a span that Python
 * made, and fits exchanges with the same heads (but for the target) on connections that differ in nothing a span tells. What
 * is told of a connection is held too, until something on it is passed on. Where it isn't known (it came before us, or there
 * is no room), a stencil fits one connection, from its second exchange on. What isn't ordinary is passed on: ordinary is one
 * request at a time, ended by its response. Nothing in a record is trusted.
 */
#ifndef RBINDER_STENCIL_H
#define RBINDER_STENCIL_H

#include "contract.h"

#define HELD 4096u               /* exchanges that are open here, at most, and connections of which the record is */
#define HELD_REQUEST 1024u       /* bytes of a REQUEST_HEAD record that is held, at most */
#define HELD_RESPONSE 512u       /* the same of a RESPONSE_HEAD */
#define HELD_CONNECTION 320u     /* of a CONNECTION */
#define LINKS 16384u             /* connections that are looked after, at most */
#define STENCILS 4096u           /* kept, at most */
#define STENCIL_TEXT 1408u       /* bytes of a stencil */
#define STENCIL_KEY (HELD_REQUEST + HELD_RESPONSE + HELD_CONNECTION) /* bytes of heads and addresses that it is found by */
#define WANTED 512u              /* exchanges whose span is wanted for a stencil, at a time */
#define GROUPS 32u               /* resources in one feed */
#define SEGMENTS 256u

/* A stencil's text, little-endian: u16 size and bytes of what precedes the times, then pieces up to its end:
 * u8 enum piece, u16 size, bytes; but PIECE_LITERAL has u16 size and bytes of the text's beginning besides. */
enum piece {
    PIECE_LITERAL = 0, /* bytes as they are */
    PIECE_PATH = 1,    /* an attribute whose key field is given: the target up to '?' */
    PIECE_QUERY = 2,   /* the target behind it */
    PIECE_TARGET = 3,  /* all of it; a second u16 size and bytes precede it in the text */
    PIECE_PORT = 4,    /* an attribute whose key field is given: the client's */
    PIECE_EVENT = 5,   /* and those behind it: an event whose name field is given, at the connection's time enum moment */
};
enum moment { LOOKUP_START, LOOKUP_END, CONNECT_START, CONNECT_END, MOMENTS };

/* Spans of one resource, back to back, each with its field tag and size. */
struct segment {
    u32 group, count;
    u64 at, size; /* in `spans` */
};

struct weave {
    u64 epoch;       /* CLOCK_REALTIME minus CLOCK_MONOTONIC, ns */
    u8 *passed;      /* records for Python */
    u64 passed_room, passed_size;
    u8 *spans;
    u64 spans_room;
    u64 most;        /* spans in a segment */
    u32 segment_count, reserved;
    struct segment segments[SEGMENTS];
    struct stencils *stencils; /* stencils_size() zeros */
};

u64 stencils_size(void);
/* Takes whole records, as far as there is room for what comes of them, and up to one that ends an exchange whose stencil is
 * wanted: what is behind it may fit already. Returns the bytes taken. `passed` and `segments` are filled anew. */
u64 stencils_feed(struct weave *weave, const u8 *data, u64 size);
/* Passes on what is held of a process (0: of all), as far as there is room, and forgets its stencils. True: that was all. */
bool stencils_release(struct weave *weave, u32 pid);
/* Whether anything of a process is held. */
bool stencils_hold(const struct weave *weave, u32 pid);
/* Whether the span of an exchange that was passed on is to be made a stencil: one with holes for what is its connection's. */
enum want { UNWANTED, WANTED_HERE, WANTED_ANYWHERE };
u32 stencils_want(const struct weave *weave, const u8 *exchange);
void stencils_fill(struct weave *weave, const u8 *exchange, u32 group, const u8 *text, u64 size);

#endif
