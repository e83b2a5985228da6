/* Which exchanges are held here until they have ended, and which stencil fits them. */
#include "stencil.h"

#include "stencil_parts.h"

#define EXPORTED __attribute__((visibility("default")))
/* Bytes that one record may make the passed ones grow by. */
#define SPARE (HELD_REQUEST + HELD_RESPONSE + 2 * HELD_CONNECTION + 2 * MAX_RECORD)

/* -- tables */

static u64 mixed(u64 value) {
    value ^= value >> 32;
    value *= 0x9e3779b97f4a7c15u;
    return value ^ value >> 29;
}

static struct link *link_set(struct stencils *all, u64 connection) {
    return &all->links[mixed(connection) % (LINKS / WAYS) * WAYS];
}

static struct link *link_of(struct stencils *all, u64 connection) {
    struct link *set = link_set(all, connection);
    for (u32 way = 0; way < WAYS && connection; way++)
        if (set[way].connection == connection)
            return &set[way];
    return NULL;
}

static u32 *image_of(struct stencils *all, u32 pid) {
    return &all->images[pid % COUNT(all->images)];
}

/* An index plus 1; 0: all are taken. */
static u32 pool_take(struct pool *pool) {
    u32 index = pool->free;
    if (index)
        pool->free = pool->next[index - 1];
    else if (pool->taken < HELD)
        index = ++pool->taken;
    return index;
}

static void pool_give(struct pool *pool, u32 index) {
    pool->next[index - 1] = pool->free;
    pool->free = index;
}

static void held_give(struct stencils *all, struct link *link) {
    struct held *held = &all->held[link->held - 1];
    held->record.pid = 0;
    pool_give(&all->exchanges, link->held);
    link->held = 0;
}

static struct known *known_of(struct stencils *all, const struct link *link) {
    return link && link->known ? &all->known[link->known - 1] : NULL;
}

static void known_give(struct stencils *all, struct link *link) {
    struct known *known = known_of(all, link);
    if (!known)
        return;
    known->record.pid = 0;
    pool_give(&all->connections, link->known);
    link->known = 0;
}

/* -- passed on */

static void pass(struct weave *weave, const void *data, u64 size) {
    memcpy(weave->passed + weave->passed_size, data, size);
    weave->passed_size += size;
}

/* What is passed on of a connection comes after what was told of it. Its making belongs to its first exchange: where that
 * has been told already, it isn't told again. */
static void tell(struct weave *weave, const struct link *link) {
    struct known *known = known_of(weave->stencils, link);
    if (!known || known->told)
        return;
    known->told = true;
    u8 *place = weave->passed + weave->passed_size;
    pass(weave, known->text, known->record.size);
    if (!link->made)
        return;
    struct connection_payload payload = known->payload;
    payload.lookup_start = payload.lookup_end = payload.connect_start = payload.connect_end = 0;
    memcpy(place + sizeof(struct record), &payload, sizeof payload);
}

static void pass_held(struct weave *weave, struct link *link) {
    struct held *held = &weave->stencils->held[link->held - 1];
    tell(weave, link);
    pass(weave, held->request, held->request_size);
    pass(weave, held->response, held->response_size);
    memcpy(link->last, held->record.exchange, sizeof link->last);
    link->open++;
    held_give(weave->stencils, link);
}

/* A new one, instead of one that nothing is open on. NULL: there is none. */
static struct link *link_add(struct weave *weave, u64 connection) {
    struct stencils *all = weave->stencils;
    struct link *set = link_set(all, connection), *place = NULL;
    for (u32 way = 0; way < WAYS; way++)
        if (!set[way].connection)
            place = &set[way];
    for (u32 way = 0; way < WAYS && !place; way++)
        if (!set[way].held && !set[way].open)
            place = &set[(way + all->turn++) % WAYS];
    if (!place || place->held || place->open)
        return NULL;
    tell(weave, place);
    known_give(all, place);
    *place = (struct link){.connection = connection};
    return place;
}

static bool has_room(const struct weave *weave, u64 size) {
    return weave->passed_room - weave->passed_size >= size;
}

