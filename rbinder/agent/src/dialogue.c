/* One connection's conversation: the connection itself, what is received, and responses either way (binder/dialogue.py).
 * What is sent is in plans.c. */
#include "parts.h"

#define LOWEST_ADDRESS 4096u /* no memory is mapped below: a program that passes NULL is told EFAULT, and not killed */

struct reading reading_of(struct scanner *scanner, const struct source *source, u64 total) {
    return (struct reading){
        .scanner = scanner,
        .vector = source->vectors,
        .end = source->vectors + source->count,
        .total = MIN(total, source->total),
    };
}

bool reading_next(struct reading *reading, struct event *event) {
    for (;;) {
        if (reading->data) {
            if (scanner_next(reading->scanner, reading->data, reading->size, &reading->at, event))
                return true;
            reading->offset += reading->size;
            reading->data = NULL;
        }
        while (reading->vector < reading->end && !reading->vector->iov_len)
            reading->vector++;
        if (reading->offset >= reading->total || reading->vector == reading->end || scanner_opaque(reading->scanner))
            return false;
        if (UNLIKELY((uintptr_t)reading->vector->iov_base < LOWEST_ADDRESS)) {
            scanner_give_up(reading->scanner);
            return false;
        }
        reading->data = reading->vector->iov_base;
        reading->size = MIN(reading->vector->iov_len, reading->total - reading->offset);
        reading->at = 0;
        reading->vector++;
    }
}

/* -- records */

static bool recorded(const struct dialogue *dialogue, const struct turn *turn) {
    return turn_recorded(turn) && dialogue->side != UNKNOWN_SIDE;
}

void message_end(struct dialogue *dialogue, const struct turn *turn, bool is_response, u64 body_size, u64 now) {
    if (recorded(dialogue, turn))
        report_end(dialogue, turn, is_response, body_size, now);
}

/* -- turns */

/* Takes over the caller's reference. */
void add_turn(struct dialogue *dialogue, struct turn *turn, const struct head *head, u64 now) {
    turn->next = NULL;
    if (dialogue->newest)
        dialogue->newest->next = turn;
    else
        dialogue->turns = turn;
    dialogue->newest = turn;
    dialogue->turn_count++;
    scanner_expect(&dialogue->responses, head->method);
    if (recorded(dialogue, turn))
        report_request(dialogue, turn, head, now);
}

/* The oldest turn, off the list: it is over. */
static void turn_over(struct dialogue *dialogue) {
    struct turn *turn = dialogue->turns;
    dialogue->turns = turn->next;
    if (!dialogue->turns)
        dialogue->newest = NULL;
    dialogue->turn_count--;
    if (turn->request) {
        if (dialogue->side == SERVER)
            request_finish(turn->request, dialogue->group);
        else
            request_waits(turn->request, -1);
    }
    turn_release(turn);
}

/* -- the connection itself */

/* Plans look at what is sent: of a CLIENT no plan is made of its responses. */
static void responses_move(struct dialogue *dialogue) {
    dialogue->generation += dialogue->side == SERVER;
}

void dialogue_init(struct dialogue *dialogue, u64 identity, struct group *group, const struct propagation *propagation,
                   bool known_start) {
    memset(dialogue, 0, sizeof *dialogue);
    dialogue->identity = identity;
    dialogue->group = group;
    dialogue->propagation = propagation;
    dialogue->known_start = known_start;
    dialogue->fresh = true;
    dialogue->task = TASK_UNKNOWN;
    scanner_init(&dialogue->requests, false);
    scanner_init(&dialogue->responses, true);
}

void untag(struct dialogue *dialogue) {
    if (!dialogue->tag)
        return;
    request_waits(dialogue->tag, -1);
    request_release(dialogue->tag);
    dialogue->tag = NULL;
}

void dialogue_connecting(struct dialogue *dialogue, struct thread *thread) {
    untag(dialogue);
    if (dialogue->connector != thread) /* else it asks again how it went */
        thread_acts(thread);
    dialogue->connector = thread;
    dialogue->tag = thread->group->migrates ? NULL : request_share(thread_cause(thread, 0, 0));
    if (dialogue->tag)
        request_waits(dialogue->tag, 1);
}

void rests(struct dialogue *dialogue, struct group *group) {
    if (dialogue->resting)
        group_spare(dialogue->resting, dialogue->peer, -1);
    dialogue->resting = group && group_spare(group, dialogue->peer, 1) ? group : NULL;
}

