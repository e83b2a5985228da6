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

/* Begins a record about a turn, of `size` bytes of payload. NULL: it is not to be. */
static struct record *begin(struct opened *opened, u32 kind, const struct dialogue *dialogue, const struct turn *turn, u64 now,
                            u64 size) {
    if (UNLIKELY(!reporter.shared))
        return NULL;
    struct record *record = ring_open(reporter.shared, sizeof *record + size, kind, reporter.pid, opened);
    if (UNLIKELY(!record))
        return NULL;
    record->time = now;
    record->tid = reporter.tid;
    record->connection = dialogue->identity;
    memcpy(record->exchange, turn->span.span_id, sizeof record->exchange);
    return record;
}

static void put_request(struct request_payload *payload, const struct dialogue *dialogue, const struct turn *turn) {
    static const u8 nobody[8];
    bool remote = dialogue->side == SERVER && turn->has_parent;
    payload->side = dialogue->side;
    memcpy(payload->trace_id, turn->span.trace_id, sizeof payload->trace_id);
    memcpy(payload->parent_id, turn->has_parent ? turn->parent_id : nobody, sizeof payload->parent_id);
    payload->flags = (u16)(turn->span.flags | (remote ? REMOTE_PARENT : 0));
    payload->started = turn->started;
}

void report_request(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now) {
    announce(dialogue, now);
    const struct blob *state = turn->span.state;
    struct opened opened;
    u16 state_size = UNLIKELY(state) ? (u16)MIN(state->size, STATE_LIMIT) : 0;
    u32 size = reduce_told(head, reduced, HEAD_LIMIT);
    u64 whole = sizeof(struct request_payload) + state_size + size;
    struct record *record = begin(&opened, REQUEST_HEAD, dialogue, turn, now, whole);
    if (UNLIKELY(!record))
        return;
    struct request_payload *payload = (struct request_payload *)(record + 1);
    put_request(payload, dialogue, turn);
    payload->state_size = state_size;
    u8 *at = (u8 *)(payload + 1);
    if (UNLIKELY(state_size))
        memcpy(at, state->text, state_size);
    memcpy(at + state_size, reduced, size);
    ring_close(reporter.shared, &opened);
}

void report_response(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now) {
    struct opened opened;
    u32 size = reduce_told(head, reduced, HEAD_LIMIT);
    struct record *record = begin(&opened, RESPONSE_HEAD, dialogue, turn, now, 1 + size);
    if (UNLIKELY(!record))
        return;
    u8 *at = (u8 *)(record + 1);
    *at = dialogue->side;
    memcpy(at + 1, reduced, size);
    ring_close(reporter.shared, &opened);
}

void report_end(const struct dialogue *dialogue, const struct turn *turn, bool is_response, u64 body_size, u64 now) {
    struct opened opened;
    struct record *record = begin(&opened, MESSAGE_END, dialogue, turn, now, sizeof(struct end_payload));
    if (UNLIKELY(!record))
        return;
    *(struct end_payload *)(record + 1) = (struct end_payload){dialogue->side, is_response, body_size};
    ring_close(reporter.shared, &opened);
}

void report_failure(const struct dialogue *dialogue, const struct turn *turn, struct bytes error_type, u64 now) {
    struct iovec pieces[] = {PIECE(&dialogue->side, 1), PIECE(error_type.at, error_type.size)};
    report_put(EXCHANGE_FAILED, now, dialogue->identity, turn->span.span_id, pieces, COUNT(pieces));
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
