/* Numbers as text. */
#ifndef RBINDER_DECIMAL_H
#define RBINDER_DECIMAL_H

#include "base.h"

/* Writes up to 20 digits, and no NUL; returns what is behind them. */
static inline char *append_number(char *to, u64 number) {
    char digits[20];
    u32 count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while (number /= 10);
    while (count)
        *to++ = digits[--count];
    return to;
}

#endif