void let_go(struct dialogue *dialogue) {
    untag(dialogue);
    dialogue->opaque = true;
    if (dialogue->sending) /* its heads may lie in what is held */
        return;
    scanner_give_up(&dialogue->requests);
    scanner_give_up(&dialogue->responses);
}

void dialogue_starts(struct dialogue *dialogue, u64 now) {
    if (dialogue->side == UNKNOWN_SIDE)
        dialogue->known_start = true;
    else
        dialogue_give_up(dialogue, OTHER_ERROR, now);
}

void dialogue_give_up(struct dialogue *dialogue, struct bytes error_type, u64 now) {
    dialogue_fail(dialogue, error_type, now);
    let_go(dialogue);
}

void dialogue_fail(struct dialogue *dialogue, struct bytes error_type, u64 now) {
    untag(dialogue);
    rests(dialogue, NULL);
    while (dialogue->turns) {
        if (recorded(dialogue, dialogue->turns))
            report_failure(dialogue, dialogue->turns, error_type, now);
        turn_over(dialogue);
    }
}

static void desert(struct dialogue *dialogue, struct thread *thread) {
    dialogue->deserted = dialogue->side == SERVER;
    if (dialogue->deserted && thread && dialogue->turns && dialogue->turns->request && scanner_idle(&dialogue->requests))
        thread_watches(thread, dialogue->turns->request);
}

static void lose_requests(struct dialogue *dialogue, u64 now) {
    for (struct turn *turn = dialogue->deserted ? dialogue->turns : NULL; turn; turn = turn->next)
        if (turn->request)
            request_lost(turn->request, turn->request->home ? turn->request->home->group : dialogue->group, now);
}

void dialogue_ended(struct dialogue *dialogue, struct thread *thread, u64 now) {
    if (LIKELY(thread != NULL))
        thread_listens(thread);
    dialogue_eof(dialogue, true, now);
    if (dialogue->side == CLIENT && dialogue_unanswered(dialogue))
        dialogue_fail(dialogue, dialogue_answering(dialogue) ? BYTES("incomplete_response") : BYTES("connection_closed"), now);
    desert(dialogue, thread);
}

void dialogue_broken(struct dialogue *dialogue, struct thread *thread, struct bytes error_type, bool reading, u64 now) {
    if (reading) {
        if (LIKELY(thread != NULL))
            thread_listens(thread);
        desert(dialogue, thread);
        lose_requests(dialogue, now);
    }
    dialogue_fail(dialogue, error_type, now);
}

void dialogue_closing(struct dialogue *dialogue, u64 now) {
    if (dialogue->side == SERVER)
        return;
    if (dialogue->tag)
        request_dropped(dialogue->tag, now);
    for (struct turn *turn = dialogue->turns; turn; turn = turn->next)
        if (turn->request)
            request_dropped(turn->request, now);
}

void dialogue_closed(struct dialogue *dialogue, u64 now) {
    if (!dialogue->opaque && dialogue->side == SERVER)
        dialogue_eof(dialogue, false, now);
    lose_requests(dialogue, now);
    bool gave_up = dialogue->side == CLIENT && !dialogue_answering(dialogue);
    dialogue_fail(dialogue, gave_up ? BYTES("timeout") : BYTES("connection_closed"), now);
}

void dialogue_eof(struct dialogue *dialogue, bool inbound, u64 now) {
    struct event event;
    if (dialogue->side == UNKNOWN_SIDE || dialogue->opaque || inbound != (dialogue->side == CLIENT))
        return;
    responses_move(dialogue);
    if (scanner_eof(&dialogue->responses, &event))
        response_event(dialogue, &event, now);
}

void dialogue_release(struct dialogue *dialogue) {
    untag(dialogue);
    rests(dialogue, NULL);
    while (dialogue->turns)
        turn_over(dialogue);
    turn_release(dialogue->pending);
    dialogue->pending = NULL;
    if (dialogue->rest.desk)
        desk_give(dialogue->rest.desk);
    dialogue->rest = (struct rest){0};
    dialogue->sending = NULL;
    dialogue->released = true;
    dialogue->generation++;
    let_go(dialogue);
}

void dialogue_forked(struct dialogue *dialogue) {
    dialogue->sending = NULL;
    dialogue->resting = NULL; /* the child's group counts anew */
    dialogue->generation++;
    if (dialogue->rest.size && !dialogue->rest.desk) { /* the parent is about to send it */
        dialogue->rest.size = 0;
        let_go(dialogue);
    }
}

/* -- receiving */

