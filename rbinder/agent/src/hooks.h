/* The next definitions of what hooks.def names: what the program would have called without us. */
#ifndef RBINDER_HOOKS_H
#define RBINDER_HOOKS_H

#include <spawn.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "system.h"

struct mmsghdr;
struct timespec;
struct addrinfo;

/* hooks.c. A NULL is looked up at its first use: hooks may be called before the start. */
struct next {
#define HOOK(result, name, parameters, arguments) result(*name) parameters;
#include "hooks.def"
#undef HOOK
};
extern struct next next;

/* The function pointer; NULL: nobody has it. Two threads that look it up at once find the same. */
#define NEXT(name) ((__typeof__(next.name))(LIKELY(next.name) ? (void *)next.name : next_find((void **)&next.name, #name)))
void *next_find(void **place, const char *name);

/* What a system call has returned, as the C library's function says it: by errno. */
static inline long answered(long result) {
    if (result >= 0)
        return result;
    int *error = errno_pointer();
    if (error)
        *error = (int)-result;
    return -1;
}

/* hooks.c: looks up all of them in one go. */
void next_prepare(void);

/* Exported; calls from in here mean our own (build.py, -Bsymbolic-functions). Not protected: the loader would warn on the
 * standard error of programs whose code holds the address of one of them (glibc, direct reference to protected function). */
#define HOOKED __attribute__((visibility("default")))
#define HOOK(result, name, parameters, arguments) HOOKED result name parameters;
#include "hooks.def"
#undef HOOK

#endif
