/* Runs scripts of events through the binder and prints what it does: a line per operation in, lines of records and one of
 * state out. Bytes are hexadecimal behind an equals sign. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "binder_world.h"

/* -- operations: words on a line */

static char *cursor;

static const char *word(void) { return strsep(&cursor, " "); }
static u64 number(void) { return strtoull(word(), NULL, 10); }

static struct bytes data(void) {
    const char *text = word() + 1;
    u32 size = (u32)strlen(text) / 2;
    u8 *out = malloc(size + !size);
    for (u32 index = 0; index < size; index++) {
        char digits[3] = {text[2 * index], text[2 * index + 1], 0};
        out[index] = (u8)strtoul(digits, NULL, 16);
    }
    return (struct bytes){out, size};
}

/* Bytes cut into vectors, each an allocation of its own; `cuts` are offsets joined by commas, or "-". */
static struct source cut_source(void) {
    char *cuts = strdup(word()), *rest = cuts;
    struct bytes whole = data();
    struct iovec *vectors = calloc(strlen(cuts) + 2, sizeof *vectors);
    u32 count = 0, from = 0;
    for (char *cut; from < whole.size || !count;) {
        cut = *cuts == '-' ? NULL : strsep(&rest, ",");
        u32 to = cut ? (u32)strtoul(cut, NULL, 10) : whole.size;
        vectors[count].iov_base = malloc(to - from + 1);
        memcpy(vectors[count].iov_base, whole.at + from, to - from);
        vectors[count].iov_base = realloc(vectors[count].iov_base, to - from + !(to - from));
        vectors[count++].iov_len = to - from;
        from = to;
        if (!cut)
            break;
    }
    struct source source = {vectors, count, whole.size};
    free((void *)whole.at);
    free(cuts);
    return source;
}

static void free_source(const struct source *source) {
    for (u32 index = 0; index < source->count; index++)
        free(source->vectors[index].iov_base);
    free((void *)source->vectors);
}

/* -- state */

static void print_request(struct request *request) {
    if (request)
        print_hex(request->span.span_id, 8);
    else
        printf("none");
}

static void print_state(struct dialogue *dialogue, struct thread *thread) {
    printf("state");
    if (dialogue) {
        printf(" %u %d %d %d %d %d ", dialogue->side, dialogue->opaque, dialogue_settled(dialogue),
               dialogue_unanswered(dialogue), dialogue_answering(dialogue), dialogue->fresh);
        print_request(dialogue->tag);
    }
    if (thread) {
        printf(" %u %u %d %d %lu %lu ", thread->serving_count, thread->group->open, thread->interleaves, thread->strays,
               (unsigned long)thread->group->begun, (unsigned long)thread->group->doubt);
        print_request(thread_cause(thread, 0, 0));
    }
    putchar('\n');
}

/* -- events */

static void op_configure(void) {
    world.propagation.propagators = (u32)number();
    world.propagation.sampler.all = number();
    world.propagation.sampler.parent_based = number();
    world.propagation.sampler.bound = number();
}

static void op_group(void) {
    struct group *group = &world.groups[number()];
    group->migrates = number();
}

static void op_thread(void) {
    struct thread *thread = &world.threads[number()];
    thread_init(thread, &world.groups[number()]);
}

static void op_inherit(void) {
    struct thread *thread = &world.threads[number()], *parent = &world.threads[number()];
    thread_inherit(thread, parent, number());
    print_state(NULL, thread);
}

static void op_dialogue(void) {
    u64 which = number();
    struct group *group = &world.groups[number()];
    struct dialogue *dialogue = &world.dialogues[which];
    u64 identity = number();
    bool known_start = number();
    dialogue_init(dialogue, identity, group, &world.propagation, known_start);
    dialogue->peer = number();
}

static void op_bound(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    dialogue->task = number();
}

static void op_says(void) {
    struct thread *thread = &world.threads[number()];
    thread->task = number();
    thread->asked = number();
    thread->told = number();
    print_state(NULL, thread);
}

static void op_connecting(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    struct thread *thread = &world.threads[number()];
    dialogue_connecting(dialogue, thread);
    print_state(dialogue, thread);
}

static void op_starts(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    dialogue_starts(dialogue, number());
    print_state(dialogue, NULL);
}

static void op_fail(bool hands_off) {
    struct dialogue *dialogue = &world.dialogues[number()];
    const char *type = word();
    struct bytes error = {(const u8 *)type, (u32)strlen(type)};
    (hands_off ? dialogue_give_up : dialogue_fail)(dialogue, error, number());
    print_state(dialogue, NULL);
}

static void op_eof(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    bool inbound = number();
    dialogue_eof(dialogue, inbound, number());
    print_state(dialogue, NULL);
}

static void op_over(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    struct thread *thread = &world.threads[number()];
    dialogue_ended(dialogue, thread, number());
    print_state(dialogue, thread);
}

