/* What the table of descriptors and those who open and close them have to say to each other. */
#ifndef RBINDER_TABLE_H
#define RBINDER_TABLE_H

#include "state.h"

struct connection *connection_known(u64 entry); /* with the lock held; also one that is not followed any more */
/* sockets.c: a connect has come to its end: 0, or an errno. */
void connection_decided(struct connection *connection, int error);
/* transfer.c: no call that sends is under way on it, or it never returns: what it held is given back. */
bool writing_left(struct connection *connection);

/* sharing.c: around whatever this process sends; hands off where another one's bytes may lie between. */
void sharing_sends(struct connection *connection);
void sharing_sent(const struct connection *connection);


#endif
