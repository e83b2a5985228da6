/* Hooks of the calls that receive. */
#include "transfer.h"

HOOKED ssize_t read(int descriptor, void *buffer, size_t size) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING))
        return NEXT(read)(descriptor, buffer, size);
    return received(entry, &(struct iovec){buffer, size}, 1, NEXT(read)(descriptor, buffer, size));
}

HOOKED ssize_t readv(int descriptor, const struct iovec *vectors, int count) {
    u64 entry = look(descriptor);
    ssize_t result = NEXT(readv)(descriptor, vectors, count);
    return LIKELY(entry == BORING) ? result : received(entry, vectors, (u32)count, result);
}

/* What recvfrom and its like share, after the call. */
static ssize_t taken(u64 entry, void *buffer, size_t size, int flags, ssize_t result) {
    if (flags & NOT_OF_THE_STREAM)
        return result;
    if (flags & DROP)
        return moved(entry, result, true);
    return received(entry, &(struct iovec){buffer, size}, 1, result);
}

HOOKED ssize_t recv(int descriptor, void *buffer, size_t size, int flags) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING))
        return NEXT(recv)(descriptor, buffer, size, flags);
    return taken(entry, buffer, size, flags, NEXT(recv)(descriptor, buffer, size, flags));
}

HOOKED ssize_t recvfrom(int descriptor, void *buffer, size_t size, int flags, struct sockaddr *address, socklen_t *length) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING))
        return NEXT(recvfrom)(descriptor, buffer, size, flags, address, length);
    return taken(entry, buffer, size, flags, NEXT(recvfrom)(descriptor, buffer, size, flags, address, length));
}

HOOKED ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
    u64 entry = look(descriptor);
    ssize_t result = NEXT(recvmsg)(descriptor, message, flags);
    if (result >= 0 && (u32)message->msg_controllen)
        passed(message);
    if (LIKELY(entry == BORING) || flags & NOT_OF_THE_STREAM)
        return result;
    return flags & DROP ? moved(entry, result, true) : received_message(entry, message, result);
}

HOOKED int recvmmsg(int descriptor, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
    u64 entry = look(descriptor);
    int result = NEXT(recvmmsg)(descriptor, messages, count, flags, timeout);
    for (int i = 0; i < result; i++) {
        if ((u32)messages[i].header.msg_controllen)
            passed(&messages[i].header);
        if (entry != BORING && !(flags & (NOT_OF_THE_STREAM | DROP)) && messages[i].length)
            received_message(entry, &messages[i].header, messages[i].length);
    }
    return result;
}

/* -- with an offset of -1 they work on sockets like readv (readv(2)); nobody is known to do it */

HOOKED ssize_t preadv2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags) {
    if (offset == -1)
        hands_off(descriptor);
    if (!NEXT(preadv2))
        return answered(raw_system_call(__NR_preadv2, descriptor, (long)vectors, count, offset, 0, flags));
    return NEXT(preadv2)(descriptor, vectors, count, offset, flags);
}

HOOKED ssize_t preadv64v2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags) {
    if (!NEXT(preadv64v2))
        return preadv2(descriptor, vectors, count, offset, flags);
    if (offset == -1)
        hands_off(descriptor);
    return NEXT(preadv64v2)(descriptor, vectors, count, offset, flags);
}

/* -- with the buffer's size known (_FORTIFY_SOURCE): the C library's own ends the program if it is too small */

HOOKED ssize_t __read_chk(int descriptor, void *buffer, size_t size, size_t room) {
    u64 entry = look(descriptor);
    if (!NEXT(__read_chk))
        return read(descriptor, buffer, size);
    if (LIKELY(entry == BORING))
        return NEXT(__read_chk)(descriptor, buffer, size, room);
    return received(entry, &(struct iovec){buffer, size}, 1, NEXT(__read_chk)(descriptor, buffer, size, room));
}

HOOKED ssize_t __recv_chk(int descriptor, void *buffer, size_t size, size_t room, int flags) {
    u64 entry = look(descriptor);
    if (!NEXT(__recv_chk))
        return recv(descriptor, buffer, size, flags);
    if (LIKELY(entry == BORING))
        return NEXT(__recv_chk)(descriptor, buffer, size, room, flags);
    return taken(entry, buffer, size, flags, NEXT(__recv_chk)(descriptor, buffer, size, room, flags));
}

HOOKED ssize_t __recvfrom_chk(int descriptor, void *buffer, size_t size, size_t room, int flags, struct sockaddr *address,
                              socklen_t *length) {
    u64 entry = look(descriptor);
    if (!NEXT(__recvfrom_chk))
        return recvfrom(descriptor, buffer, size, flags, address, length);
    if (LIKELY(entry == BORING))
        return NEXT(__recvfrom_chk)(descriptor, buffer, size, room, flags, address, length);
    return taken(entry, buffer, size, flags, NEXT(__recvfrom_chk)(descriptor, buffer, size, room, flags, address, length));
}
