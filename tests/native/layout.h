/* Prints the contract's numbers, a name and a number a line, for tests/unit/test_agent_contract.py. */
#ifndef RBINDER_TEST_LAYOUT_H
#define RBINDER_TEST_LAYOUT_H

#include <stdio.h>

#include "ring.h"
#include "stencil.h"

#define TELL(name, number) printf("%s %llu\n", name, (unsigned long long)(number))
#define CONSTANT(name) TELL(#name, name)
#define FIELD(type, field) TELL(#type "." #field, offsetof(struct type, field))
#define SIZE(type) TELL(#type, sizeof(struct type))

static inline void tell_shared(void) {
    FIELD(shared, magic), FIELD(shared, version), FIELD(shared, size), FIELD(shared, refused), FIELD(shared, token);
    FIELD(shared, capacity), FIELD(shared, propagators), FIELD(shared, sampler), FIELD(shared, sampler_bound);
    FIELD(shared, record_version), FIELD(shared, verbosity), FIELD(shared, pid_namespace);
    FIELD(shared, runtime_hooks);
    FIELD(shared, head), FIELD(shared, tail), FIELD(shared, sleeping), FIELD(shared, detached), FIELD(shared, next_tail), FIELD(shared, requests), FIELD(shared, delivered);
    FIELD(shared, dropped), FIELD(shared, dropped_requests);
    FIELD(shared, passed), FIELD(shared, untraced), FIELD(shared, open);
}

static inline void tell_records(void) {
    FIELD(record, size), FIELD(record, kind), FIELD(record, version), FIELD(record, time), FIELD(record, pid);
    FIELD(record, tid), FIELD(record, connection), FIELD(record, exchange), FIELD(record, reserved);
    FIELD(connection_payload, side), FIELD(connection_payload, peer_port), FIELD(connection_payload, local_port);
    FIELD(connection_payload, connect_start), FIELD(connection_payload, connect_end);
    FIELD(connection_payload, lookup_start), FIELD(connection_payload, lookup_end), FIELD(connection_payload, error);
    FIELD(request_payload, side), FIELD(request_payload, trace_id), FIELD(request_payload, parent_id);
    FIELD(request_payload, flags), FIELD(request_payload, started), FIELD(request_payload, state_size);
    FIELD(end_payload, side), FIELD(end_payload, is_response), FIELD(end_payload, body_size);
    SIZE(record), SIZE(connection_payload), SIZE(request_payload), SIZE(end_payload), SIZE(slot);
    FIELD(slot, stamp), FIELD(slot, length), FIELD(slot, pid), FIELD(slot, state), FIELD(slot, size);
}

static inline void tell_pump(void) {
    FIELD(reader, shared), FIELD(reader, stuck_at), FIELD(reader, stuck_since), FIELD(reader, stuck_head);
    FIELD(reader, abandoned), FIELD(reader, corrupt), FIELD(reader, abandoned_requests);
    FIELD(reader, jumps_from), SIZE(reader);
    FIELD(pump, reader), FIELD(pump, data), FIELD(pump, size), FIELD(pump, written), FIELD(pump, passed);
    FIELD(pump, left_at), FIELD(pump, taken), FIELD(pump, taker_sleeps), FIELD(pump, kicked), FIELD(pump, ending);
    FIELD(pump, patience), FIELD(pump, shortest), FIELD(pump, longest), FIELD(pump, gather), FIELD(pump, since), SIZE(pump);
}

static inline void tell_stencils(void) {
    CONSTANT(SEGMENTS), CONSTANT(STENCIL_TEXT), CONSTANT(PIECE_LITERAL), CONSTANT(PIECE_PATH), CONSTANT(PIECE_QUERY);
    CONSTANT(PIECE_TARGET), SIZE(segment), SIZE(weave);
    FIELD(segment, group), FIELD(segment, count), FIELD(segment, at), FIELD(segment, size);
    FIELD(weave, epoch), FIELD(weave, passed), FIELD(weave, passed_room), FIELD(weave, passed_size), FIELD(weave, spans);
    FIELD(weave, spans_room), FIELD(weave, most), FIELD(weave, segment_count), FIELD(weave, segments), FIELD(weave, stencils);
}

static inline int tell_layout(void) {
    CONSTANT(SHARED_MAGIC), CONSTANT(SHARED_VERSION), CONSTANT(RECORD_VERSION), CONSTANT(SHARED_HEADER);
    CONSTANT(OPEN_REQUESTS), CONSTANT(SLOT_ALIGN), CONSTANT(SLOT_MAGIC), CONSTANT(HEAD_LIMIT), CONSTANT(MAX_RECORD);
    CONSTANT(SPOOL_LEAST), CONSTANT(MADE_UP), CONSTANT(W3C), CONSTANT(BAGGAGE), CONSTANT(B3_SINGLE), CONSTANT(B3_MULTI);
    CONSTANT(SAMPLE_ALL), CONSTANT(PARENT_BASED), CONSTANT(SLOT_FREE), CONSTANT(SLOT_COMMITTED);
    CONSTANT(SLOT_PADDING), CONSTANT(SERVER), CONSTANT(CLIENT), CONSTANT(PROCESS), CONSTANT(PROCESS_EXIT);
    CONSTANT(CONNECTION), CONSTANT(CONNECTION_CLOSED), CONSTANT(REQUEST_HEAD), CONSTANT(RESPONSE_HEAD);
    CONSTANT(MESSAGE_END), CONSTANT(EXCHANGE_FAILED), CONSTANT(LOST), CONSTANT(NOTE), CONSTANT(FLUSH);
    CONSTANT(CONNECT_FAILED), CONSTANT(CONNECT_RETRACTED);
    tell_shared();
    tell_records();
    tell_pump();
    tell_stencils();
    return 0;
}

#endif
