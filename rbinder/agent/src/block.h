/* Sixteen bytes at a time: SSE2 on x86-64, NEON on aarch64. A mask of lanes has one bit for each byte that fits. */
#ifndef RBINDER_BLOCK_H
#define RBINDER_BLOCK_H

#include "base.h"

#define BLOCK 16u

#if defined(__SSE2__)
#include <emmintrin.h>

typedef __m128i block;
typedef u32 lanes;
#define LAST_LANE (1u << (BLOCK - 1))
#define LANE 1u /* bits of a mask that belong to one byte; only the lowest of them is ever set */

static inline block block_at(const u8 *at) { return _mm_loadu_si128((const __m128i *)at); }
static inline void block_put(u8 *at, block data) { _mm_storeu_si128((__m128i *)at, data); }
static inline block every(u8 byte) { return _mm_set1_epi8((char)byte); }
static inline block same(block data, u8 byte) { return _mm_cmpeq_epi8(data, every(byte)); }
static inline block alike(block one, block other) { return _mm_cmpeq_epi8(one, other); }
static inline block at_most(block data, u8 most) { return _mm_cmpeq_epi8(_mm_min_epu8(data, every(most)), data); }
static inline block less(block data, u8 byte) { return _mm_sub_epi8(data, every(byte)); }
static inline block plus(block one, block other) { return _mm_add_epi8(one, other); }
static inline block either(block one, block other) { return _mm_or_si128(one, other); }
static inline block both(block one, block other) { return _mm_and_si128(one, other); }
/* Makes eight bytes of sixteen halves of a byte, the higher one first; and the other way round. */
static inline void put_pairs(u8 *to, block halves) {
    block pairs = _mm_or_si128(_mm_slli_epi16(halves, 4), _mm_srli_epi16(halves, 8));
    pairs = _mm_and_si128(pairs, _mm_set1_epi16(0xff));
    _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(pairs, pairs));
}
static inline block halves_at(const u8 *at) {
    block pairs = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)at), _mm_setzero_si128());
    return _mm_and_si128(_mm_or_si128(_mm_srli_epi16(pairs, 4), _mm_slli_epi16(pairs, 8)), _mm_set1_epi8(0x0f));
}
static inline lanes lanes_of(block found) { return (lanes)_mm_movemask_epi8(found); }
static inline lanes other_lanes(block found) { return (lanes)_mm_movemask_epi8(found) ^ 0xffffu; }
static inline bool any_high(block data) { return _mm_movemask_epi8(data) != 0; } /* a byte from 0x80 on */
static inline u32 first_lane(lanes mask) { return (u32)__builtin_ctz(mask); }

#elif defined(__aarch64__)
#include <arm_neon.h>

typedef uint8x16_t block;
typedef u64 lanes;
#define LANE 4u
#define LAST_LANE (1ull << LANE * (BLOCK - 1))

static inline block block_at(const u8 *at) { return vld1q_u8(at); }
static inline void block_put(u8 *at, block data) { vst1q_u8(at, data); }
static inline block every(u8 byte) { return vdupq_n_u8(byte); }
static inline block same(block data, u8 byte) { return vceqq_u8(data, every(byte)); }
static inline block alike(block one, block other) { return vceqq_u8(one, other); }
static inline block at_most(block data, u8 most) { return vcleq_u8(data, every(most)); }
static inline block less(block data, u8 byte) { return vsubq_u8(data, every(byte)); }
static inline block plus(block one, block other) { return vaddq_u8(one, other); }
static inline block either(block one, block other) { return vorrq_u8(one, other); }
static inline block both(block one, block other) { return vandq_u8(one, other); }
static inline void put_pairs(u8 *to, block halves) {
    uint16x8_t pairs = vreinterpretq_u16_u8(halves);
    vst1_u8(to, vmovn_u16(vorrq_u16(vshlq_n_u16(pairs, 4), vshrq_n_u16(pairs, 8))));
}
static inline block halves_at(const u8 *at) {
    uint16x8_t pairs = vmovl_u8(vld1_u8(at));
    return vandq_u8(vreinterpretq_u8_u16(vorrq_u16(vshrq_n_u16(pairs, 4), vshlq_n_u16(pairs, 8))), every(0x0f));
}
/* There is no movemask: narrowing by a shift leaves four bits of each byte. */
static inline lanes lanes_of(block found) {
    uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(found), 4);
    return vget_lane_u64(vreinterpret_u64_u8(narrow), 0) & 0x1111111111111111u;
}
static inline lanes other_lanes(block found) { return lanes_of(vmvnq_u8(found)); }
static inline bool any_high(block data) { return vmaxvq_u8(data) >= 0x80; }
static inline u32 first_lane(lanes mask) { return (u32)__builtin_ctzll(mask) / LANE; }

