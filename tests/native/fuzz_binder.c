/* Arbitrary events, for libFuzzer: the binder must survive them, and tell programs what can be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binder_world.h"

#define CONNECTIONS 6u
#define GROUPS 3u

static const u8 *input;
static size_t left;

static u8 byte(void) {
    if (!left)
        return 0;
    left--;
    return *input++;
}

static const char *const SNIPPETS[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /b?c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    "GET / HTTP/1.1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    "tracestate: a=1,b=2\r\nbaggage: c=d\r\n\r\n",
    "b3: 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1\r\nx-request-id: 7\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "CONNECT a HTTP/1.1\r\n\r\n",
    "\r\n",
    "HEAD / HTTP/1.0\n\n",
};

/* Bytes of a call: snippets and the input's own, in vectors of their own allocations. */
static struct source make_source(void) {
    u32 count = byte() % 6;
    struct iovec *vectors = calloc(count + 1, sizeof *vectors);
    struct source source = {vectors, count, 0};
    for (u32 index = 0; index < count; index++) {
        u8 kind = byte(), cut = byte();
        const void *from = input;
        size_t size = MIN(left, cut % 64u);
        if (kind & 1) {
            from = SNIPPETS[(kind >> 1) % COUNT(SNIPPETS)];
            size = strlen(from);
            size = cut & 1 ? size : cut % (size + 1);
        } else {
            input += size;
            left -= size;
        }
        vectors[index] = (struct iovec){malloc(size + !size), size};
        memcpy(vectors[index].iov_base, from, size);
        source.total += size;
    }
    return source;
}

static void free_source(const struct source *source) {
    for (u32 index = 0; index < source->count; index++)
        free(source->vectors[index].iov_base);
    free((void *)source->vectors);
}

static void end_plan(u32 which) {
    struct plan *plan = &world.plans[which];
    struct dialogue *dialogue = world.planned[which];
    u64 wire = 0;
    u32 pieces = plan->desk ? lay_out(plan->desk, &plan->source) : 0;
    for (u32 index = 0; index < pieces; index++)
        wire += plan->desk->pieces[index].iov_len;
    if (!plan->desk)
        wire = plan->source.total;
    s64 result = (s64)((u64)byte() << 8 | byte());
    if (result % 5 == 0)
        result = -11;
    else if (result % 5 < 3)
        result = (s64)wire;
    else
        result %= (s64)wire + 1;
    world.planned[which] = NULL;
    if (byte() % 32 == 0)
        dialogue_untouched(dialogue, plan);
    else if (byte() % 32 == 0)
        plan_drop(plan), dialogue->sending = NULL;
    else if (dialogue_sent(dialogue, plan, result, 3) > (s64)plan->source.total)
        abort();
    free_source(&plan->source);
}

/* Of several calls at once, on one connection as well, any may return first. */
static void begin_plan(struct dialogue *dialogue, struct thread *thread) {
    u32 which = byte() % 4;
    if (world.planned[which])
        end_plan(which);
    struct source source = make_source();
    world.planned[which] = dialogue;
    dialogue_plan(dialogue, thread, &source, 2, &world.plans[which]);
}

static void receive(struct dialogue *dialogue, struct thread *thread) {
    struct source source = make_source();
    dialogue_received(dialogue, thread, &source, source.total, 1);
    free_source(&source);
}

/* A connection is closed while calls on it may be under way, and its place is used for another. */
static void close_it(struct dialogue *dialogue) {
    bool busy = false;
    dialogue_closing(dialogue, 4);
    dialogue_closed(dialogue, 4);
    dialogue_release(dialogue);
    for (u32 which = 0; which < 4; which++)
        busy = busy || world.planned[which] == dialogue;
    if (!busy)
        dialogue_init(dialogue, byte(), dialogue->group, &world.propagation, byte() & 1);
}

/* What a runtime may say: an open request, or something that is none. */
static void say(struct dialogue *dialogue, struct thread *thread) {
    const struct request *request = world.groups[byte() % GROUPS].requests;
    u8 what = byte();
    u64 task = what & 1 && request ? request_task(request) : what & 2 ? TASK_NONE : what & 4 ? TASK_UNKNOWN : what;
    if (what & 8)
        dialogue->task = task;
    else if (what & 16)
        thread->task = task;
    else
        thread->asked = task, thread->told = what & 32;
}

static void event(void) {
    u8 what = byte(), whom = byte();
    struct dialogue *dialogue = &world.dialogues[whom % CONNECTIONS];
    /* a connection is used by threads of its own process alone */
    struct thread *thread = &world.threads[dialogue->group - world.groups + (whom / CONNECTIONS % 2) * GROUPS];
    switch (what % 16) {
    case 0: case 1: case 2: receive(dialogue, thread); break;
    case 3: case 4: case 5: begin_plan(dialogue, thread); break;
    case 6: case 7:
        if (world.planned[whom % 4])
            end_plan(whom % 4);
        break;
    case 8: dialogue_connecting(dialogue, thread); break;
    case 9: dialogue_starts(dialogue, 5); break;
    case 10:
        if (whom & 64)
            dialogue_eof(dialogue, whom & 128, 6);
        else
            dialogue_ended(dialogue, whom & 128 ? thread : NULL, 6);
        break;
    case 11: dialogue_moved(dialogue, byte(), whom & 128, 7); break;
    case 12: close_it(dialogue); break;
    case 13: thread_inherit(thread, &world.threads[byte() % (2 * GROUPS)], false); break;
    case 14:
        if (whom & 128) {
            say(dialogue, thread);
            break;
        }
        most_in_use = whom & 1 ? in_use + byte() % 8 : 1l << 40;
        break;
    default:
        if (whom % 4 == 0)
            dialogue_forked(dialogue);
        else if (whom % 4 == 1)
            group_forked(&world.groups[byte() % GROUPS]);
        else
            dialogue_broken(dialogue, whom & 64 ? thread : NULL, BYTES("failed"), whom & 128, 8);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size) {
    input = data;
    left = size;
    quiet = true;
    most_in_use = 1l << 40;
    world_begin();
    world.propagation.propagators = byte() & 15;
    world.propagation.sampler = (struct sampler){1ull << 63, byte() & 1, byte() & 1};
    for (u32 index = 0; index < GROUPS; index++)
        world.groups[index].migrates = byte() & 1;
    for (u32 index = 0; index < 2 * GROUPS; index++)
        thread_init(&world.threads[index], &world.groups[index % GROUPS]);
    for (u32 index = 0; index < CONNECTIONS; index++)
        dialogue_init(&world.dialogues[index], index, &world.groups[index % GROUPS], &world.propagation, true);
    while (left)
        event();
    for (u32 index = 0; index < 4; index++)
        if (world.planned[index])
            end_plan(index);
    world_end();
    return 0;
}
