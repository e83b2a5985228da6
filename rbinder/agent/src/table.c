/* Descriptors: which of them are connections, found out when they are first used, and forgotten when they are closed. */
#include "table.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/tcp.h>

#include "report.h"
#include "state.h"

#define TCP_CONNECTED 1 /* include/net/tcp_states.h, TCP_ESTABLISHED */

static u32 index_of(u64 entry) {
    return (u32)entry - FIRST_CONNECTION;
}

static u64 entry_of(const struct connection *connection) {
    return (u64)connection->generation << 32 | ((u64)(connection - agent.all) + FIRST_CONNECTION);
}

struct connection *connection_known(u64 entry) {
    if (entry < FIRST_CONNECTION || index_of(entry) >= MOST_CONNECTIONS)
        return NULL;
    struct connection *connection = &agent.all[index_of(entry)];
    return connection->generation == entry >> 32 ? connection : NULL;
}

/* Read without the lock: what it says may be out of date the next moment, as with any call that is made at once. */
u64 followed(u64 entry) {
    const struct connection *connection = &agent.all[index_of(entry)];
    const struct dialogue *dialogue = &connection->dialogue;
    if (LIKELY(!connection->untrusted) && LIKELY(!dialogue->opaque))
        return entry;
    if (connection->generation != entry >> 32)
        return entry; /* found out with the lock held */
    return (connection->untrusted ? dialogue->rest.size != 0 : !dialogue_settled(dialogue)) ? entry : BORING;
}

void used(struct connection *connection) {
    connection->epoch = agent.epoch;
    agent.working = connection;
}

/* -- what a descriptor is */

static long option(int descriptor, int level, int name, void *value, u32 *size) {
    return raw_call(__NR_getsockopt, descriptor, level, name, (long)value, (long)size, 0);
}

static int number_of(int descriptor, int name) {
    int value = -1;
    u32 size = sizeof value;
    long result = option(descriptor, SOL_SOCKET, name, &value, &size);
    return result == 0 ? value : (int)result;
}

int socket_type(int descriptor) {
    return number_of(descriptor, SO_TYPE);
}

bool is_of_interest(int type, int domain) {
    return type == SOCK_STREAM && (domain == AF_INET || domain == AF_INET6 || domain == AF_UNIX);
}

