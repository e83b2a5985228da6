/* The ground everything here stands on: types, and the few functions a compiler expects. No C library. */
#ifndef RBINDER_BASE_H
#define RBINDER_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define RARE __attribute__((noinline, cold)) /* kept out of the functions that calls pass through */
#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Bytes of somebody's: never copied, never ended by a zero. */
struct bytes {
    const u8 *at;
    u32 size;
};

#define BYTES(literal) ((struct bytes){(const u8 *)(literal), sizeof(literal) - 1})

/* memory.c: what gcc and clang may call whatever the flags. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *one, const void *other, size_t size);

/* Small ones in line, which a freestanding compiler doesn't do by itself. */
#ifndef RBINDER_MEMORY
#define memcpy __builtin_memcpy
#define memset __builtin_memset
#define memcmp __builtin_memcmp
#endif

/* The first `byte` in [at, end), or NULL; a vector of bytes at a time. */
const u8 *find_byte(const u8 *at, const u8 *end, u8 byte);

static inline bool equal(struct bytes one, struct bytes other) {
    return one.size == other.size && memcmp(one.at, other.at, one.size) == 0;
}

static inline u8 lower(u8 byte) {
    return byte >= 'A' && byte <= 'Z' ? (u8)(byte + 32) : byte;
}

/* `other` is lower case. */
bool equal_ignoring_case(struct bytes one, struct bytes other);

/* Without spaces and tabs at both ends. */
struct bytes trimmed(struct bytes text);

/* FNV-1a, 64 bits; `seed` chains pieces (begin with HASH_START). */
#define HASH_START 0xcbf29ce484222325u
u64 hash_bytes(u64 seed, struct bytes data);

#endif
