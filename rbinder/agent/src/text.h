/* Text that ends with a NUL, without a C library; and numbers as text. */
#ifndef RBINDER_TEXT_H
#define RBINDER_TEXT_H

#include "base.h"

static inline u32 length(const char *text) {
    u32 size = 0;
    while (text[size])
        size++;
    return size;
}

static inline bool begins(const char *text, const char *prefix) {
    while (*prefix && *text == *prefix)
        text++, prefix++;
    return !*prefix;
}

/* Returns what is behind the copy. */
static inline char *append(char *to, const char *from, u32 size) {
    memcpy(to, from, size);
    return to + size;
}

static inline char *append_text(char *to, const char *text) {
    return append(to, text, length(text));
}

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
