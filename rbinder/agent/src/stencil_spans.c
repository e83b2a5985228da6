/* Spans in OTLP's protobuf encoding (opentelemetry/proto/trace/v1/trace.proto, version 1), made of stencils; and in segments,
 * a resource each. */
#include "stencil_parts.h"

#define LONGEST_SPAN (STENCIL_TEXT + 2 * HELD_REQUEST + 768u) /* bytes: a text's hole takes the target at most, others 32 */
#define MOST_TEXTS 2u
#define MOST_OTHERS 6u

/* In the first half of `spans`, as they come: this, then its bytes. The other half is the segments'. */
struct stored {
    u32 group, size;
};

struct text {
    const u8 *at, *end;
};

static bool read_u16(struct text *text, u32 *value) {
    if (text->end - text->at < 2)
        return false;
    *value = text->at[0] | (u32)text->at[1] << 8;
    text->at += 2;
    return true;
}

static bool read_bytes(struct text *text, struct bytes *bytes) {
    if (!read_u16(text, &bytes->size) || text->end - text->at < (s64)bytes->size)
        return false;
    bytes->at = text->at;
    text->at += bytes->size;
    return true;
}

struct hole {
    u32 kind; /* enum piece */
    struct bytes first, second;
};

static bool read_piece(struct text *text, struct hole *hole) {
    if (text->at == text->end)
        return false;
    hole->kind = *text->at++;
    hole->second = (struct bytes){text->at, 0};
    return hole->kind < PIECE_EVENT + MOMENTS && read_bytes(text, &hole->first) &&
           (hole->kind != PIECE_TARGET || read_bytes(text, &hole->second));
}

bool stencil_is_sound(const u8 *from, u64 size) {
    struct text text = {from, from + size};
    struct bytes first;
    struct hole hole;
    u32 texts = 0, others = 0;
    if (size > STENCIL_TEXT || !read_bytes(&text, &first))
        return false;
    while (text.at < text.end) {
        if (!read_piece(&text, &hole))
            return false;
        texts += hole.kind != PIECE_LITERAL && hole.kind <= PIECE_TARGET;
        others += hole.kind > PIECE_TARGET;
    }
    return texts <= MOST_TEXTS && others <= MOST_OTHERS;
}

/* -- protobuf */

static u32 varint_size(u32 value) {
    return 1 + (value > 0x7f) + (value > 0x3fff) + (value > 0x1fffff) + (value > 0xfffffff);
}

static u8 *put_varint(u8 *out, u32 value) {
    for (; value > 0x7f; value >>= 7)
        *out++ = (u8)(value | 0x80);
    *out++ = (u8)value;
    return out;
}

static u8 *put_bytes(u8 *out, struct bytes bytes) {
    memcpy(out, bytes.at, bytes.size);
    return out + bytes.size;
}

static u8 *put_time(u8 *out, u8 tag, u64 time) {
    *out++ = tag;
    memcpy(out, &time, sizeof time);
    return out + sizeof time;
}

/* KeyValue, field 9 of Span: the key's field as given, then value (field 2) with string_value (field 1). */
static u8 *put_attribute(u8 *out, struct bytes key, struct bytes before, struct bytes text) {
    u32 length = before.size + text.size, value = 1 + varint_size(length) + length;
    *out++ = 0x4a;
    out = put_varint(out, key.size + 1 + varint_size(value) + value);
    out = put_bytes(out, key);
    *out++ = 0x12;
    out = put_varint(out, value);
    *out++ = 0x0a;
    out = put_varint(out, length);
    return put_bytes(put_bytes(out, before), text);
}

/* The same with int_value (field 3). */
static u8 *put_number(u8 *out, struct bytes key, u32 number) {
    u32 value = 1 + varint_size(number);
    *out++ = 0x4a;
    out = put_varint(out, key.size + 1 + varint_size(value) + value);
    out = put_bytes(out, key);
    *out++ = 0x12;
    out = put_varint(out, value);
    *out++ = 0x18;
    return put_varint(out, number);
}

/* Event, field 11 of Span: its time (field 1), and the name's field as given. */
static u8 *put_event(u8 *out, struct bytes name, u64 time) {
    *out++ = 0x5a;
    out = put_varint(out, 1 + (u32)sizeof time + name.size);
    return put_bytes(put_time(out, 0x09, time), name);
}

static u8 *put_ids(u8 *out, const struct record *record, const struct request_payload *payload) {
    static const u8 none[8];
    memcpy(out, "\x0a\x10", 2);
    memcpy(out + 2, payload->trace_id, 16);
    memcpy(out + 18, "\x12\x08", 2);
    memcpy(out + 20, record->exchange, 8);
    out += 28;
    if (!memcmp(payload->parent_id, none, sizeof none))
        return out;
    memcpy(out, "\x22\x08", 2);
    memcpy(out + 2, payload->parent_id, 8);
    return out + 10;
}