static void incoming(struct dialogue *dialogue, struct thread *thread, const struct head *head, u64 now) {
    struct turn *turn = turn_incoming(dialogue, thread, head, dialogue->begun);
    if (!turn) {
        dialogue_give_up(dialogue, OTHER_ERROR, now);
        return;
    }
    dialogue->begun = now;
    dialogue->generation++;
    dialogue->seen++;
    add_turn(dialogue, turn, head, now);
}

static void read_requests(struct dialogue *dialogue, struct thread *thread, const struct source *source, u64 count,
                          u64 now) {
    struct event event;
    if (scanner_idle(&dialogue->requests))
        dialogue->begun = now;
    else if (dialogue->turns && dialogue->newest->request)
        thread_touch(thread, dialogue->newest->request);
    struct reading reading = reading_of(&dialogue->requests, source, count);
    while (!dialogue->opaque && reading_next(&reading, &event)) {
        if (event.kind == EVENT_HEAD)
            incoming(dialogue, thread, &event.head, now);
        else if (event.kind == EVENT_END && dialogue->turns && event.body_size)
            message_end(dialogue, dialogue->newest, false, event.body_size, now);
    }
    if (scanner_opaque(&dialogue->requests) && !dialogue->turns)
        let_go(dialogue);
}

void dialogue_received(struct dialogue *dialogue, struct thread *thread, const struct source *source, u64 count, u64 now) {
    thread_listens(thread);
    if (dialogue->sending && dialogue->side != SERVER)
        answered_early(dialogue, now);
    if (dialogue->opaque)
        return;
    if (dialogue->side == UNKNOWN_SIDE)
        dialogue->side = SERVER;
    if (dialogue->side == SERVER) {
        read_requests(dialogue, thread, source, count, now);
        return;
    }
    if (dialogue->turns)
        thread_resume(thread, dialogue->turns->request);
    read_responses(dialogue, source, count, now);
    if (!dialogue->opaque && !dialogue->turns)
        rests(dialogue, thread->group);
}

void dialogue_moved(struct dialogue *dialogue, u64 count, bool inbound, u64 now) {
    if (dialogue->opaque || !count)
        return;
    bool requests = inbound == (dialogue->side == SERVER);
    struct scanner *scanner = requests ? &dialogue->requests : &dialogue->responses;
    struct event event;
    if (requests)
        dialogue->generation++;
    else
        responses_move(dialogue);
    if (dialogue->side == UNKNOWN_SIDE || scanner_skippable(scanner) < count)
        dialogue_give_up(dialogue, OTHER_ERROR, now);
    else if (scanner_skip(scanner, count, &event)) {
        if (!requests)
            response_event(dialogue, &event, now);
        else if (event.kind == EVENT_END && dialogue->turns)
            message_end(dialogue, dialogue->newest, false, event.body_size, now);
    }
}

/* -- responses, either way */

static void response_ended(struct dialogue *dialogue, struct turn *turn, u64 body_size, u64 now) {
    message_end(dialogue, turn, true, body_size, now);
    turn_over(dialogue);
}

void response_end(struct dialogue *dialogue, u64 body_size, u64 now) {
    if (dialogue->turns)
        response_ended(dialogue, dialogue->turns, body_size, now);
}

static void response_head(struct dialogue *dialogue, struct turn *turn, const struct head *head, u64 now) {
    turn->responded = true;
    if (scanner_opaque(&dialogue->requests) && dialogue->turn_count == 1 && (head->status < 200 || head->status > 299))
        scanner_resume(&dialogue->requests); /* a CONNECT that was refused: requests go on */
    if (recorded(dialogue, turn))
        report_response(dialogue, turn, head, now);
}

bool response_event(struct dialogue *dialogue, const struct event *event, u64 now) {
    struct turn *turn = dialogue->turns;
    if (event->kind == EVENT_OPAQUE) { /* another protocol from here, or nonsense */
        scanner_give_up(&dialogue->requests);
        dialogue->opaque = true;
        dialogue->generation++; /* heads that were held are gone */
        return true;
    }
    if (!turn)
        return false;
    if (event->kind == EVENT_END)
        response_ended(dialogue, turn, event->body_size, now);
    else if (!event->head.interim)
        response_head(dialogue, turn, &event->head, now);
    return true;
}

void read_responses(struct dialogue *dialogue, const struct source *source, u64 count, u64 now) {
    struct reading reading = reading_of(&dialogue->responses, source, count);
    struct event event;
    bool wanted = true;
    responses_move(dialogue);
    while (reading_next(&reading, &event))
        wanted = wanted && response_event(dialogue, &event, now);
    if (scanner_opaque(&dialogue->responses))
        dialogue_give_up(dialogue, OTHER_ERROR, now);
}
