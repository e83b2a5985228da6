/* The kernel, without a C library: system calls and the clock. */
#include <linux/time.h>

#include "raw.h"
#include "system.h"

#ifdef __aarch64__
#define CLOCK_FUNCTION "__kernel_clock_gettime"
#else
#define CLOCK_FUNCTION "__vdso_clock_gettime"
#endif

typedef int clock_function(int clock, struct __kernel_timespec *time);

static clock_function *from_vdso; /* NULL: not looked for yet, or not there */

bool confined;

long raw_call(long number, long a, long b, long c, long d, long e, long f) {
    if (UNLIKELY(confined))
        return -38; /* ENOSYS */
    return raw_system_call(number, a, b, c, d, e, f);
}

static int by_call(int clock, struct __kernel_timespec *time) {
    return (int)raw_system_call(__NR_clock_gettime, clock, (long)time, 0, 0, 0, 0);
}

RARE static clock_function *find_clock(void) {
    clock_function *found = (clock_function *)vdso_definition(CLOCK_FUNCTION);
    return from_vdso = found ? found : by_call;
}

u64 monotonic(void) {
    struct __kernel_timespec time = {0, 0};
    clock_function *function = LIKELY(from_vdso) ? from_vdso : find_clock();
    function(CLOCK_MONOTONIC, &time);
    return (u64)time.tv_sec * 1000000000u + (u64)time.tv_nsec;
}
