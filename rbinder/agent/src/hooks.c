/* The table of next definitions: what each hooked function calls in the end. */
#include "hooks.h"

#include "loader.h"

struct next next;

static const char *const names[] = {
#define HOOK(result, name, parameters, arguments) #name,
#include "hooks.def"
#undef HOOK
};

_Static_assert(sizeof next == sizeof names, "one pointer each");

#define AT_ONCE 32u

void next_prepare(void) {
    void **table = (void **)&next;
    for (u32 first = 0; first < COUNT(names); first += AT_ONCE) {
        struct wanted wanted[AT_ONCE];
        u32 count = MIN(AT_ONCE, (u32)COUNT(names) - first);
        for (u32 i = 0; i < count; i++)
            wanted[i] = (struct wanted){names[first + i], 0, table[first + i]};
        next_definitions(wanted, count);
        for (u32 i = 0; i < count; i++)
            table[first + i] = wanted[i].found;
    }
}

void *next_find(void **place, const char *name) {
    return *place = next_definition(name);
}
