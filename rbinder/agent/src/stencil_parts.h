/* What the two halves of the stencils share. */
#ifndef RBINDER_STENCIL_PARTS_H
#define RBINDER_STENCIL_PARTS_H

#include "stencil.h"

#define WAYS 4u /* places that an entry may have */

/* Indices; the last one that was given back is taken first. */
struct pool {
    u32 taken; /* so many at most, at any time */
    u32 free;  /* the first that was given back, plus 1; 0: none */
    u32 next[HELD];
};

/* An exchange that has not ended. */
struct held {
    struct record record; /* its request's; pid 0: free */
    bool first;           /* on its connection */
    u32 request_size, response_size;
    u8 request[HELD_REQUEST], response[HELD_RESPONSE];
};

/* What was told of a connection. */
struct known {
    struct record record; /* pid 0: free */
    struct connection_payload payload;
    bool told; /* it was passed on */
    u8 text[HELD_CONNECTION];
};

/* A connection. `last`: of those exchanges on it that were passed on. */
struct link {
    u64 connection; /* 0: free */
    u32 held;       /* index plus 1 of the one that is held; 0: none */
    u32 known;      /* index plus 1 of what was told of it; 0: it isn't here */
    u32 open;       /* exchanges that were passed on and have not ended */
    u8 last[8];
    bool used;      /* it has had an exchange */
    bool made;      /* one of which the span was made here */
};

struct request_view {
    struct request_payload payload;
    struct bytes method, target, path, query, rest; /* of the head */
};

#define PARTS 4u /* of what a stencil is found by: method, the request's rest, the response, the connection's addresses */

/* Where it fits: on one connection, or (connection 0) on each with these properties and the same addresses. */
struct place {
    u64 connection;
    u32 port;   /* the one that isn't a client's */
    u8 moments; /* of which it has events; bits by enum moment */
    bool from;  /* it tells a client's port */
};

struct key {
    u64 hash;
    struct place place;
    u32 pid, image;
    u8 side;
    bool asks;
    struct bytes parts[PARTS];
};

struct stencil {
    u64 hash;
    struct place place;
    u32 pid, image;
    u32 group;
    u32 size; /* of text; 0: free */
    u16 sizes[PARTS];
    u8 side;
    bool asks; /* the target has a query */
    u8 heads[STENCIL_KEY];
    u8 text[STENCIL_TEXT];
};

struct wanted {
    u8 exchange[8];
    struct stencil stencil; /* all but the text */
};

struct stencils {
    struct pool exchanges, connections; /* which of `held` and `known` are free */
    u32 turn, next_wanted;
    bool wants;       /* one, since this feed began */
    u32 images[1024]; /* by pid: changes with each image */
    u64 seen[4096];   /* hashes of what had no stencil */
    u64 written, made; /* bytes and number of spans, in the order they came */
    u32 groups[GROUPS], group_count;
    struct wanted wanted[WANTED];
    struct link links[LINKS];
    struct stencil stencils[STENCILS];
    struct held held[HELD];
    struct known known[HELD];
};

u64 moment_of(const struct connection_payload *told, u32 moment);
bool stencil_is_sound(const u8 *text, u64 size);
void spans_begin(struct weave *weave);
bool spans_have_room(const struct weave *weave);
/* `told`: of its connection, where the stencil fits others too. */
void span_append(struct weave *weave, const struct stencil *stencil, const struct held *held, const struct request_view *view,
                 const struct connection_payload *told, u64 ended);
/* Puts them in segments. */
void spans_gather(struct weave *weave);

#endif
