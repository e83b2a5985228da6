#include "binder_world.h"

#include <stdio.h>
#include <stdlib.h>

struct world world;
long in_use, most_in_use;
bool quiet;

/* -- pools */

static void *take(size_t size) {
    if (in_use >= most_in_use)
        return NULL;
    in_use++;
    return malloc(size);
}

static void give(void *thing) {
    in_use--;
    free(thing);
}

struct blob *blob_take(u32 capacity) {
    struct blob *blob = take(sizeof *blob + capacity);
    if (blob)
        *blob = (struct blob){.references = 1, .capacity = capacity};
    return blob;
}

void blob_release(struct blob *blob) {
    if (blob && !--blob->references)
        give(blob);
}

struct request *request_take(void) { return take(sizeof(struct request)); }
void request_give(struct request *request) { give(request); }
struct turn *turn_take(void) { return take(sizeof(struct turn)); }
void turn_give(struct turn *turn) { give(turn); }
struct desk *desk_take(void) { return take(sizeof(struct desk)); }
void desk_give(struct desk *desk) { give(desk); }
u8 *held_take(void) { return take(HELD_SIZE); }
void held_give(u8 *held) { give(held); }

/* -- shared.open */

static u64 open_ids[4096];
static u32 open_count;

static u64 id_of(const u8 *span_id) {
    u64 id;
    memcpy(&id, span_id, sizeof id);
    return id;
}

void shared_opened(const u8 *span_id) {
    if (open_count < COUNT(open_ids))
        open_ids[open_count++] = id_of(span_id);
}

void shared_finished(const u8 *span_id) {
    for (u32 index = 0; index < open_count; index++)
        if (open_ids[index] == id_of(span_id))
            open_ids[index] = open_ids[--open_count];
}

bool shared_is_open(const u8 *span_id) {
    for (u32 index = 0; index < open_count; index++)
        if (open_ids[index] == id_of(span_id))
            return true;
    return false;
}

/* -- records */

void print_digits(const void *at, size_t size) {
    static const char digits[] = "0123456789abcdef";
    for (size_t index = 0; index < size; index++) {
        putchar(digits[((const u8 *)at)[index] >> 4]);
        putchar(digits[((const u8 *)at)[index] & 15]);
    }
}

void print_hex(const void *at, size_t size) {
    putchar('=');
    print_digits(at, size);
}

static bool begin(const char *what, const struct dialogue *dialogue, const struct turn *turn, u64 now) {
    if (quiet)
        return false;
    printf("%s %lu %lu %u ", what, (unsigned long)dialogue->identity, (unsigned long)now, dialogue->side);
    print_hex(turn->span.span_id, 8);
    putchar(' ');
    return true;
}

void report_request(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now) {
    const struct blob *state = turn->span.state;
    if (!begin("request", dialogue, turn, now))
        return;
    print_hex(turn->span.trace_id, 16);
    print_hex(turn->parent_id, 8);
    printf(" %d %u %lu ", turn->has_parent && dialogue->side == SERVER, turn->span.flags, (unsigned long)turn->started);
    print_hex(state ? state->text : NULL, state ? state->size : 0);
    print_hex(head->raw.at, head->raw.size);
    putchar('\n');
}

void report_response(const struct dialogue *dialogue, const struct turn *turn, const struct head *head, u64 now) {
    if (!begin("response", dialogue, turn, now))
        return;
    print_hex(head->raw.at, head->raw.size);
    putchar('\n');
}

void report_end(const struct dialogue *dialogue, const struct turn *turn, bool is_response, u64 body_size, u64 now) {
    if (begin("end", dialogue, turn, now))
        printf("%d %lu\n", is_response, (unsigned long)body_size);
}

void report_failure(const struct dialogue *dialogue, const struct turn *turn, struct bytes error_type, u64 now) {
    if (begin("failure", dialogue, turn, now))
        printf("%.*s\n", (int)error_type.size, (const char *)error_type.at);
}

/* -- all of it */

/* splitmix64 */
static u64 next_id(struct random *random) {
    u64 value = random->state[0] += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

void world_begin(void) {
    world.random = (struct random){.next = next_id};
    world.propagation.random = &world.random;
    open_count = 0;
    for (u32 index = 0; index < MOST; index++) {
        group_init(&world.groups[index]);
        thread_init(&world.threads[index], &world.groups[0]);
        dialogue_init(&world.dialogues[index], index, &world.groups[0], &world.propagation, true);
        world.planned[index] = NULL;
    }
}

void world_end(void) {
    for (u32 index = 0; index < MOST; index++)
        if (world.planned[index])
            dialogue_sent(world.planned[index], &world.plans[index], -11, 0);
    for (u32 index = 0; index < MOST; index++)
        dialogue_release(&world.dialogues[index]);
    for (u32 index = 0; index < MOST; index++)
        thread_forget_all(&world.threads[index]);
    if (in_use)
        abort();
}