EXPORTED bool stencils_hold(const struct weave *weave, u32 pid) {
    const struct stencils *all = weave->stencils;
    for (u32 index = 0; index < all->exchanges.taken; index++)
        if (all->held[index].record.pid == pid && pid)
            return true;
    return false;
}

/* Nobody says any more that they are closed, but another process may have them too. */
static bool forget_connections(struct weave *weave, u32 pid) {
    struct stencils *all = weave->stencils;
    for (u32 index = 0; index < all->connections.taken; index++) {
        if (all->known[index].record.pid != pid)
            continue;
        if (!has_room(weave, SPARE))
            return false;
        struct link *link = link_of(all, all->known[index].record.connection);
        tell(weave, link);
        known_give(all, link);
    }
    return true;
}

static bool release(struct weave *weave, u32 pid) {
    struct stencils *all = weave->stencils;
    for (u32 index = 0; index < all->exchanges.taken; index++) {
        const struct held *held = &all->held[index];
        if (!held->record.pid || (pid && held->record.pid != pid))
            continue;
        if (!has_room(weave, SPARE))
            return false;
        pass_held(weave, link_of(all, held->record.connection));
    }
    if (!pid)
        return true;
    ++*image_of(all, pid);
    return forget_connections(weave, pid);
}

EXPORTED bool stencils_release(struct weave *weave, u32 pid) {
    weave->passed_size = 0;
    return release(weave, pid);
}

/* -- heads */

static bool is_ordinary(struct bytes target) {
    if (!target.size || target.at[0] != '/')
        return false;
    for (u32 i = 0; i < target.size; i++)
        if (target.at[i] <= ' ' || target.at[i] > '~' || target.at[i] == '#')
            return false;
    return true;
}

/* What of a request's record the span is made of. False: it is left to those who look at everything. */
static bool view(const u8 *data, u32 size, struct request_view *view) {
    u32 fixed = sizeof(struct record) + sizeof view->payload;
    if (size < fixed)
        return false;
    memcpy(&view->payload, data + sizeof(struct record), sizeof view->payload);
    if (view->payload.state_size || (view->payload.side != SERVER && view->payload.side != CLIENT))
        return false;
    const u8 *head = data + fixed, *end = data + size;
    const u8 *target = find_byte(head, end, ' '), *rest = target ? find_byte(target + 1, end, ' ') : NULL;
    if (!rest || end - rest < 6 || memcmp(rest, " HTTP/", 6))
        return false;
    view->method = (struct bytes){head, (u32)(target - head)};
    view->target = (struct bytes){target + 1, (u32)(rest - target - 1)};
    view->rest = (struct bytes){rest, (u32)(end - rest)};
    if (!is_ordinary(view->target))
        return false;
    const u8 *question = find_byte(view->target.at, rest, '?');
    view->path = (struct bytes){view->target.at, (u32)((question ? question : rest) - view->target.at)};
    view->query = question ? (struct bytes){question + 1, (u32)(rest - question - 1)} : (struct bytes){rest, 0};
    return !question || view->query.size;
}

static struct bytes response_head(const struct held *held) {
    u32 fixed = sizeof(struct record) + 1;
    return (struct bytes){held->response + fixed, held->response_size - fixed};
}

/* -- stencils */

static u64 hash_of(u64 seed, struct bytes text) {
    u64 word;
    u32 at = 0;
    for (; at + 8 <= text.size; at += 8) {
        memcpy(&word, text.at + at, 8);
        seed = mixed(seed ^ word);
    }
    for (word = text.size; at < text.size; at++)
        word = word << 8 | text.at[at];
    return mixed(seed ^ word);
}

/* Addresses, and behind the ports all that isn't a time. */
static struct bytes addresses(const struct known *known) {
    u32 from = sizeof(struct record) + offsetof(struct connection_payload, error);
    return (struct bytes){known->text + from, known->record.size - from};
}