static void op_broken(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    struct thread *thread = &world.threads[number()];
    const char *type = word();
    struct bytes error = {(const u8 *)type, (u32)strlen(type)};
    bool reading = number();
    dialogue_broken(dialogue, thread, error, reading, number());
    print_state(dialogue, thread);
}

static void op_closed(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    u64 now = number();
    dialogue_closing(dialogue, now);
    dialogue_closed(dialogue, now);
    print_state(dialogue, NULL);
}

static void op_moved(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    u64 count = number();
    bool inbound = number();
    dialogue_moved(dialogue, count, inbound, number());
    print_state(dialogue, NULL);
}

static void op_received(void) {
    struct dialogue *dialogue = &world.dialogues[number()];
    struct thread *thread = &world.threads[number()];
    u64 now = number(), count = number();
    struct source source = cut_source();
    dialogue_received(dialogue, thread, &source, count, now);
    free_source(&source);
    print_state(dialogue, thread);
}

static s64 wire[MOST]; /* bytes that a plan would send */

static void print_plan(struct plan *plan) {
    struct desk *desk = plan->desk;
    printf("plan %d", plan->settled);
    for (u32 index = 0; desk && index < desk->edit_count; index++) {
        const struct edit *edit = &desk->edits[index];
        printf(" %lu %u ", (unsigned long)edit->at, edit->drop);
        print_hex(desk->text + edit->insert, edit->size);
    }
    printf(" wire ");
    const struct iovec *pieces = desk ? desk->pieces : plan->source.vectors;
    u32 count = desk ? lay_out(desk, &plan->source) : plan->source.count;
    wire[plan - world.plans] = 0;
    putchar('=');
    for (u32 index = 0; index < count; index++) {
        print_digits(pieces[index].iov_base, pieces[index].iov_len);
        wire[plan - world.plans] += (s64)pieces[index].iov_len;
    }
    putchar('\n');
}

static void op_plan(void) {
    u64 which = number();
    struct dialogue *dialogue = world.planned[which] = &world.dialogues[number()];
    struct thread *thread = &world.threads[number()];
    u64 now = number();
    struct source source = cut_source();
    struct plan *plan = &world.plans[which];
    dialogue_plan(dialogue, thread, &source, now, plan);
    print_plan(plan);
    print_state(dialogue, thread);
}

static void op_untouched(void) {
    u64 which = number();
    struct dialogue *dialogue = world.planned[which];
    dialogue_untouched(dialogue, &world.plans[which]);
    world.planned[which] = NULL;
    free_source(&world.plans[which].source);
    print_state(dialogue, NULL);
}

static void op_sent(void) {
    u64 which = number();
    struct dialogue *dialogue = world.planned[which];
    struct plan *plan = &world.plans[which];
    s64 wanted = strtoll(word(), NULL, 10), result = MIN(wanted, wire[which]);
    s64 told = dialogue_sent(dialogue, plan, result, number());
    if (told > (s64)plan->source.total)
        abort();
    world.planned[which] = NULL;
    free_source(&plan->source);
    printf("told %ld\n", (long)told);
    print_state(dialogue, plan->thread);
}

/* The parent of a group's threads has forked, and this is the child. */
static void op_forked(void) {
    struct group *group = &world.groups[number()];
    struct dialogue *dialogue = &world.dialogues[number()];
    group_forked(group);
    dialogue_forked(dialogue);
    print_state(dialogue, NULL);
}

/* So many things more are in the pools. */
static void op_room(void) { most_in_use = in_use + (long)number(); }

static void op_ended(void) { thread_forget_all(&world.threads[number()]); }

/* -- trace context by itself */

/* The head of a request, as the scanner tells it; false: it is none. */
static bool head_of(struct bytes raw, struct event *event) {
    struct scanner scanner;
    u64 at = 0;
    scanner_init(&scanner, false);
    bool told = scanner_next(&scanner, raw.at, raw.size, &at, event);
    scanner_give_up(&scanner);
    return told && event->kind == EVENT_HEAD;
}

static void print_context(const struct context *context) {
    print_hex(context->trace_id, 16);
    print_hex(context->span_id, 8);
    printf(" %u ", context->flags);
    print_hex(context->state ? context->state->text : NULL, context->state ? context->state->size : 0);
}

static void op_extract(void) {
    struct bytes raw = data();
    struct event event;
    struct inbound inbound;
    struct context span;
    if (!head_of(raw, &event)) {
        printf("no head\n");
        free((void *)raw.at);
        return;
    }
    extract(&world.propagation, &event.head, &inbound);
    printf("inbound %d %u %d %d ", inbound.has_parent, inbound.sampled, inbound.deferred, inbound.debug);
    print_hex(inbound.traceparent, inbound.traceparent_size);
    print_hex(inbound.forward ? inbound.forward->text : NULL, inbound.forward ? inbound.forward->size : 0);
    if (inbound.has_parent)
        print_context(&inbound.parent);
    make_span(&world.propagation, inbound.has_parent ? &inbound.parent : NULL, &inbound, &span);
    print_context(&span);
    putchar('\n');
    blob_release(span.state);
    inbound_release(&inbound);
    free((void *)raw.at);
}

