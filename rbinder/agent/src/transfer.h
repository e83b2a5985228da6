/* What the calls that move bytes have in common: following what was received, changing what is to be sent. */
#ifndef RBINDER_TRANSFER_H
#define RBINDER_TRANSFER_H

#include <errno.h>
#include <sys/socket.h>

#include "hooks.h"
#include "sockets.h"

/* linux/socket.h */
#define PEEK 0x2
#define OOB 0x1
#define DROP 0x20
#define ERROR_QUEUE 0x2000
#define ZERO_COPY 0x4000000
#define NOT_OF_THE_STREAM (PEEK | OOB | ERROR_QUEUE) /* what is received so, the stream still holds or never held */
#define NOT_TO_TOUCH (ZERO_COPY | OOB)
#define MOST_AT_ONCE 0x7ffff000u /* bytes of one call (MAX_RW_COUNT) */

struct mmsghdr {
    struct msghdr header;
    unsigned length;
};

/* musl counts in 32 bits, and leaves the rest as it was. */
static inline u32 vector_count(const struct msghdr *message) {
    return (u32)message->msg_iovlen;
}

/* -- receiving: each returns `result` */
ssize_t received(u64 entry, const struct iovec *vectors, u32 count, ssize_t result);
ssize_t received_message(u64 entry, const struct msghdr *message, ssize_t result);
/* Bytes have gone past the program's memory. */
ssize_t moved(u64 entry, ssize_t result, bool inbound);
void hands_off(int descriptor);
/* Descriptors may have come with a message: whatever had their numbers is gone. */
void passed(const struct msghdr *message);

/* -- sending: what one call is asked to do */
struct outgoing {
    int descriptor, flags;
    const struct iovec *vectors;
    u32 count;
    const struct msghdr *message; /* its name and its control data go along; NULL: none */
    bool waits;                   /* `flags` hold no MSG_DONTWAIT */
};
#define UNTOUCHED ((ssize_t)1 << 62)

/* Whether vectors of the program's may be looked at; else it asks for nothing, or for EFAULT or EMSGSIZE. */
bool has_vectors(const struct outgoing *outgoing);
/* NULL: the call goes through, and nothing more is to be done. */
struct sending *send_begin(u64 entry, const struct outgoing *outgoing);
/* Sends with the edits, if there are any. UNTOUCHED: the call is to be made as it is, and then send_end. */
ssize_t send_edited(struct sending **sending, const struct outgoing *outgoing);
/* The call has returned; `sending` NULL: nobody asked. Returns what the program is told. */
ssize_t send_end(struct sending *sending, ssize_t result);

#endif
