/* Connects that failed: the call that never got as far as a request (the ptrace engine's failures.py). The collector waits
 * whether another attempt follows that succeeds; here it is known which attempts belong together.
 */
#include "report.h"
#include "sockets.h"

#define MOST_WAITING 16u
#define MOST_PORTS 32u
#define GRACE 400000000u /* ns; RFC 8305, 5: attempts follow each other after 250 ms */

/* A failure that has been told, and may yet be taken back. `id` zeros: none. */
struct failure {
    u8 id[8];
    u64 connection, time;
    u16 port;
    struct request *cause; /* counted */
};

static struct failure waiting[MOST_WAITING];
static struct {
    u16 port;
    u64 time; /* when a connect to it succeeded last */
} reached[MOST_PORTS];

static const u8 no_id[8];

static bool is_waiting(const struct failure *failure) {
    return memcmp(failure->id, no_id, sizeof no_id) != 0;
}

static void forget(struct failure *failure) {
    request_release(failure->cause);
    memset(failure, 0, sizeof *failure);
}

void failures_forget(void) {
    memset(waiting, 0, sizeof waiting);
}

static u64 reached_at(u16 port) {
    for (u32 i = 0; i < MOST_PORTS; i++)
        if (reached[i].port == port)
            return reached[i].time;
    return 0;
}

static void remember_reached(u16 port, u64 time) {
    u32 oldest = 0;
    for (u32 i = 0; i < MOST_PORTS; i++) {
        if (reached[i].port == port) {
            oldest = i;
            break;
        }
        if (reached[i].time < reached[oldest].time)
            oldest = i;
    }
    reached[oldest].port = port;
    reached[oldest].time = time;
}

static struct request *cause_now(void) {
    struct thread *thread = own_thread();
    return thread ? thread_cause(thread, 0, 0) : NULL;
}

/* The failures towards this port, for the same request, were attempts of the same call. */
static void retract(u16 port, u64 now) {
    struct request *cause = NULL;
    bool asked = false;
    for (u32 i = 0; i < MOST_WAITING; i++) {
        struct failure *failure = &waiting[i];
        if (!is_waiting(failure))
            continue;
        if (now - failure->time > GRACE) {
            forget(failure);
            continue;
        }
        if (failure->port != port)
            continue;
        if (!asked)
            cause = cause_now(), asked = true;
        if (failure->cause != cause)
            continue;
        report_put(CONNECT_RETRACTED, now, failure->connection, failure->id, NULL, 0);
        forget(failure);
    }
}

static void tell(struct connection *connection, const struct context *span, const struct context *parent, u64 now) {
    struct bytes type = error_type_of(connection->error);
    u8 size = (u8)type.size;
    struct request_payload payload = {.side = CLIENT, .flags = span->flags, .started = connection->connect_start};
    memcpy(payload.trace_id, span->trace_id, sizeof payload.trace_id);
    if (parent)
        memcpy(payload.parent_id, parent->span_id, sizeof payload.parent_id);
    const struct blob *state = span->state;
    payload.state_size = state ? (u16)MIN(state->size, STATE_LIMIT) : 0;
    struct iovec pieces[] = {
        {&size, 1},
        {(void *)(uintptr_t)type.at, size},
        {&payload, sizeof payload},
        {state ? (void *)(uintptr_t)state->text : &size, payload.state_size},
    };
    connection_told(connection, now);
    report_put(CONNECT_FAILED, now, connection->dialogue.identity, span->span_id, pieces, COUNT(pieces));
}

/* In the place of one that is forgotten, or that has waited longest. */
static struct failure *place_for_one(void) {
    struct failure *place = &waiting[0];
    for (u32 i = 0; i < MOST_WAITING; i++) {
        if (!is_waiting(&waiting[i]))
            return &waiting[i];
        if (waiting[i].time < place->time)
            place = &waiting[i];
    }
    forget(place);
    return place;
}

void connect_failed(struct connection *connection, u64 now) {
    struct dialogue *dialogue = &connection->dialogue;
    struct bytes type = error_type_of(connection->error);
    if (!type.size || !connection->port || reached_at(connection->port) > connection->connect_start) {
        dialogue_fail(dialogue, BYTES("_OTHER"), now); /* not a call's end, or another attempt was faster */
        return;
    }
    struct request *cause = request_share(dialogue->tag);
    struct context span;
    make_span(&agent.propagation, cause ? &cause->span : NULL, NULL, &span);
    dialogue_fail(dialogue, type, now);
    retract(connection->port, now);
    if (span.flags & FLAG_SAMPLED) {
        tell(connection, &span, cause ? &cause->span : NULL, now);
        struct failure *failure = place_for_one();
        *failure = (struct failure){.connection = dialogue->identity, .time = now, .port = connection->port, .cause = cause};
        memcpy(failure->id, span.span_id, sizeof failure->id);
    } else {
        request_release(cause);
    }
    blob_release(span.state);
}

void connect_succeeded(struct connection *connection) {
    if (!connection->port)
        return;
    remember_reached(connection->port, connection->connect_end);
    retract(connection->port, connection->connect_end);
}