/* Whether no byte has gone over it in either direction, nor waits to be sent. One more acknowledged is the SYN. */
static bool is_untouched(int descriptor) {
    struct tcp_info info;
    u32 size = sizeof info;
    if (option(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < offsetof(struct tcp_info, tcpi_min_rtt))
        return false;
    bool sent = size >= offsetof(struct tcp_info, tcpi_bytes_retrans) && info.tcpi_bytes_sent;
    return info.tcpi_state == TCP_CONNECTED && info.tcpi_bytes_acked <= 1 && !info.tcpi_bytes_received &&
           !info.tcpi_notsent_bytes && !sent;
}

/* A descriptor that was found there: inherited, or passed. */
static u64 adopt(int descriptor, int domain) {
    bool known_start = domain != AF_UNIX && is_untouched(descriptor);
    if (enter() != ENTERED)
        return BORING; /* for this once */
    u64 entry = agent.table[descriptor];
    if (entry == UNKNOWN && connection_begin(descriptor, known_start))
        entry = agent.table[descriptor];
    leave();
    return entry == UNKNOWN ? BORING : entry;
}

static void mark_boring(int descriptor) {
    u64 unknown = UNKNOWN;
    __atomic_compare_exchange_n(&agent.table[descriptor], &unknown, BORING, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

RARE static u64 identify(int descriptor) {
    if (confined || borrows_memory())
        return BORING;
    int type = socket_type(descriptor);
    if (type == -EBADF)
        return BORING;
    int domain = type == SOCK_STREAM ? number_of(descriptor, SO_DOMAIN) : 0;
    if (is_of_interest(type, domain))
        return adopt(descriptor, domain);
    mark_boring(descriptor);
    return BORING;
}

u64 look_closer(int descriptor) {
    if (UNLIKELY(!started()) || (u32)descriptor >= agent.covered)
        return BORING;
    u64 entry = __atomic_load_n(&agent.table[descriptor], __ATOMIC_RELAXED);
    if (entry == UNKNOWN)
        return identify(descriptor);
    return entry == BORING ? BORING : followed(entry);
}

/* -- the table */

void descriptor_set(int descriptor, u64 entry) {
    if ((u32)descriptor >= agent.covered)
        return;
    if ((u32)descriptor > agent.highest)
        agent.highest = (u32)descriptor;
    struct connection *connection = connection_known(entry);
    if (connection) {
        connection->holders++;
        connection->descriptor = descriptor;
    }
    __atomic_store_n(&agent.table[descriptor], entry, __ATOMIC_RELAXED);
}

/* The connection's last descriptor is gone (engine.py, released). One that wasn't used here since a fork is the other
 * process's: nothing is told of it. */
RARE static void released(struct connection *connection) {
    struct dialogue *dialogue = &connection->dialogue;
    u64 now = monotonic();
    if (connection->epoch == agent.epoch) {
        dialogue_closing(dialogue, now);
        if (connection->connecting)
            connection_decided(connection, ETIMEDOUT); /* given up before it was decided */
        dialogue_closed(dialogue, now);
        if (connection->told)
            report_put(CONNECTION_CLOSED, now, dialogue->identity, NULL, NULL, 0);
    }
    bool left = writing_left(connection);
    dialogue_release(dialogue);
    if (left)
        connection_give(connection);
    else
        connection->closed = true;
}

void closed(int descriptor) {
    if ((u32)descriptor >= agent.covered)
        return;
    struct connection *connection = connection_known(agent.table[descriptor]);
    __atomic_store_n(&agent.table[descriptor], UNKNOWN, __ATOMIC_RELAXED);
    if (connection && --connection->holders == 0) {
        agent.working = connection;
        released(connection);
    }
}

/* In a child that borrows our memory another table is meant: ours stays. */
void descriptor_closed(int descriptor) {
    if ((u32)descriptor >= agent.covered)
        return;
    u64 entry = __atomic_load_n(&agent.table[descriptor], __ATOMIC_RELAXED);
    if (entry == UNKNOWN)
        return;
    if (entry == BORING) {
        __atomic_compare_exchange_n(&agent.table[descriptor], &entry, UNKNOWN, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
        return;
    }
    switch (enter()) {
    case ENTERED:
        closed(descriptor);
        leave();
        break;
    case BUSY: /* its connection is lost to us, and whatever gets this number next is looked at anew */
        distrust(entry);
        __atomic_store_n(&agent.table[descriptor], UNKNOWN, __ATOMIC_RELAXED);
        break;
    default:
        break;
    }
}

/* -- connections */

struct connection *connection_begin(int descriptor, bool known_start) {
    if ((u32)descriptor >= agent.covered)
        return NULL;
    struct connection *connection = connection_take();
    if (!connection) {
        __atomic_fetch_add(&agent.shared->passed, 1, __ATOMIC_RELAXED);
        return NULL;
    }
    u64 identity = (u64)reporter.pid << 32 | ++agent.connections;
    dialogue_init(&connection->dialogue, identity, agent.group, &agent.propagation, known_start);
    connection->born = agent.epoch;
    descriptor_set(descriptor, entry_of(connection));
    used(connection);
    return connection;
}

void distrust(u64 entry) {
    struct connection *connection = connection_known(entry);
    if (connection)
        __atomic_store_n(&connection->untrusted, true, __ATOMIC_RELAXED);
}

struct connection *connection_of(u64 entry) {
    struct connection *connection = connection_known(entry);
    if (!connection)
        return NULL;
    used(connection);
    if (UNLIKELY(connection->untrusted) && !connection->dialogue.opaque)
        dialogue_give_up(&connection->dialogue, BYTES("_OTHER"), monotonic());
    return dialogue_settled(&connection->dialogue) ? NULL : connection;
}

struct connection *enter_for(u64 entry) {
    if (UNLIKELY(entry < FIRST_CONNECTION))
        return NULL;
    switch (enter()) {
    case BUSY:
        distrust(entry);
        return NULL;
    case ASIDE:
        return NULL;
    case ENTERED:
        break;
    }
    struct connection *connection = connection_of(entry);
    if (UNLIKELY(!connection))
        leave();
    return connection;
}
