/* Connections: made, told of, ended, broken. The counterpart of the ptrace engine's engine.py and calls.py. */
#include "sockets.h"

#include <errno.h>
#include <sys/socket.h>

#include "cpython.h"
#include "hooks.h"
#include "jvm.h"
#include "process.h"
#include "report.h"
#include "ruby.h"

extern int *__errno_location(void) __attribute__((weak));

struct bytes error_type_of(int error) {
    switch (error) {
    case ECONNREFUSED:
        return BYTES("connection_refused");
    case ECONNRESET:
    case EPIPE:
        return BYTES("connection_reset");
    case ECONNABORTED:
        return BYTES("connection_aborted");
    case ETIMEDOUT:
        return BYTES("timeout");
    case EHOSTUNREACH:
        return BYTES("host_unreachable");
    case ENETUNREACH:
        return BYTES("network_unreachable");
    case EADDRNOTAVAIL:
        return BYTES("address_not_available");
    default:
        return (struct bytes){NULL, 0};
    }
}

/* -- what is told */

void connection_told(struct connection *connection, u64 now) {
    if (!agent.told) {
        agent.told = true;
        announce_process(now);
    }
    if (connection->told)
        return;
    connection->told = agent.pid;
    struct connection_payload payload = {
        .side = connection->dialogue.side ? connection->dialogue.side : CLIENT,
        .peer_port = connection->port,
        .connect_start = connection->connect_start,
        .connect_end = connection->connect_end,
        .lookup_start = connection->lookup_start,
        .lookup_end = connection->lookup_end,
        .error = connection->error,
    };
    struct iovec pieces[] = {{&payload, sizeof payload}, {connection->peer, connection->peer_size}, {(u8[]){0}, 1}};
    report_put(CONNECTION, now, connection->dialogue.identity, NULL, pieces, COUNT(pieces));
}

void announce(const struct dialogue *dialogue, u64 now) {
    connection_told((struct connection *)(uintptr_t)dialogue, now);
}

/* -- what happens */

void connection_ended(struct connection *connection, u64 now) {
    dialogue_ended(&connection->dialogue, own_thread(), now);
}

void connection_decided(struct connection *connection, int error) {
    connection->connecting = false;
    connection->connect_end = monotonic();
    connection->error = error;
    struct thread *thread = error && error != ETIMEDOUT ? own_thread() : NULL;
    if (thread)
        thread_listens(thread);
    if (!error)
        connect_succeeded(connection);
    else if (error != EINPROGRESS)
        connect_failed(connection, connection->connect_end);
}

void connection_broken(struct connection *connection, int error, bool reading, u64 now) {
    struct bytes type = error_type_of(error);
    if (!type.size)
        return;
    if (connection->connecting)
        connection_decided(connection, error);
    dialogue_broken(&connection->dialogue, own_thread(), type, reading, now);
}

static void know_peer(struct connection *connection, const struct address *address) {
    connection->port = address->port;
    connection->peer_size = address->size;
    memcpy(connection->peer, address->text, address->size);
}

/* -- accept */

HOOKED int listen(int descriptor, int backlog) {
    int kept = errno_kept();
    if (started()) {
        migrating_runtime_serves();
        jvm_serves();
    }
    errno_back(kept);
    int result = NEXT(listen)(descriptor, backlog);
    if (result == 0 && started()) {
        cpython_listens();
        ruby_listens();
    }
    return result;
}

static bool peer_of(int descriptor, struct address *address) {
    struct sockaddr_storage room;
    u32 size = sizeof room;
    long result = raw_call(__NR_getpeername, descriptor, (long)&room, (long)&size, 0, 0, 0);
    return result == 0 && address_read(&room, size, address);
}

/* A descriptor that accept has given. `room`: the bytes its caller had for the address. */
static void accepted(int descriptor, const struct sockaddr *address, u32 room, u32 size) {
    struct address peer;
    bool known = address && size <= room && address_read(address, size, &peer);
    if ((u32)descriptor >= agent.covered || !(confined ? known : socket_type(descriptor) == SOCK_STREAM)) {
        descriptor_closed(descriptor);
        return;
    }
    if (!known && !borrows_memory())
        known = peer_of(descriptor, &peer);
    if (enter() != ENTERED)
        return;
    closed(descriptor);
    struct connection *connection = connection_begin(descriptor, true);
    if (connection && known)
        know_peer(connection, &peer);
    leave();
}

/* `length` may lead nowhere, as long as nothing is accepted. */
static u32 room_for(const struct sockaddr *address, const socklen_t *length) {
    return address && length && agent.covered && is_readable(length, sizeof *length) ? *length : 0;
}