static struct place place_of(const struct held *held, const struct known *known, u8 side) {
    if (!known)
        return (struct place){.connection = held->record.connection};
    const struct connection_payload *payload = &known->payload;
    if (side == SERVER)
        return (struct place){.port = payload->local_port, .from = payload->peer_port != 0};
    struct place place = {.port = payload->peer_port};
    for (u32 moment = 0; moment < MOMENTS && held->first; moment++)
        place.moments |= (u8)((moment_of(payload, moment) != 0) << moment);
    return place;
}

/* `known`: its connection, if that is. */
static struct key key_of(struct stencils *all, const struct held *held, const struct request_view *view, const struct known *known) {
    struct key key = {
        .place = place_of(held, known, view->payload.side),
        .pid = held->record.pid,
        .image = *image_of(all, held->record.pid),
        .side = view->payload.side,
        .asks = view->query.size != 0,
        .parts = {view->method, view->rest, response_head(held), known ? addresses(known) : (struct bytes){held->request, 0}},
    };
    key.hash = mixed(key.place.connection ^ ((u64)key.pid << 32 | key.image)) ^ (u64)key.side << 1 ^ key.asks;
    key.hash ^= mixed((u64)key.place.port << 16 | (u64)key.place.moments << 1 | key.place.from);
    for (u32 part = 0; part < COUNT(key.parts); part++)
        key.hash = hash_of(key.hash, key.parts[part]);
    return key;
}

static bool same_place(const struct place *one, const struct place *other) {
    return one->connection == other->connection && one->port == other->port && one->moments == other->moments &&
           one->from == other->from;
}

static bool fits(const struct stencil *stencil, const struct key *key) {
    if (stencil->hash != key->hash || !same_place(&stencil->place, &key->place) || stencil->pid != key->pid ||
        stencil->image != key->image || stencil->side != key->side || stencil->asks != key->asks)
        return false;
    const u8 *text = stencil->heads;
    for (u32 part = 0; part < COUNT(key->parts); text += stencil->sizes[part++])
        if (!equal((struct bytes){text, stencil->sizes[part]}, key->parts[part]))
            return false;
    return true;
}

static struct stencil *stencil_set(struct stencils *all, u64 hash) {
    return &all->stencils[hash % (STENCILS / WAYS) * WAYS];
}

static struct stencil *find(struct stencils *all, const struct key *key) {
    struct stencil *set = stencil_set(all, key->hash);
    for (u32 way = 0; way < WAYS; way++)
        if (set[way].size && fits(&set[way], key))
            return &set[way];
    return NULL;
}

/* Remembers what its stencil would be found by; only of what has come before. */
static void want(struct stencils *all, const struct held *held, const struct key *key) {
    u64 *seen = &all->seen[key->hash % COUNT(all->seen)];
    if (*seen != key->hash) {
        *seen = key->hash;
        return;
    }
    struct wanted *wanted = &all->wanted[all->next_wanted++ % WANTED];
    all->wants = true;
    memcpy(wanted->exchange, held->record.exchange, sizeof wanted->exchange);
    struct stencil *stencil = &wanted->stencil;
    *stencil = (struct stencil){.hash = key->hash, .place = key->place, .pid = key->pid, .image = key->image,
                                .side = key->side, .asks = key->asks};
    u8 *text = stencil->heads;
    for (u32 part = 0; part < COUNT(key->parts); part++) {
        stencil->sizes[part] = (u16)key->parts[part].size;
        memcpy(text, key->parts[part].at, key->parts[part].size);
        text += key->parts[part].size;
    }
}

static bool is_number(const u8 *exchange) {
    u64 number;
    memcpy(&number, exchange, sizeof number);
    return number;
}

static struct wanted *wanted_of(const struct stencils *all, const u8 *exchange) {
    for (u32 index = 0; index < WANTED && is_number(exchange); index++)
        if (!memcmp(all->wanted[index].exchange, exchange, sizeof all->wanted[index].exchange))
            return (struct wanted *)&all->wanted[index];
    return NULL;
}

EXPORTED u32 stencils_want(const struct weave *weave, const u8 *exchange) {
    const struct wanted *wanted = wanted_of(weave->stencils, exchange);
    if (!wanted)
        return UNWANTED;
    return wanted->stencil.place.connection ? WANTED_HERE : WANTED_ANYWHERE;
}

