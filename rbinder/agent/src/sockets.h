/* Connections as sockets: how they are made, end, and fail; what is told of them. */
#ifndef RBINDER_SOCKETS_H
#define RBINDER_SOCKETS_H

#include "table.h"

/* addresses.c: a struct sockaddr as the text that is told of it. False: of a family that carries no HTTP, or unnamed. */
struct address {
    u16 port;
    u8 size;
    u8 text[PEER_TEXT];
};
bool address_read(const void *sockaddr, u64 size, struct address *address);

/* sockets.c */
void connection_ended(struct connection *connection, u64 now);             /* the peer sends no more */
/* A call, that reads or that sends, has failed with this errno. */
void connection_broken(struct connection *connection, int error, bool reading, u64 now);
void connection_told(struct connection *connection, u64 now);              /* announce */
struct bytes error_type_of(int error);                                     /* size 0: says nothing of the connection */

/* failures.c */
void connect_failed(struct connection *connection, u64 now);
void connect_succeeded(struct connection *connection);
void failures_forget(void); /* in a child, or another state: what waited is the former's */

/* lookups.c: when the name was looked up that gave this address; zeros: it wasn't. Told once. */
void lookup_take(const struct address *address, u64 now, u64 *start, u64 *end);

#endif