HOOKED int accept(int descriptor, struct sockaddr *address, socklen_t *length) {
    u32 room = room_for(address, length);
    int result = NEXT(accept)(descriptor, address, length);
    if (result >= 0 && started())
        accepted(result, room ? address : NULL, room, room ? *length : 0);
    cpython_accepts(descriptor, result);
    if (result >= 0)
        ruby_listens();
    return result;
}

HOOKED int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags) {
    u32 room = room_for(address, length);
    int result = NEXT(accept4)(descriptor, address, length, flags);
    if (result >= 0 && started())
        accepted(result, room ? address : NULL, room, room ? *length : 0);
    cpython_accepts(descriptor, result);
    if (result >= 0)
        ruby_listens();
    return result;
}

/* -- connect */

static void connecting(u64 entry, const struct address *address) {
    struct connection *connection = enter_for(entry);
    if (!connection)
        return;
    u64 now = connection->connect_start = monotonic();
    know_peer(connection, address);
    u8 port[2] = {(u8)(address->port >> 8), (u8)address->port};
    u64 hash = hash_bytes(hash_bytes(HASH_START, (struct bytes){address->text, address->size}), (struct bytes){port, 2});
    connection->dialogue.peer = hash ? hash : 1;
    lookup_take(address, now, &connection->lookup_start, &connection->lookup_end);
    struct thread *thread = own_thread();
    if (thread)
        dialogue_connecting(&connection->dialogue, thread);
    leave();
}

static void connect_returned(u64 entry, int result, int error) {
    struct connection *connection = enter_for(entry);
    if (!connection)
        return;
    if (result < 0 && error == EISCONN)
        result = 0, connection_decided(connection, 0);
    else if (result == 0 || error == EINPROGRESS || error == EINTR)
        dialogue_starts(&connection->dialogue, monotonic());
    if (result == 0 && error != EISCONN)
        connection_decided(connection, 0);
    else if (result < 0 && error == EINPROGRESS)
        connection->connecting = true;
    else if (result < 0 && error != EALREADY && error != EINTR && error != EAGAIN)
        connection_decided(connection, error);
    leave();
}

HOOKED int connect(int descriptor, const struct sockaddr *address, socklen_t length) {
    struct address peer;
    u64 entry = look(descriptor);
    if (entry == BORING || !is_readable(address, length) || !address_read(address, length, &peer))
        return NEXT(connect)(descriptor, address, length);
    connecting(entry, &peer);
    cpython_connects();
    int result = NEXT(connect)(descriptor, address, length);
    connect_returned(entry, result, result < 0 ? *errno_pointer() : 0);
    return result;
}

/* How a connect without waiting turned out. */
HOOKED int getsockopt(int descriptor, int level, int name, void *value, socklen_t *length) {
    u64 entry = level == SOL_SOCKET && name == SO_ERROR ? look(descriptor) : BORING;
    int result = NEXT(getsockopt)(descriptor, level, name, value, length);
    if (LIKELY(entry == BORING || result != 0 || !value || !length || *length != sizeof(int)))
        return result;
    struct connection *connection = enter_for(entry);
    if (connection) {
        int error;
        memcpy(&error, value, sizeof error);
        if (connection->connecting)
            connection_decided(connection, error);
        leave();
    }
    return result;
}

/* -- others */

HOOKED int shutdown(int descriptor, int how) {
    u64 entry = look(descriptor);
    if (entry == BORING || how == SHUT_RD)
        return NEXT(shutdown)(descriptor, how);
    struct connection *connection = enter_for(entry);
    if (connection) {
        dialogue_eof(&connection->dialogue, false, monotonic());
        leave();
    }
    return NEXT(shutdown)(descriptor, how);
}

/* Of a confined program's sockets nothing can be asked later. */
static void made(int descriptor, int domain, int type) {
    descriptor_closed(descriptor);
    if (LIKELY(!confined) || !is_of_interest(type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), domain) || enter() != ENTERED)
        return;
    connection_begin(descriptor, true);
    leave();
}

/* What the number stood for before is over; what it is now is found out when it is used. */
HOOKED int socket(int domain, int type, int protocol) {
    int result = NEXT(socket)(domain, type, protocol);
    if (result >= 0 && started())
        made(result, domain, type);
    return result;
}

HOOKED int socketpair(int domain, int type, int protocol, int descriptors[2]) {
    int result = NEXT(socketpair)(domain, type, protocol, descriptors);
    if (result == 0 && started()) {
        descriptor_closed(descriptors[0]);
        descriptor_closed(descriptors[1]);
    }
    return result;
}
