/* Memory without a C library: what compilers call whatever the flags, and a few searches. */
#define RBINDER_MEMORY
#include "base.h"

#include "block.h"

#ifndef RBINDER_HOSTED /* a test's driver has a C library, and a sanitizer its own of these */

/* Else gcc sees that these loops copy, and makes them call themselves. `used`: what is optimised while it is linked may need
 * them when nobody looks for them any more. */
#if defined(__clang__)
#define PLAIN __attribute__((used, no_builtin("memcpy", "memmove", "memset", "memcmp")))
#else
#define PLAIN __attribute__((used, optimize("no-tree-loop-distribute-patterns")))
#endif

/* Up to 16 bytes: all are read before any is written. */
static inline void move_few(u8 *to, const u8 *from, size_t size) {
    if (size >= 8) {
        u64 first = *(const any_u64 *)from, last = *(const any_u64 *)(from + size - 8);
        *(any_u64 *)to = first;
        *(any_u64 *)(to + size - 8) = last;
    } else if (size >= 4) {
        u32 first = *(const any_u32 *)from, last = *(const any_u32 *)(from + size - 4);
        *(any_u32 *)to = first;
        *(any_u32 *)(to + size - 4) = last;
    } else if (size) {
        u8 first = from[0], middle = from[size / 2], last = from[size - 1];
        to[0] = first;
        to[size / 2] = middle;
        to[size - 1] = last;
    }
}

PLAIN void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    u8 *target = to;
    const u8 *source = from;
    if (size <= BLOCK) {
        move_few(target, source, size);
        return to;
    }
    for (size_t at = 0; at < size - BLOCK; at += BLOCK)
        block_put(target + at, block_at(source + at));
    block_put(target + size - BLOCK, block_at(source + size - BLOCK));
    return to;
}

PLAIN void *memmove(void *to, const void *from, size_t size) {
    u8 *target = to;
    const u8 *source = from;
    if (size <= BLOCK) {
        move_few(target, source, size);
    } else if (target < source) {
        block last = block_at(source + size - BLOCK);
        for (size_t at = 0; at < size - BLOCK; at += BLOCK)
            block_put(target + at, block_at(source + at));
        block_put(target + size - BLOCK, last);
    } else {
        block first = block_at(source);
        for (size_t left = size; left > BLOCK; left -= BLOCK)
            block_put(target + left - BLOCK, block_at(source + left - BLOCK));
        block_put(target, first);
    }
    return to;
}

PLAIN void *memset(void *to, int byte, size_t size) {
    u8 *target = to;
    if (size < BLOCK) {
        while (size)
            target[--size] = (u8)byte;
        return to;
    }
    block data = every((u8)byte);
    for (size_t at = 0; at < size - BLOCK; at += BLOCK)
        block_put(target + at, data);
    block_put(target + size - BLOCK, data);
    return to;
}

PLAIN int memcmp(const void *one, const void *other, size_t size) {
    const u8 *left = one, *right = other;
    size_t at = 0;
    while (at + 8 <= size && *(const any_u64 *)(left + at) == *(const any_u64 *)(right + at))
        at += 8;
    for (; at < size; at++)
        if (left[at] != right[at])
            return left[at] - right[at];
    return 0;
}

#endif

const u8 *find_byte(const u8 *at, const u8 *end, u8 byte) {
    for (; (size_t)(end - at) >= BLOCK; at += BLOCK) {
        lanes found = lanes_of(same(block_at(at), byte));
        if (found)
            return at + first_lane(found);
    }
    for (; at < end; at++)
        if (*at == byte)
            return at;
    return NULL;
}

bool equal_ignoring_case(struct bytes one, struct bytes other) {
    if (one.size != other.size)
        return false;
    for (u32 at = 0; at < one.size; at++)
        if (lower(one.at[at]) != other.at[at])
            return false;
    return true;
}

struct bytes trimmed(struct bytes text) {
    while (text.size && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.size--;
    }
    while (text.size && (text.at[text.size - 1] == ' ' || text.at[text.size - 1] == '\t'))
        text.size--;
    return text;
}

u64 hash_bytes(u64 seed, struct bytes data) {
    for (u32 at = 0; at < data.size; at++)
        seed = (seed ^ data.at[at]) * 0x100000001b3u;
    return seed;
}
