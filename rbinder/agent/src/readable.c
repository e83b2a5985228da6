/* Whether the program's memory may be read: the kernel answers EFAULT to an address that nobody has, and so must we.
 *
 * A page that was found to be there once is taken to be there still, until the C library is asked to take it away. Of a large
 * buffer its beginning and its end are asked for: what lies between is skipped, but for exotic framing. Programs that have
 * confined themselves are taken at their word.
 */
#include "system.h"

#include "raw.h"

#define PAGE_SHIFT 12u /* larger ones consist of such */
#define KNOWN 512u     /* pages */
#define MOST_ASKED 16u

static u64 known[KNOWN];

/* rt_sigprocmask reads the new mask before it looks at what is to be done with it, and refuses that. */
RARE static bool ask(u64 page) {
    enum { NOTHING_TO_DO = 99, EFAULT_ = 14, MASK_SIZE = 8 };
    return raw_call(__NR_rt_sigprocmask, NOTHING_TO_DO, (long)(page << PAGE_SHIFT), 0, MASK_SIZE, 0, 0) != -EFAULT_;
}

static bool has_page(u64 page) {
    u64 *place = &known[page % KNOWN];
    if (LIKELY(page && __atomic_load_n(place, __ATOMIC_RELAXED) == page))
        return true;
    if (!page || !ask(page)) /* 0 is an empty place, too */
        return false;
    __atomic_store_n(place, page, __ATOMIC_RELAXED);
    return true;
}

bool is_readable(const void *at, u64 size) {
    return readable_size(at, size) == size;
}

static void forget_page(u64 page) {
    u64 expected = page;
    __atomic_compare_exchange_n(&known[page % KNOWN], &expected, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void readable_forget(const void *at, u64 size) {
    u64 first = (u64)(uintptr_t)at >> PAGE_SHIFT, last = ((u64)(uintptr_t)at + size - 1) >> PAGE_SHIFT;
    if (last - first < KNOWN) {
        for (u64 page = first; page <= last; page++)
            forget_page(page);
        return;
    }
    for (u32 i = 0; i < KNOWN; i++)
        __atomic_store_n(&known[i], 0, __ATOMIC_RELAXED);
}

bool is_still_readable(const void *at, u64 size) {
    u64 from = (u64)(uintptr_t)at, page = from >> PAGE_SHIFT, last = (from + size - 1) >> PAGE_SHIFT;
    while (size && page <= last && ask(page))
        page++;
    return !size || page > last;
}

/* From page to page; a hole is rare, and then all of the buffer is asked for. */
RARE static u64 up_to_hole(u64 at, u64 size) {
    u64 page = at >> PAGE_SHIFT, last = (at + size - 1) >> PAGE_SHIFT;
    while (page <= last && has_page(page))
        page++;
    u64 hole = page << PAGE_SHIFT;
    return hole > at ? MIN(size, hole - at) : 0;
}

u64 readable_size(const void *buffer, u64 size) {
    u64 at = (u64)(uintptr_t)buffer, first = at >> PAGE_SHIFT, last = (at + size - 1) >> PAGE_SHIFT;
    if (!size)
        return 0;
    if (last < first)
        return 0;
    bool sound = has_page(last);
    for (u64 page = first; sound && page < MIN(last, first + MOST_ASKED); page++)
        sound = has_page(page);
    return LIKELY(sound) ? size : up_to_hole(at, size);
}