/* What a call gets whose cause brought the one head, and that sends the other. */
static void op_lines(void) {
    struct bytes raw = data(), call = data();
    struct event event, sends;
    struct inbound inbound;
    struct context span, child;
    u8 *out = malloc(BUDGET);
    if (head_of(raw, &event) && head_of(call, &sends)) {
        extract(&world.propagation, &event.head, &inbound);
        make_span(&world.propagation, inbound.has_parent ? &inbound.parent : NULL, &inbound, &span);
        make_span(&world.propagation, &span, NULL, &child);
        u32 size = propagation_lines(&world.propagation, &child, span.span_id, &inbound, sends.head.present,
                                     sends.head.newline, out);
        printf("lines ");
        print_hex(out, size);
        size = propagation_lines(&world.propagation, &child, NULL, NULL, sends.head.present, sends.head.newline, out);
        print_hex(out, size);
        putchar('\n');
        blob_release(span.state);
        blob_release(child.state);
        inbound_release(&inbound);
    } else {
        printf("no head\n");
    }
    free(out);
    free((void *)raw.at);
    free((void *)call.at);
}

/* Edits of a call: the bytes on the wire, and what every result means. */
static void op_edits(void) {
    struct desk *desk = desk_take();
    u64 count = number(), wire = 0;
    desk->edit_count = desk->text_size = 0;
    desk->carries_rest = false;
    while (count--) {
        struct edit *edit = &desk->edits[desk->edit_count++];
        edit->at = number();
        edit->drop = (u32)number();
        struct bytes text = data();
        edit->insert = desk->text_size;
        edit->size = text.size;
        memcpy(desk->text + desk->text_size, text.at, text.size);
        desk->text_size += text.size;
        free((void *)text.at);
    }
    struct source source = cut_source();
    u32 pieces = lay_out(desk, &source);
    printf("wire =");
    for (u32 index = 0; index < pieces; index++) {
        print_digits(desk->pieces[index].iov_base, desk->pieces[index].iov_len);
        wire += desk->pieces[index].iov_len;
    }
    for (u64 result = 1; result <= wire; result++) {
        struct accepted accepted = translate(desk, result);
        printf(" %lu %ld ", (unsigned long)accepted.program, accepted.last ? (long)(accepted.last - desk->edits) : -1);
        if (accepted.has_rest) {
            printf("%d ", accepted.rest_replaces);
            print_hex(desk->text + accepted.rest_at, accepted.rest_size);
        }
    }
    putchar('\n');
    free_source(&source);
    desk_give(desk);
}

static void op_end(void) {
    for (u32 index = 0; index < MOST; index++)
        if (world.planned[index]) {
            dialogue_sent(world.planned[index], &world.plans[index], -11, 0);
            world.planned[index] = NULL;
            free_source(&world.plans[index].source);
        }
    world_end();
    world_begin();
    most_in_use = LONG_MAX;
    printf("end\n");
}

static const struct {
    const char *name;
    void (*run)(void);
} OPERATIONS[] = {
    {"configure", op_configure}, {"group", op_group},           {"thread", op_thread},     {"inherit", op_inherit},
    {"dialogue", op_dialogue},   {"connecting", op_connecting}, {"starts", op_starts},     {"eof", op_eof},
    {"moved", op_moved},         {"received", op_received},     {"plan", op_plan},         {"sent", op_sent},
    {"ended", op_ended},         {"untouched", op_untouched},   {"extract", op_extract},   {"lines", op_lines},
    {"edits", op_edits},         {"end", op_end},               {"forked", op_forked},     {"room", op_room},
    {"bound", op_bound},         {"says", op_says},             {"over", op_over},         {"broken", op_broken},
    {"closed", op_closed},
};

static void perform(const char *name) {
    if (!strcmp(name, "fail") || !strcmp(name, "give_up")) {
        op_fail(name[0] == 'g');
        return;
    }
    for (size_t index = 0; index < COUNT(OPERATIONS); index++)
        if (!strcmp(name, OPERATIONS[index].name)) {
            OPERATIONS[index].run();
            return;
        }
    abort();
}

int main(void) {
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    most_in_use = LONG_MAX;
    world_begin();
    while ((size = getline(&line, &room, stdin)) > 0) {
        line[size - 1] = 0;
        cursor = line;
        perform(word());
        fflush(NULL);
    }
    world_end();
    free(line);
    return 0;
}
