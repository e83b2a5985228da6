/* Connections that several processes hold since a fork: each knows what it has sent itself, and what was sent before.
 *
 * Whoever is about to send looks who sent last, and whether that was in the middle of a message. Where both are between two
 * messages, the stream is too, and all goes on. Else nobody can tell what the next bytes are: hands off. The places are in
 * the shared memory; two connections with the same place push each other out, which then goes unnoticed.
 */
#include "report.h"
#include "table.h"

#define IN_THE_MIDDLE 1u

/* Of a SERVER nothing is changed. */
static bool is_shared(const struct connection *connection) {
    return UNLIKELY(connection->born != agent.epoch) && connection->dialogue.side != SERVER;
}

static u64 *place_of(const struct connection *connection) {
    u64 hash = connection->dialogue.identity * 0x9e3779b97f4a7c15u;
    return &agent.shared->users[hash >> 32 & (SHARED_USERS - 1)];
}

/* The connection, this process, and how it leaves the stream. */
static u64 mark(const struct connection *connection, u32 how) {
    u64 identity = connection->dialogue.identity;
    return ((identity >> 32) * 31 + identity) << 32 | (u32)(reporter.pid << 1) | how;
}

static bool between_messages(const struct dialogue *dialogue) {
    return scanner_idle(&dialogue->requests) && !dialogue->rest.size && !dialogue->pending;
}

void sharing_sends(struct connection *connection) {
    if (!is_shared(connection))
        return;
    u64 own = mark(connection, IN_THE_MIDDLE);
    u64 last = __atomic_exchange_n(place_of(connection), own, __ATOMIC_ACQ_REL);
    bool anothers = last >> 32 == own >> 32 && (u32)last >> 1 != (u32)own >> 1;
    if (anothers && (last & IN_THE_MIDDLE || !between_messages(&connection->dialogue)))
        dialogue_give_up(&connection->dialogue, BYTES("_OTHER"), monotonic());
}

void sharing_sent(const struct connection *connection) {
    if (is_shared(connection) && !connection->dialogue.opaque && between_messages(&connection->dialogue))
        __atomic_store_n(place_of(connection), mark(connection, 0), __ATOMIC_RELEASE);
}