EXPORTED void stencils_fill(struct weave *weave, const u8 *exchange, u32 group, const u8 *text, u64 size) {
    struct stencils *all = weave->stencils;
    struct wanted *wanted = wanted_of(all, exchange);
    if (!wanted)
        return;
    memset(wanted->exchange, 0, sizeof wanted->exchange);
    if (!stencil_is_sound(text, size))
        return;
    struct stencil *set = stencil_set(all, wanted->stencil.hash), *place = &set[all->turn++ % WAYS];
    for (u32 way = 0; way < WAYS; way++)
        if (!set[way].size || set[way].hash == wanted->stencil.hash) /* a second one was cut meanwhile */
            place = &set[way];
    memcpy(place, &wanted->stencil, sizeof *place);
    memcpy(place->text, text, size);
    place->size = (u32)size;
    place->group = group;
}

/* -- the records */

static bool fits_connection(struct stencils *all, const struct link *link, const struct request_view *seen) {
    const struct known *known = known_of(all, link);
    return !known || known->payload.side == seen->payload.side;
}

static void requested(struct weave *weave, const struct record *record, const u8 *data) {
    struct stencils *all = weave->stencils;
    struct link *link = link_of(all, record->connection);
    if (link && link->held)
        pass_held(weave, link);
    struct request_view seen;
    bool ours = link && (link->used || link->known) && !link->open && record->size <= HELD_REQUEST && record->pid &&
                is_number(record->exchange) && view(data, record->size, &seen) && fits_connection(all, link, &seen);
    u32 index = ours ? pool_take(&all->exchanges) : 0;
    if (index) {
        struct held *held = &all->held[index - 1];
        held->first = !link->used;
        link->used = true;
        held->record = *record;
        held->request_size = record->size;
        held->response_size = 0;
        memcpy(held->request, data, record->size);
        link->held = index;
        return;
    }
    if (!link && record->connection)
        link = link_add(weave, record->connection);
    if (link) {
        tell(weave, link);
        link->used = true;
        link->open++;
        memcpy(link->last, record->exchange, sizeof link->last);
    }
    pass(weave, data, record->size);
}

static struct held *held_for(struct stencils *all, const struct link *link, const struct record *record) {
    struct held *held = link && link->held ? &all->held[link->held - 1] : NULL;
    return held && !memcmp(held->record.exchange, record->exchange, sizeof record->exchange) ? held : NULL;
}

static void responded(struct weave *weave, const struct record *record, const u8 *data) {
    struct link *link = link_of(weave->stencils, record->connection);
    struct held *held = held_for(weave->stencils, link, record);
    u32 size = record->size;
    if (held && !held->response_size && size <= HELD_RESPONSE && size > sizeof *record && data[sizeof *record] - 1u < 2u) {
        held->response_size = size;
        memcpy(held->response, data, size);
        return;
    }
    if (held)
        pass_held(weave, link);
    if (link && !memcmp(link->last, record->exchange, sizeof link->last))
        link->open = 1; /* those before it are over (RFC 9112 section 9.3.2) */
    pass(weave, data, size);
}

/* One exchange fewer of those that aren't held; the last one stays open whatever is said, late, of those before it. */
static void over(struct weave *weave, struct link *link, const struct record *record, const u8 *data) {
    bool last = link && !memcmp(link->last, record->exchange, sizeof link->last);
    if (link && link->open > (last ? 0u : 1u))
        link->open--;
    if (last)
        memset(link->last, 0, sizeof link->last);
    pass(weave, data, record->size);
}

