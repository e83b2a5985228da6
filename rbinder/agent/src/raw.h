/* A system call as such, in line: no C library, no errno, no symbol. x86-64 and aarch64. */
#ifndef RBINDER_RAW_H
#define RBINDER_RAW_H

#include <sys/syscall.h>

#include "base.h"

/* linux/futex.h, linux/time.h, linux/time_types.h, linux/mman.h; a C library's own headers clash with some of them. */
enum { RAW_FUTEX_WAIT = 0, RAW_FUTEX_WAKE = 1, RAW_MONOTONIC = 1, RAW_MADV_DONTNEED = 4 };
struct raw_time {
    s64 seconds, nanoseconds;
};

/* Returns a negated errno on failure. */
static inline long raw_system_call(long number, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#else
#error "x86-64 and aarch64 only"
#endif
}

static inline u64 raw_now(void) {
    struct raw_time now = {0, 0};
    raw_system_call(SYS_clock_gettime, RAW_MONOTONIC, (long)&now, 0, 0, 0, 0);
    return (u64)now.seconds * 1000000000u + (u64)now.nanoseconds;
}

/* Waits while *word is `value`, between processes too. */
static inline void raw_sleep(u32 *word, u32 value, long milliseconds) {
    struct raw_time limit = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    raw_system_call(SYS_futex, (long)word, RAW_FUTEX_WAIT, (long)value, (long)&limit, 0, 0);
}

static inline void raw_wake(u32 *word) {
    raw_system_call(SYS_futex, (long)word, RAW_FUTEX_WAKE, 1, 0, 0, 0);
}

#endif
