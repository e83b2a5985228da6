/* The kernel and the loader, without a C library: raw system calls, the clock, the next definition of a symbol. */
#ifndef RBINDER_SYSTEM_H
#define RBINDER_SYSTEM_H

#include "base.h"

/* A call of the agent's own. Never touches errno; returns a negated errno on failure. In a program that has confined itself
 * there are none: a filter of its own might kill it for a call that it doesn't make itself. Then it fails with ENOSYS. */
extern bool confined;
long raw_call(long number, long a, long b, long c, long d, long e, long f);

u64 monotonic(void); /* CLOCK_MONOTONIC, ns: the vDSO's, else the call */

/* readable.c: whether a call of the program's may read there. */
bool is_readable(const void *at, u64 size);
void readable_forget(const void *at, u64 size); /* it was unmapped, or protected */
u64 readable_size(const void *at, u64 size); /* so many bytes of it */
bool is_still_readable(const void *at, u64 size); /* whatever was found before: it may have been unmapped since */

/* loader.c. The default definition of `name` in the objects loaded after this library, in the loader's order, as
 * dlsym(RTLD_NEXT) finds it; NULL: nobody has it. Walks dl_iterate_phdr and the hash tables (dlsym is not in libc before
 * glibc 2.34). */
void *next_definition(const char *name);
/* A symbol of the kernel's vDSO. */
void *vdso_definition(const char *name);

/* True where a C library is there to be asked (not before relocation of the library itself). */
char ***environment_pointer(void); /* &environ; NULL: none */
int *errno_pointer(void);          /* __errno_location(); NULL: none */
/* Around what may change it, and isn't the program's. */
static inline int errno_kept(void) {
    int *place = errno_pointer();
    return place ? *place : 0;
}
static inline void errno_back(int kept) {
    int *place = errno_pointer();
    if (place)
        *place = kept;
}

#endif
