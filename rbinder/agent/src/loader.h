/* Looking up many symbols in one walk over the loaded objects. */
#ifndef RBINDER_LOADER_H
#define RBINDER_LOADER_H

#include "base.h"

struct wanted {
    const char *name;
    u32 hash;
    void *found; /* NULL: nobody has it */
};

/* The next definition of each whose `found` is NULL. */
void next_definitions(struct wanted *wanted, u32 count);
/* The same of any object, the executable first. */
void definitions(struct wanted *wanted, u32 count);
/* A runtime's functions, of which most processes have none: these are asked for the first name alone. False where one is
 * missing that isn't optional (NULL: none is). */
enum { API_NAMES = 128 };
bool find_api(const char *const *names, const bool *optional, u32 count, void **table);
/* False where an object that is loaded doesn't let its memory be written. */
bool is_writable_data(const void *at);

#endif
