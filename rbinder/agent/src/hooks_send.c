/* Hooks of the calls that send. Each: begin; the edited call, or the program's own; end. */
#include "transfer.h"

#define DO_NOT_WAIT 0x40

/* `call` is the program's own; `going` may have been cleared by the edited one. */
#define SEND(entry, outgoing, call)                                                                                         \
    ({                                                                                                                      \
        struct sending *going = send_begin(entry, outgoing);                                                                \
        ssize_t result = send_edited(&going, outgoing);                                                                     \
        result == UNTOUCHED ? send_end(going, call) : result;                                                               \
    })

HOOKED ssize_t write(int descriptor, const void *buffer, size_t size) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING))
        return NEXT(write)(descriptor, buffer, size);
    struct iovec one = {(void *)(uintptr_t)buffer, size};
    struct outgoing outgoing = {.descriptor = descriptor, .vectors = &one, .count = 1, .waits = true};
    return SEND(entry, &outgoing, NEXT(write)(descriptor, buffer, size));
}

HOOKED ssize_t writev(int descriptor, const struct iovec *vectors, int count) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING) || count <= 0 || (u32)count > MOST_PIECES)
        return NEXT(writev)(descriptor, vectors, count);
    struct outgoing outgoing = {.descriptor = descriptor, .vectors = vectors, .count = (u32)count, .waits = true};
    if (!has_vectors(&outgoing))
        return NEXT(writev)(descriptor, vectors, count);
    return SEND(entry, &outgoing, NEXT(writev)(descriptor, vectors, count));
}

HOOKED ssize_t send(int descriptor, const void *buffer, size_t size, int flags) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING))
        return NEXT(send)(descriptor, buffer, size, flags);
    if (flags & NOT_TO_TOUCH)
        hands_off(descriptor);
    struct iovec one = {(void *)(uintptr_t)buffer, size};
    struct outgoing outgoing = {descriptor, flags, &one, 1, NULL, !(flags & DO_NOT_WAIT)};
    return SEND(entry, &outgoing, NEXT(send)(descriptor, buffer, size, flags));
}

HOOKED ssize_t sendto(int descriptor, const void *buffer, size_t size, int flags, const struct sockaddr *address,
                      socklen_t length) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING))
        return NEXT(sendto)(descriptor, buffer, size, flags, address, length);
    if (flags & NOT_TO_TOUCH)
        hands_off(descriptor);
    struct iovec one = {(void *)(uintptr_t)buffer, size};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)address, .msg_namelen = address ? length : 0};
    struct outgoing outgoing = {descriptor, flags, &one, 1, &message, !(flags & DO_NOT_WAIT)};
    return SEND(entry, &outgoing, NEXT(sendto)(descriptor, buffer, size, flags, address, length));
}

HOOKED ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING) || !is_readable(message, sizeof *message))
        return NEXT(sendmsg)(descriptor, message, flags);
    if (flags & NOT_TO_TOUCH)
        hands_off(descriptor);
    struct outgoing outgoing = {descriptor, flags, message->msg_iov, vector_count(message), message, !(flags & DO_NOT_WAIT)};
    if (!has_vectors(&outgoing))
        return NEXT(sendmsg)(descriptor, message, flags);
    return SEND(entry, &outgoing, NEXT(sendmsg)(descriptor, message, flags));
}

/* The first message is sent alone, as the kernel too may do: the result tells how many it was. */
static ssize_t send_first(int descriptor, struct mmsghdr *messages, int flags) {
    int result = NEXT(sendmmsg)(descriptor, messages, 1, flags);
    return result > 0 ? (ssize_t)messages->length : result;
}

HOOKED int sendmmsg(int descriptor, struct mmsghdr *messages, unsigned count, int flags) {
    u64 entry = look(descriptor);
    if (LIKELY(entry == BORING) || !count || !is_readable(messages, sizeof *messages))
        return NEXT(sendmmsg)(descriptor, messages, count, flags);
    if (flags & NOT_TO_TOUCH || confined) {
        hands_off(descriptor);
        return NEXT(sendmmsg)(descriptor, messages, count, flags);
    }
    struct msghdr *first = &messages->header;
    struct outgoing outgoing = {descriptor, flags, first->msg_iov, vector_count(first), first, !(flags & DO_NOT_WAIT)};
    ssize_t sent = has_vectors(&outgoing) ? SEND(entry, &outgoing, send_first(descriptor, messages, flags))
                                          : send_first(descriptor, messages, flags);
    if (sent < 0)
        return -1;
    messages->length = (unsigned)sent;
    return 1;
}

/* -- past the program's memory */

HOOKED ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    u64 entry = look(out);
    ssize_t result = NEXT(sendfile)(out, in, offset, count);
    return LIKELY(entry == BORING) ? result : moved(entry, result, false);
}

HOOKED ssize_t sendfile64(int out, int in, off_t *offset, size_t count) {
    if (!NEXT(sendfile64))
        return sendfile(out, in, offset, count);
    u64 entry = look(out);
    ssize_t result = NEXT(sendfile64)(out, in, offset, count);
    return LIKELY(entry == BORING) ? result : moved(entry, result, false);
}

HOOKED ssize_t splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t size, unsigned flags) {
    u64 from = look(in), to = look(out);
    ssize_t result = NEXT(splice)(in, in_offset, out, out_offset, size, flags);
    if (from != BORING)
        moved(from, result, true);
    if (to != BORING)
        moved(to, result, false);
    return result;
}

HOOKED ssize_t pwritev2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags) {
    if (offset == -1)
        hands_off(descriptor);
    if (!NEXT(pwritev2))
        return answered(raw_system_call(__NR_pwritev2, descriptor, (long)vectors, count, offset, 0, flags));
    return NEXT(pwritev2)(descriptor, vectors, count, offset, flags);
}

HOOKED ssize_t pwritev64v2(int descriptor, const struct iovec *vectors, int count, off_t offset, int flags) {
    if (!NEXT(pwritev64v2))
        return pwritev2(descriptor, vectors, count, offset, flags);
    if (offset == -1)
        hands_off(descriptor);
    return NEXT(pwritev64v2)(descriptor, vectors, count, offset, flags);
}
