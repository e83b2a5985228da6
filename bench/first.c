// Tells when it was started: CLOCK_MONOTONIC, in nanoseconds, before anything else.

#include <stdio.h>
#include <time.h>

int main(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    printf("%ld\n", time.tv_sec * 1000000000L + time.tv_nsec);
    return 0;
}