#else
#error "neither SSE2 nor NEON"
#endif

/* Words at any address. */
typedef u64 __attribute__((may_alias, aligned(1))) any_u64;
typedef u32 __attribute__((may_alias, aligned(1))) any_u32;
typedef u16 __attribute__((may_alias, aligned(1))) any_u16;

static inline block within(block data, u8 low, u8 high) { return at_most(less(data, low), (u8)(high - low)); }

static inline bool ends_line(u8 byte) { return byte == '\n' || byte == '\r' || byte == '\0'; }

#define CRLF (u16)('\r' | '\n' << 8) /* as a word, little-endian */

/* The last place in [begin, end) where a block can be read, or NULL: no place is before that. */
static inline const u8 *last_block(const u8 *begin, const u8 *end) {
    return (size_t)(end - begin) >= BLOCK ? end - BLOCK : NULL;
}

/* The first `byte` in [at, stop), or `stop`; `last` is a last_block() not before `stop`. */
static inline const u8 *find_before(const u8 *at, const u8 *stop, const u8 *last, u8 byte) {
    for (; LIKELY(last != NULL) && at < stop; at += BLOCK) {
        const u8 *from = MIN(at, last);
        lanes found = lanes_of(same(block_at(from), byte)) >> (u32)(at - from) * LANE;
        if (found)
            return MIN(at + first_lane(found), stop);
    }
    while (at < stop && *at != byte)
        at++;
    return MIN(at, stop);
}

/* The first LF, CR or NUL in [at, end), or `end`: what ends a field's value, rightly or not. `last` is a last_block() before
 * `end`. `*next` is behind a CRLF there, else NULL. `*odd` becomes true where other bytes below CR were passed over. */
__attribute__((always_inline)) static inline const u8 *find_line_end_noting(const u8 *at, const u8 *end, const u8 *last,
                                                                            const u8 **next, bool *odd) {
    lanes found;
    *next = NULL;
    while (LIKELY(at < end)) {
        if (LIKELY(at <= last)) {
            found = lanes_of(at_most(block_at(at), '\r'));
        } else if (LIKELY(last != NULL)) { /* of the block that ends with the bytes, those from `at` on */
            found = lanes_of(at_most(block_at(last), '\r')) >> ((u32)(at - last) * LANE);
        } else {
            for (; at < end && !ends_line(*at); at++)
                *odd = *odd || *at < '\r';
            return at;
        }
        for (; UNLIKELY(found); found &= found - 1) {
            const u8 *stop = at + first_lane(found);
            if (LIKELY(stop <= last + BLOCK - 2 && *(const any_u16 *)stop == CRLF)) {
                *next = stop + 2;
                return stop;
            }
            if (ends_line(*stop))
                return stop;
            *odd = true; /* a tab, or what nobody sends */
        }
        at += BLOCK;
    }
    return end;
}

__attribute__((always_inline)) static inline const u8 *find_line_end(const u8 *at, const u8 *end) {
    const u8 *next;
    bool odd = false;
    return find_line_end_noting(at, end, last_block(at, end), &next, &odd);
}

/* Compares `size` bytes, a constant, with a lower-case literal. A letter's case is one bit; of the bytes a literal here
 * has, only the letters have a twin that may stand in a token or a name. */
__attribute__((always_inline)) static inline bool spells(const u8 *at, const char *literal, u32 size) {
    const u8 *wanted = (const u8 *)literal;
    u64 differs = 0;
    u32 done = 0;
    for (; done + 8 <= size; done += 8)
        differs |= (*(const any_u64 *)(at + done) | 0x2020202020202020u) ^ *(const any_u64 *)(wanted + done);
    if (done < size && size >= 8)
        return !(differs | ((*(const any_u64 *)(at + size - 8) | 0x2020202020202020u) ^
                            *(const any_u64 *)(wanted + size - 8)));
    for (; done + 4 <= size; done += 4)
        differs |= (*(const any_u32 *)(at + done) | 0x20202020u) ^ *(const any_u32 *)(wanted + done);
    for (; done < size; done++)
        differs |= (u64)((at[done] | 0x20) ^ wanted[done]);
    return !differs;
}
#define SPELLS(at, literal) spells(at, literal, sizeof(literal) - 1)

#endif
