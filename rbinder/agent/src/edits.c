/* Inserting bytes into what a program sends, and telling it the length it believes it sent (binder/edits.py).
 *
 * program's bytes   |--------- k ---------|------ rest ------|
 * on the wire       |--------- k ---------|## L ##|-- rest --|
 *                                             ^
 *                      a result r that ends here has sent k bytes of the program's and r - k of ours
 */
#include "dialogue.h"

/* Walks over the program's vectors. */
struct place {
    const struct iovec *vector, *end;
    u64 offset; /* within the vector */
};

static void settle(struct place *place) {
    while (place->vector < place->end && place->offset >= place->vector->iov_len) {
        place->offset -= place->vector->iov_len;
        place->vector++;
    }
}

/* Adds a piece; false: no more fit. */
static bool add(struct desk *desk, u32 *count, const void *at, u64 size) {
    if (*count == MOST_PIECES)
        return false;
    desk->pieces[(*count)++] = (struct iovec){(void *)(uintptr_t)at, size};
    return true;
}

/* Adds pieces for the program's next `size` bytes. */
static bool add_program(struct desk *desk, u32 *count, struct place *place, u64 size) {
    while (size) {
        settle(place);
        if (place->vector == place->end)
            return true;
        u64 here = MIN(size, place->vector->iov_len - place->offset);
        if (!add(desk, count, (const u8 *)place->vector->iov_base + place->offset, here))
            return false;
        place->offset += here;
        size -= here;
    }
    return true;
}

/* A head in one buffer gets its lines: nearly all calls that are edited. */
static inline u32 lay_out_one(struct desk *desk, const struct source *source) {
    const struct edit *edit = &desk->edits[0];
    u8 *text = source->vectors->iov_base;
    desk->pieces[0] = (struct iovec){text, edit->at};
    desk->pieces[1] = (struct iovec){desk->text + edit->insert, edit->size};
    desk->pieces[2] = (struct iovec){text + edit->at, source->total - edit->at};
    return 3;
}

u32 lay_out(struct desk *desk, const struct source *source) {
    if (LIKELY(desk->edit_count == 1) && LIKELY(source->count == 1) && LIKELY(!desk->edits[0].drop) && desk->edits[0].at &&
        desk->edits[0].at < source->total)
        return lay_out_one(desk, source);
    struct place place = {source->vectors, source->vectors + source->count, 0};
    u32 count = 0;
    u64 done = 0;
    bool whole = true;
    for (u32 index = 0; whole && index < desk->edit_count; index++) {
        const struct edit *edit = &desk->edits[index];
        whole = add_program(desk, &count, &place, edit->at - done) &&
                add(desk, &count, desk->text + edit->insert, edit->size);
        place.offset += edit->drop;
        done = edit->at + edit->drop;
    }
    if (whole && done < source->total)
        whole = add_program(desk, &count, &place, source->total - done);
    return whole || desk->carries_rest ? count : 0;
}

struct accepted translate(struct desk *desk, u64 result) {
    struct accepted accepted = {0};
    u64 program = 0; /* the program's offset that corresponds to what has been walked over */
    for (u32 index = 0; index < desk->edit_count; index++) {
        struct edit *edit = &desk->edits[index];
        u64 gap = edit->at - program;
        if (result <= gap)
            break;
        result -= gap;
        program = edit->at;
        accepted.last = edit;
        if (result < edit->size) {
            accepted.program = program + (edit->drop ? result : 0);
            accepted.has_rest = true;
            accepted.rest_at = edit->insert + (u32)result;
            accepted.rest_size = edit->size - (u32)result;
            accepted.rest_replaces = edit->drop != 0;
            return accepted;
        }
        result -= edit->size;
        program += edit->drop;
    }
    accepted.program = program + result;
    return accepted;
}
