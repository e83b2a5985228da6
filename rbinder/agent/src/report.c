/* Packs what is recorded of a dialogue; equal to rbinder/binder/reports.py and the payloads of rbinder/records.py. The
 * process's lock is held: there is one room for heads.
 */
#include "report.h"

#include "ring.h"

#define PIECE(address, length) ((struct iovec){(void *)(uintptr_t)(address), (length)})
#define REMOTE_PARENT 0x100u

struct reporter reporter;

static u8 reduced[HEAD_LIMIT];

bool report_put(u32 kind, u64 now, u64 connection, const u8 *exchange, const struct iovec *pieces, u32 count) {
    if (UNLIKELY(!reporter.shared))
        return false;
    struct record record = {.kind = (u16)kind, .time = now, .pid = reporter.pid, .tid = reporter.tid, .connection = connection};
    if (exchange)
        memcpy(record.exchange, exchange, sizeof record.exchange);
    return ring_put(reporter.shared, &record, pieces, count);
}

static void put(u32 kind, const struct dialogue *dialogue, const struct turn *turn, u64 now, const struct iovec *pieces,
                u32 count) {
    report_put(kind, now, dialogue->identity, turn->span.span_id, pieces, count);
}

void report_request(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now) {
    announce(dialogue, now);
    const struct blob *state = turn->span.state;
    bool remote = dialogue->side == SERVER && turn->has_parent;
    struct request_payload payload = {
        .side = dialogue->side,
        .flags = (u16)(turn->span.flags | (remote ? REMOTE_PARENT : 0)),
        .started = turn->started,
        .state_size = state ? (u16)MIN(state->size, STATE_LIMIT) : 0,
    };
    memcpy(payload.trace_id, turn->span.trace_id, sizeof payload.trace_id);
    if (turn->has_parent)
        memcpy(payload.parent_id, turn->parent_id, sizeof payload.parent_id);
    u32 size = reduce_told(head, reduced, HEAD_LIMIT);
    struct iovec pieces[] = {
        PIECE(&payload, sizeof payload),
        PIECE(state ? state->text : reduced, payload.state_size),
        PIECE(reduced, size),
    };
    put(REQUEST_HEAD, dialogue, turn, now, pieces, COUNT(pieces));
}

void report_response(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now) {
    u32 size = reduce_told(head, reduced, HEAD_LIMIT);
    struct iovec pieces[] = {PIECE(&dialogue->side, 1), PIECE(reduced, size)};
    put(RESPONSE_HEAD, dialogue, turn, now, pieces, COUNT(pieces));
}

void report_end(const struct dialogue *dialogue, const struct turn *turn, bool is_response, u64 body_size, u64 now) {
    struct end_payload payload = {dialogue->side, is_response, body_size};
    struct iovec piece = PIECE(&payload, sizeof payload);
    put(MESSAGE_END, dialogue, turn, now, &piece, 1);
}

void report_failure(const struct dialogue *dialogue, const struct turn *turn, struct bytes error_type, u64 now) {
    struct iovec pieces[] = {PIECE(&dialogue->side, 1), PIECE(error_type.at, error_type.size)};
    put(EXCHANGE_FAILED, dialogue, turn, now, pieces, COUNT(pieces));
}

/* -- shared.open: two requests with the same place push each other out; the elder then counts as over, which unbinds */

static u64 *place_of(u64 id) {
    return &reporter.shared->open[id & (OPEN_REQUESTS - 1)];
}

static u64 as_number(const u8 *span_id) {
    u64 id;
    memcpy(&id, span_id, sizeof id);
    return id;
}

void shared_opened(const u8 *span_id) {
    u64 id = as_number(span_id);
    if (reporter.shared)
        __atomic_store_n(place_of(id), id, __ATOMIC_RELEASE);
}

void shared_finished(const u8 *span_id) {
    u64 id = as_number(span_id), expected = id;
    if (reporter.shared)
        __atomic_compare_exchange_n(place_of(id), &expected, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

bool shared_is_open(const u8 *span_id) {
    u64 id = as_number(span_id);
    return reporter.shared && __atomic_load_n(place_of(id), __ATOMIC_ACQUIRE) == id;
}
