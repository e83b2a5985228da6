/* Hooks of the calls that close and copy descriptors. */
#include "transfer.h"

#include <linux/fcntl.h>

#define CLOEXEC_ONLY 4 /* linux/close_range.h */

extern int fileno(void *stream) __attribute__((weak));

HOOKED int close(int descriptor) {
    if (LIKELY((u32)descriptor < agent.covered && agent.table[descriptor] != UNKNOWN))
        descriptor_closed(descriptor);
    return NEXT(close)(descriptor);
}

/* -1: it has none, as a stream in memory. `errno` stays. */
static int descriptor_of(void *stream) {
    if (!stream || !agent.covered || !fileno)
        return -1;
    int kept = errno_kept(), descriptor = fileno(stream);
    errno_back(kept);
    return descriptor;
}

/* fclose closes past close(). */
HOOKED int fclose(void *stream) {
    int descriptor = descriptor_of(stream);
    if (descriptor >= 0)
        descriptor_closed(descriptor);
    return NEXT(fclose)(stream);
}

/* What goes through a stream of stdio's is not seen. */
HOOKED void *fdopen(int descriptor, const char *mode) {
    hands_off(descriptor);
    return NEXT(fdopen)(descriptor, mode);
}

static void range_closed(u32 first, u32 last) {
    if (!agent.covered)
        return;
    for (u32 descriptor = first; descriptor <= MIN(last, agent.highest); descriptor++)
        if (agent.table[descriptor] != UNKNOWN)
            descriptor_closed((int)descriptor);
}

HOOKED int close_range(unsigned first, unsigned last, int flags) {
    if (!(flags & CLOEXEC_ONLY))
        range_closed(first, last);
    if (!NEXT(close_range))
        return (int)answered(raw_system_call(__NR_close_range, first, last, flags, 0, 0, 0));
    return NEXT(close_range)(first, last, flags);
}

HOOKED void closefrom(int first) {
    u32 from = first > 0 ? (u32)first : 0;
    range_closed(from, ~0u);
    if (NEXT(closefrom))
        NEXT(closefrom)(first);
    else
        raw_system_call(__NR_close_range, from, ~0u, 0, 0, 0, 0);
}

/* -- copies */

/* `copy` refers to what `entry` says now, whatever it was. */
static int copied(u64 entry, int copy) {
    if (copy < 0 || (u32)copy >= agent.covered)
        return copy;
    if (entry == BORING && agent.table[copy] < FIRST_CONNECTION && !borrows_memory()) {
        agent.table[copy] = UNKNOWN;
        return copy;
    }
    if (enter() != ENTERED) {
        distrust(borrows_memory() ? UNKNOWN : entry);
        return copy;
    }
    closed(copy);
    if (entry != BORING && connection_known(entry)) {
        used(connection_known(entry));
        descriptor_set(copy, entry);
    }
    leave();
    return copy;
}

HOOKED int dup(int descriptor) {
    u64 entry = look(descriptor);
    return copied(entry, NEXT(dup)(descriptor));
}

HOOKED int dup2(int old, int new) {
    u64 entry = look(old);
    int result = NEXT(dup2)(old, new);
    return old == new ? result : copied(entry, result);
}

HOOKED int dup3(int old, int new, int flags) {
    u64 entry = look(old);
    return copied(entry, NEXT(dup3)(old, new, flags));
}

static bool copies(int command) {
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC;
}

#define ARGUMENT(last)                                                                                                      \
    ({                                                                                                                      \
        __builtin_va_list more;                                                                                             \
        __builtin_va_start(more, last);                                                                                     \
        long argument = __builtin_va_arg(more, long);                                                                       \
        __builtin_va_end(more);                                                                                             \
        argument;                                                                                                           \
    })

HOOKED int fcntl(int descriptor, int command, ...) {
    long argument = ARGUMENT(command);
    u64 entry = copies(command) ? look(descriptor) : BORING;
    int result = NEXT(fcntl)(descriptor, command, argument);
    return copies(command) ? copied(entry, result) : result;
}

HOOKED int fcntl64(int descriptor, int command, ...) {
    long argument = ARGUMENT(command);
    u64 entry = copies(command) ? look(descriptor) : BORING;
    int result = (NEXT(fcntl64) ? NEXT(fcntl64) : NEXT(fcntl))(descriptor, command, argument);
    return copies(command) ? copied(entry, result) : result;
}