static void ended(struct weave *weave, const struct record *record, const u8 *data) {
    struct stencils *all = weave->stencils;
    struct link *link = link_of(all, record->connection);
    struct held *held = held_for(all, link, record);
    struct end_payload payload = {0};
    bool whole = record->size >= sizeof *record + sizeof payload;
    if (whole)
        memcpy(&payload, data + sizeof *record, sizeof payload);
    if (!whole || payload.side - 1u > 1u || !payload.is_response) {
        if (!whole || !held) /* the end of a request's body matters to nobody who makes spans */
            pass(weave, data, record->size);
        return;
    }
    struct request_view seen;
    const struct known *known = known_of(all, link);
    bool describable = held && held->response_size && (known || !held->first); /* else something was told of it, and is gone */
    if (describable && view(held->request, held->request_size, &seen)) {
        static const struct connection_payload nothing;
        struct key key = key_of(all, held, &seen, known);
        const struct stencil *stencil = find(all, &key);
        if (stencil) {
            span_append(weave, stencil, held, &seen, known ? &known->payload : &nothing, record->time);
            link->made = true;
            held_give(all, link);
            return;
        }
        want(all, held, &key);
    }
    if (held)
        pass_held(weave, link);
    over(weave, link, record, data);
}

static void failed(struct weave *weave, const struct record *record, const u8 *data) {
    struct link *link = link_of(weave->stencils, record->connection);
    if (held_for(weave->stencils, link, record))
        pass_held(weave, link);
    over(weave, link, record, data);
}

/* Of a connection of which nothing was told nobody need know that it is closed. */
static void closed(struct weave *weave, const struct record *record, const u8 *data) {
    struct link *link = link_of(weave->stencils, record->connection);
    if (link && link->held)
        pass_held(weave, link);
    const struct known *known = known_of(weave->stencils, link);
    if (!known || known->told)
        pass(weave, data, record->size);
    if (!link)
        return;
    known_give(weave->stencils, link);
    *link = (struct link){0};
}

static bool is_connection(const struct record *record) {
    u32 fixed = sizeof *record + sizeof(struct connection_payload);
    return record->pid && record->connection && record->size >= fixed && record->size <= HELD_CONNECTION &&
           !is_number(record->exchange);
}

/* Anew, or for an exchange that is open already. */
static void connected(struct weave *weave, const struct record *record, const u8 *data) {
    struct stencils *all = weave->stencils;
    struct link *link = link_of(all, record->connection);
    bool open = link && (link->open || link->held);
    if (link && link->held)
        pass_held(weave, link);
    known_give(all, link);
    if (link)
        *link = (struct link){0};
    link = open || !is_connection(record) ? NULL : link_add(weave, record->connection);
    u32 index = link ? pool_take(&all->connections) : 0;
    if (!index) {
        pass(weave, data, record->size);
        return;
    }
    struct known *known = &all->known[index - 1];
    known->record = *record;
    known->told = false;
    memcpy(&known->payload, data + sizeof *record, sizeof known->payload);
    memcpy(known->text, data, record->size);
    link->known = index;
}

/* False: there is no room for what it would make be passed on. */
static bool take(struct weave *weave, const struct record *record, const u8 *data) {
    switch (record->kind) {
    case REQUEST_HEAD:
        requested(weave, record, data);
        return true;
    case RESPONSE_HEAD:
        responded(weave, record, data);
        return true;
    case MESSAGE_END:
        ended(weave, record, data);
        return true;
    case EXCHANGE_FAILED:
        failed(weave, record, data);
        return true;
    case CONNECTION:
        connected(weave, record, data);
        return true;
    case CONNECTION_CLOSED:
        closed(weave, record, data);
        return true;
    case PROCESS:
        if (!release(weave, record->pid))
            return false;
        /* fall through */
    default:
        tell(weave, link_of(weave->stencils, record->connection));
        pass(weave, data, record->size);
        return true;
    }
}

EXPORTED u64 stencils_size(void) {
    return sizeof(struct stencils);
}

EXPORTED u64 stencils_feed(struct weave *weave, const u8 *data, u64 size) {
    struct stencils *all = weave->stencils;
    u64 at = 0;
    weave->passed_size = 0;
    all->wants = false;
    spans_begin(weave);
    while (size - at >= sizeof(struct record) && !all->wants && has_room(weave, SPARE) && spans_have_room(weave)) {
        struct record record;
        memcpy(&record, data + at, sizeof record);
        if (record.size < sizeof record || record.size > MIN(size - at, (u64)MAX_RECORD) || record.version != RECORD_VERSION)
            break;
        if (!take(weave, &record, data + at))
            break;
        at += record.size;
    }
    spans_gather(weave);
    return at;
}