static u8 *put_flags(u8 *out, const struct request_payload *payload) {
    static const u8 none[8];
    bool remote = payload->flags & 0x100 && memcmp(payload->parent_id, none, sizeof none);
    u32 flags = 0x100u | (remote ? 0x200u : 0); /* CONTEXT_HAS_IS_REMOTE, CONTEXT_IS_REMOTE */
    memcpy(out, "\x85\x01", 2);
    memcpy(out + 2, &flags, sizeof flags);
    return out + 6;
}

u64 moment_of(const struct connection_payload *told, u32 moment) {
    const u64 moments[MOMENTS] = {told->lookup_start, told->lookup_end, told->connect_start, told->connect_end};
    return moments[moment];
}

/* What fills it. */
struct filling {
    const struct held *held;
    const struct request_view *view;
    const struct connection_payload *told;
    u64 start, end, epoch; /* epoch: of the moments' zero */
};

static u8 *put_hole(u8 *out, const struct hole *hole, const struct filling *with) {
    const struct request_view *view = with->view;
    switch (hole->kind) {
    case PIECE_LITERAL:
        return put_bytes(out, hole->first);
    case PIECE_PATH:
        return put_attribute(out, hole->first, hole->second, view->path);
    case PIECE_QUERY:
        return put_attribute(out, hole->first, hole->second, view->query);
    case PIECE_TARGET:
        return put_attribute(out, hole->first, hole->second, view->target);
    case PIECE_PORT:
        return put_number(out, hole->first, with->told->peer_port);
    default:
        return put_event(out, hole->first, moment_of(with->told, hole->kind - PIECE_EVENT) + with->epoch);
    }
}

static u8 *put_span(u8 *out, const struct stencil *stencil, const struct filling *with) {
    struct text text = {stencil->text, stencil->text + stencil->size};
    struct bytes first = {0};
    struct hole hole;
    out = put_ids(out, &with->held->record, &with->view->payload);
    read_bytes(&text, &first);
    out = put_bytes(out, first);
    out = put_time(out, 0x39, with->start);
    out = put_time(out, 0x41, with->end);
    while (read_piece(&text, &hole))
        out = put_hole(out, &hole, with);
    return put_flags(out, &with->view->payload);
}

/* -- one feed's */

static u64 half(const struct weave *weave) {
    return weave->spans_room / 2;
}

void spans_begin(struct weave *weave) {
    weave->stencils->written = weave->stencils->made = weave->stencils->group_count = 0;
    weave->segment_count = 0;
}

bool spans_have_room(const struct weave *weave) {
    const struct stencils *all = weave->stencils;
    bool has_segments = all->made < (SEGMENTS - GROUPS) * weave->most;
    return has_segments && all->group_count < GROUPS && half(weave) - all->written >= LONGEST_SPAN;
}

static void count(struct stencils *all, u32 group) {
    for (u32 index = 0; index < all->group_count; index++)
        if (all->groups[index] == group)
            return;
    all->groups[all->group_count++] = group;
}

void span_append(struct weave *weave, const struct stencil *stencil, const struct held *held, const struct request_view *view,
                 const struct connection_payload *told, u64 ended) {
    struct stencils *all = weave->stencils;
    u64 began = view->payload.started ? view->payload.started : held->record.time, start = began + weave->epoch;
    u64 end = ended > began ? ended - began : 0;
    struct stored stored = {.group = stencil->group};
    u8 *place = weave->spans + all->written, *body = place + sizeof stored;
    struct filling with = {held, view, told, start, start + end, weave->epoch};
    stored.size = (u32)(put_span(body, stencil, &with) - body);
    memcpy(place, &stored, sizeof stored);
    all->written += sizeof stored + stored.size;
    all->made++;
    count(all, stencil->group);
}

static void gather_group(struct weave *weave, u32 group, u64 *at) {
    const u8 *from = weave->spans, *end = weave->spans + weave->stencils->written;
    struct segment *segment = NULL;
    while (from < end) {
        struct stored stored;
        memcpy(&stored, from, sizeof stored);
        from += sizeof stored;
        if (stored.group == group) {
            if (!segment || segment->count == weave->most) {
                segment = &weave->segments[weave->segment_count++];
                *segment = (struct segment){group, 0, *at, 0};
            }
            u8 *place = weave->spans + *at, *out = put_varint(place + 1, stored.size);
            *place = 0x12; /* ScopeSpans.spans */
            out = put_bytes(out, (struct bytes){from, stored.size});
            segment->count++;
            segment->size += (u64)(out - place);
            *at += (u64)(out - place);
        }
        from += stored.size;
    }
}

/* Tag and size take no more room than `struct stored`. */
void spans_gather(struct weave *weave) {
    u64 at = half(weave);
    for (u32 index = 0; index < weave->stencils->group_count; index++)
        gather_group(weave, weave->stencils->groups[index], &at);
}
