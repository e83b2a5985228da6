/* Replaces the C functions behind methods of CPython's, in the tables that the interpreter calls them by. Whatever isn't
 * laid out as known is left as it is: each step is checked against the name that it must lead to. */
#include <elf.h>

#include "cpython.h"
#include "loader.h"

#define TO_METHOD_OF_FUNCTION 16u   /* PyCFunctionObject.m_ml */
#define TO_METHOD_OF_DESCRIPTOR 40u /* PyMethodDescrObject.d_method */
#define TO_WRAPPED 48u              /* PyWrapperDescrObject.d_wrapped */
#define TO_INITIALIZER 296u         /* PyTypeObject.tp_init */

function *originals[METHODS];
static struct method *replaced[METHODS];

static bool is_name(const char *text, const char *name) {
    for (; is_readable(text, 1) && *text == *name; text++, name++)
        if (!*name)
            return true;
    return false;
}

static void *pointer_at(const struct object *object, u32 offset) {
    void *pointer = NULL;
    const u8 *at = (const u8 *)object + offset;
    if (is_readable(at, sizeof pointer))
        memcpy(&pointer, at, sizeof pointer);
    return pointer;
}

static struct method *method_in(const struct object *object, u32 offset, const char *name) {
    struct method *method = pointer_at(object, offset);
    if ((uintptr_t)method % sizeof(void *) || !is_readable(method, sizeof *method) || !is_name(method->name, name))
        return NULL;
    return method;
}

bool replace_method(struct object *object, const char *name, enum method_number number, function *ours) {
    struct object *found = attribute(object, name);
    if (!found)
        return false;
    struct method *method = method_in(found, TO_METHOD_OF_DESCRIPTOR, name);
    if (!method)
        method = method_in(found, TO_METHOD_OF_FUNCTION, name);
    release(found);
    if (!method || !method->function || replaced[number] || !is_writable_data(method))
        return false;
    originals[number] = (function *)method->function;
    replaced[number] = method;
    __atomic_store_n(&method->function, (void *)ours, __ATOMIC_RELEASE);
    return true;
}

bool replace_initializer(struct object *class, initializer **original, initializer *ours) {
    struct object *wrapper = attribute(class, "__init__");
    if (!wrapper)
        return false;
    void **in_class = (void **)(void *)((u8 *)class + TO_INITIALIZER);
    void **in_wrapper = (void **)(void *)((u8 *)wrapper + TO_WRAPPED);
    void *wrapped = pointer_at(wrapper, TO_WRAPPED);
    bool fits = wrapped && wrapped == pointer_at(class, TO_INITIALIZER) && is_writable_data(in_class);
    if (fits && !*original) {
        *original = (initializer *)wrapped;
        __atomic_store_n(in_class, (void *)ours, __ATOMIC_RELEASE);
        __atomic_store_n(in_wrapper, (void *)ours, __ATOMIC_RELEASE); /* what subclasses call by super() */
    }
    release(wrapper);
    return fits;
}

struct object **argument_at(enum method_number number, void *a, void *b, void *c, u32 index) {
    int flags = replaced[number]->flags;
    if (!(flags & BY_VECTOR))
        return NULL;
    struct object **vector = flags & BY_CLASS ? b : a;
    s64 count = (s64)(flags & BY_CLASS ? c : b);
    return index < count ? &vector[index] : NULL;
}
