/* Lets report.c tell of turns that stdin describes, and writes the records it has put to stdout.
 *
 * A command is a byte: q (request), s (response), e (end), f (failure), each followed by a fixed part and two counted
 * texts (u32 length each): the tracestate and the head, or the error type and nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "ring.h"

struct __attribute__((packed)) order {
    u8 what, side, has_parent, flags, is_response, has_state;
    u8 trace_id[16], span_id[8], parent_id[8];
    u64 identity, started, now, body_size;
    u32 pid, tid;
    u32 state_size, head_size;
};

static u32 announced;

void announce(const struct dialogue *dialogue, u64 now) {
    (void)dialogue, (void)now;
    announced++;
}

u8 *held_take(void) { return NULL; }
void held_give(u8 *held) { (void)held; }

static void must_read(void *to, size_t size) {
    if (size && fread(to, size, 1, stdin) != 1)
        exit(3);
}

static void tell(const struct order *order, struct blob *state, struct bytes text) {
    struct dialogue dialogue = {.identity = order->identity, .side = order->side};
    struct turn turn = {.started = order->started, .has_span = true, .has_parent = order->has_parent};
    struct head head = {.raw = text};
    memcpy(turn.span.trace_id, order->trace_id, sizeof order->trace_id);
    memcpy(turn.span.span_id, order->span_id, sizeof order->span_id);
    memcpy(turn.parent_id, order->parent_id, sizeof order->parent_id);
    turn.span.flags = order->flags;
    turn.span.state = order->has_state ? state : NULL;
    reporter.pid = order->pid;
    reporter.tid = order->tid;
    if (order->what == 'q')
        report_request(&dialogue, &turn, &head, order->now);
    else if (order->what == 's')
        report_response(&dialogue, &turn, &head, order->now);
    else if (order->what == 'e')
        report_end(&dialogue, &turn, order->is_response, order->body_size, order->now);
    else
        report_failure(&dialogue, &turn, text, order->now);
}

int main(void) {
    static u8 out[1 << 19];
    u32 size = SHARED_HEADER + (1u << 20), requests = 0;
    reporter.shared = calloc(1, size);
    reporter.shared->size = size;
    reporter.shared->capacity = 1u << 20;
    struct reader reader = {.shared = reporter.shared};
    struct order order;
    while (fread(&order, sizeof order, 1, stdin) == 1) {
        struct blob *state = malloc(sizeof *state + order.state_size);
        u8 *text = malloc(order.head_size + 1u);
        *state = (struct blob){1, order.state_size, order.state_size};
        must_read(state->text, order.state_size);
        must_read(text, order.head_size);
        tell(&order, state, (struct bytes){text, order.head_size});
        requests += order.what == 'q';
        long count = reader_drain(&reader, out, sizeof out, 1, 1);
        fwrite(out, (size_t)count, 1, stdout);
        free(state), free(text);
    }
    return announced != requests;
}
