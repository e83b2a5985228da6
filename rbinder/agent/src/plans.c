/* A call that sends: what its bytes mean and what is to be done with them before, and what its result means after
 * (binder/dialogue.py, sending; plans.py). */
#include <errno.h>

#include "parts.h"

/* -- the turns of a plan, in the order of its heads */

static struct turn *first_turn(const struct plan *plan) {
    return plan->continued ? plan->continued : plan->turns;
}

static struct turn *turn_after(const struct plan *plan, const struct turn *turn) {
    return turn == plan->continued ? plan->turns : turn->next_planned;
}

static void drop_trial(struct dialogue *dialogue, struct plan *plan) {
    if (plan->trial)
        scanner_abandon_trial(&plan->scanned, dialogue ? (plan->responses ? &dialogue->responses : &dialogue->requests) : NULL);
    plan->trial = false;
}

static void drop_new_turns(struct plan *plan) {
    while (plan->turns) {
        struct turn *turn = plan->turns;
        plan->turns = turn->next_planned;
        turn_release(turn);
    }
    plan->last_turn = NULL;
    plan->head_count = 0;
}

static void drop_turns(struct plan *plan) {
    turn_release(plan->continued);
    plan->continued = NULL;
    drop_new_turns(plan);
}

/* Of a call that sent nothing: a rest goes back to the dialogue as it was. */
static void return_desk(struct dialogue *dialogue, struct plan *plan) {
    struct desk *desk = plan->desk;
    plan->desk = NULL;
    if (!desk)
        return;
    if (dialogue && desk->carries_rest && dialogue->rest.size && !dialogue->rest.desk)
        dialogue->rest.desk = desk;
    else
        desk_give(desk);
}

static void end_plan(struct dialogue *dialogue, struct plan *plan) {
    drop_trial(dialogue, plan);
    drop_turns(plan);
    return_desk(dialogue, plan);
}

void plan_drop(struct plan *plan) {
    end_plan(NULL, plan);
}

/* -- what the bytes mean */

/* What is kept of the events: enough for the one head, and the one end behind it, that most calls have. The first head is
 * read to where it is kept (event_room). */
static void remember(struct plan *plan, const struct event *event) {
    if (event->kind == EVENT_HEAD) {
        plan->complex |= plan->head_count || plan->ended;
        plan->head_count++;
    } else if (event->kind == EVENT_END) {
        plan->complex |= plan->ended;
        plan->ended = true;
        plan->body_size = event->body_size;
    }
}

static struct event *event_room(struct plan *plan, struct event *other) {
    return plan->head_count ? other : &plan->first_head;
}

static void begin_plan(struct dialogue *dialogue, struct thread *thread, const struct source *source, u64 now,
                       struct plan *plan) {
    plan->source = *source;
    plan->thread = thread;
    plan->started = now;
    plan->generation = ++dialogue->generation;
    plan->continued = plan->turns = plan->last_turn = NULL;
    plan->head_count = 0;
    plan->body_size = 0;
    plan->ended = plan->complex = plan->responses = plan->trial = plan->settled = false;
    plan->desk = NULL;
}

/* -- planning requests */

/* On an event loop a connection may be handed to another request: only if nobody else can wait for one. */
static bool agrees(const struct thread *thread, const struct request *tag) {
    return !thread->interleaves || (!group_doubts(thread->group, tag) && thread_excludes_others(thread, tag));
}

/* Rule 0: the runtime's word. Rule 2: the first request of a connection belongs to what connected it; later ones to the
 * thread's work. */
static struct request *cause_of(struct dialogue *dialogue, struct thread *thread, u64 errand, bool first) {
    struct request *tag = dialogue->tag;
    if (UNLIKELY(dialogue->task != TASK_UNKNOWN) && first)
        return thread_named_request(thread, dialogue->task);
    if (!thread_has_word(thread) && !thread->group->migrates && dialogue->fresh && first && dialogue->connector) {
        if (tag)
            return request_open(tag) && agrees(thread, tag) ? tag : NULL;
        if (thread->interleaves && dialogue->connector == thread)
            return NULL;
    }
    return thread_cause(thread, errand, dialogue->peer);
}

/* What is left of an insertion comes first. A replacement never outgrows what it replaces (Edit.fitting). */
RARE static void plan_rest(struct dialogue *dialogue, struct plan *plan) {
    struct rest *rest = &dialogue->rest;
    u32 size = rest->replaces ? (u32)MIN(rest->size, plan->source.total) : rest->size;
    struct desk *desk = plan->desk = rest->desk;
    rest->desk = NULL;
    desk->carries_rest = true;
    desk->text_size = rest->size;
    desk->edit_count = 1;
    desk->edits[0] = (struct edit){0, 0, size, rest->replaces ? size : 0, plan->continued};
}

/* False: the pools are empty. */
static bool plan_call(struct dialogue *dialogue, struct plan *plan, const struct event *event, u64 offset) {
    if (plan->head_count == 1 && plan->continued)
        return true;
    const struct head *head = &event->head;
    u64 errand = thread_asks_errand(plan->thread) ? errand_of(dialogue->peer, head) : 0;
    struct request *cause = cause_of(dialogue, plan->thread, errand, plan->head_count == 1);
    struct turn *turn = turn_outgoing(dialogue, plan, cause, head, offset + event->insert_at);
    if (!turn)
        return false;
    turn->next_planned = NULL;
    *(plan->last_turn ? &plan->last_turn->next_planned : &plan->turns) = turn;
    plan->last_turn = turn;
    return true;
}

static bool plan_calls(struct dialogue *dialogue, struct plan *plan) {
    struct reading reading = reading_of(&plan->scanned, &plan->source, plan->source.total);
    struct event other, *event;
    while (reading_next(&reading, event = event_room(plan, &other))) {
        remember(plan, event);
        if (event->kind == EVENT_HEAD && !plan_call(dialogue, plan, event, reading.offset))
            return false;
    }
    return true;
}

/* Nothing can be remembered of the call: only what must be sent is. */
RARE static void plan_nothing(struct dialogue *dialogue, struct plan *plan) {
    drop_trial(dialogue, plan);
    drop_new_turns(plan);
    if (plan->desk)
        plan->desk->edit_count = plan->desk->carries_rest;
    dialogue_give_up(dialogue, OTHER_ERROR, plan->started);
}

static void plan_requests(struct dialogue *dialogue, struct plan *plan) {
    struct rest *rest = &dialogue->rest;
    if (UNLIKELY(rest->size && !rest->desk)) { /* another call is about to send what comes first: no order to rely on */
        if (!dialogue->sending) /* or was, and never returned */
            rest->size = 0;
        dialogue_give_up(dialogue, OTHER_ERROR, plan->started);
        plan->settled = true;
        return;
    }
    plan->continued = turn_share(dialogue->pending);
    if (rest->size)
        plan_rest(dialogue, plan);
    if (!dialogue->opaque) {
        scanner_try(&plan->scanned, &dialogue->requests);
        plan->trial = true;
        if (!plan_calls(dialogue, plan))
            plan_nothing(dialogue, plan);
    }
    bool nonsense = plan->trial && scanner_opaque(&plan->scanned) && dialogue->side == UNKNOWN_SIDE && !plan->head_count;
    if (!rest->size && (dialogue->opaque || nonsense)) {
        end_plan(dialogue, plan);
        let_go(dialogue);
        plan->settled = true;
        return;
    }
    if (plan->desk && !plan->desk->edit_count)
        return_desk(dialogue, plan);
    dialogue->sending = plan;
}

/* -- planning responses */

static void plan_response(struct dialogue *dialogue, struct plan *plan) {
    u64 total = plan->source.total, last = ~0ull;
    plan->responses = true;
    if (!scanner_idle(&dialogue->responses) || dialogue->turn_count != 1 || total > OPTIMISTIC)
        return; /* read when its result is known */
    scanner_try(&plan->scanned, &dialogue->responses);
    plan->trial = true;
    struct reading reading = reading_of(&plan->scanned, &plan->source, total);
    struct event other, *event;
    while (reading_next(&reading, event = event_room(plan, &other))) {
        remember(plan, event);
        last = event->kind == EVENT_END ? reading.offset + event->at : ~0ull;
    }
    plan->settled = last == total;
    if (!plan->settled)
        drop_trial(dialogue, plan);
}

void dialogue_plan(struct dialogue *dialogue, struct thread *thread, const struct source *source, u64 now,
                   struct plan *plan) {
    begin_plan(dialogue, thread, source, now, plan);
    if (dialogue->side == SERVER)
        plan_response(dialogue, plan);
    else
        plan_requests(dialogue, plan);
}

void dialogue_untouched(struct dialogue *dialogue, struct plan *plan) {
    dialogue->sending = NULL;
    dialogue_give_up(dialogue, OTHER_ERROR, plan->started);
    end_plan(dialogue, plan);
}

/* -- a call's result: requests */

static void called(struct dialogue *dialogue, struct thread *thread, struct turn *turn, const struct head *head, u64 now) {
    if (turn->called)
        return;
    turn->called = true;
    if (!dialogue->fresh || dialogue->connector != thread) /* else it was connected for */
        thread_acts(thread);
    untag(dialogue);
    rests(dialogue, NULL);
    dialogue->fresh = false;
    dialogue->task = TASK_UNKNOWN;
    thread_called(thread, thread_keeps_errand(thread) ? errand_of(dialogue->peer, head) : 0);
    if (turn->request)
        request_waits(turn->request, 1);
    add_turn(dialogue, turn_share(turn), head, now);
}

static void head_sent(struct dialogue *dialogue, struct thread *thread, struct turn *turn, const struct head *head,
                      u64 now) {
    called(dialogue, thread, turn, head, now);
    if (turn == dialogue->pending) {
        dialogue->pending = NULL;
        turn_release(turn);
    }
}

static void request_end_sent(struct dialogue *dialogue, u64 body_size, u64 now) {
    if (dialogue->turns && body_size)
        message_end(dialogue, dialogue->newest, false, body_size, now);
}

/* Whether what was remembered still holds for a call of which all was sent. */
static bool as_planned(const struct dialogue *dialogue, const struct plan *plan, u64 count) {
    return plan->trial && !plan->complex && count == plan->source.total && plan->generation == dialogue->generation;
}

RARE static void read_sent_requests(struct dialogue *dialogue, struct plan *plan, u64 count, u64 now) {
    struct reading reading = reading_of(&dialogue->requests, &plan->source, count);
    struct turn *turn = plan->head_count ? first_turn(plan) : NULL;
    struct event event;
    while (reading_next(&reading, &event)) {
        if (event.kind == EVENT_HEAD && turn) {
            struct turn *next = turn_after(plan, turn);
            head_sent(dialogue, plan->thread, turn, &event.head, now);
            turn = next;
        } else if (event.kind == EVENT_END) {
            request_end_sent(dialogue, event.body_size, now);
        }
    }
}

static void requests_sent(struct dialogue *dialogue, struct plan *plan, u64 count, u64 now) {
    if (LIKELY(as_planned(dialogue, plan, count))) {
        if (plan->head_count)
            head_sent(dialogue, plan->thread, first_turn(plan), &plan->first_head.head, now);
        if (plan->ended)
            request_end_sent(dialogue, plan->body_size, now);
        scanner_commit(&dialogue->requests, &plan->scanned);
        plan->trial = false;
    } else {
        drop_trial(dialogue, plan);
        read_sent_requests(dialogue, plan, count, now);
    }
    dialogue->generation++;
    if (scanner_opaque(&dialogue->requests) && !dialogue->turns)
        let_go(dialogue);
}

/* The plan's desk stays with what is left of its last edit, or is given back. */
static void keep_rest(struct dialogue *dialogue, struct plan *plan, const struct accepted *taken) {
    struct desk *desk = plan->desk;
    struct rest *rest = &dialogue->rest;
    u32 at = taken->rest_at, size = taken->has_rest ? taken->rest_size : 0;
    bool replaces = taken->rest_replaces;
    if (desk->carries_rest && rest->replaces && rest->size > plan->source.total) {
        at = (u32)taken->program; /* the call had no room for all that is replaced */
        size = rest->size - at;
        replaces = true;
    }
    plan->desk = NULL;
    if (taken->last && taken->last->owner != dialogue->pending && !dialogue->released) {
        turn_release(dialogue->pending);
        dialogue->pending = turn_share(taken->last->owner);
    }
    if (!size || dialogue->released) {
        desk_give(desk);
        desk = NULL;
        size = 0;
    } else {
        memmove(desk->text, desk->text + at, size);
    }
    if (rest->desk) /* of another call's, that was sent at the same time */
        desk_give(rest->desk);
    *rest = (struct rest){desk, size, replaces};
}

/* Whether all of a call was sent that is one head with its lines, so that nothing is left of them. */
static bool is_all(const struct dialogue *dialogue, const struct plan *plan, u64 result) {
    const struct desk *desk = plan->desk;
    return LIKELY(desk->edit_count == 1) && LIKELY(result == plan->source.total + desk->edits[0].size) &&
           !desk->edits[0].drop && !desk->carries_rest && !dialogue->pending && !dialogue->rest.desk &&
           LIKELY(as_planned(dialogue, plan, plan->source.total));
}

static s64 result_of_requests(struct dialogue *dialogue, struct plan *plan, s64 result, u64 now) {
    struct accepted taken = {.program = (u64)result};
    if (dialogue->side == UNKNOWN_SIDE)
        dialogue->side = CLIENT;
    if (plan->desk && LIKELY(is_all(dialogue, plan, (u64)result))) {
        taken.program = plan->source.total;
        return_desk(dialogue, plan);
    } else if (plan->desk) {
        taken = translate(plan->desk, (u64)result);
        keep_rest(dialogue, plan, &taken);
    }
    if (!dialogue->opaque)
        requests_sent(dialogue, plan, taken.program, now);
    /* Some of ours went out and none of the program's: 0 would mean a closed connection. */
    return taken.program ? (s64)taken.program : -EAGAIN;
}

RARE void answered_early(struct dialogue *dialogue, u64 now) {
    struct plan *plan = dialogue->sending;
    struct turn *turn = plan->head_count ? first_turn(plan) : NULL;
    dialogue->side = CLIENT;
    if (turn && !plan->complex && plan->generation == dialogue->generation) {
        called(dialogue, plan->thread, turn, &plan->first_head.head, now);
        return;
    }
    struct scanner trial;
    scanner_try(&trial, &dialogue->requests);
    struct reading reading = reading_of(&trial, &plan->source, plan->source.total);
    struct event event;
    while (turn && reading_next(&reading, &event)) {
        if (event.kind != EVENT_HEAD)
            continue;
        struct turn *next = turn_after(plan, turn);
        called(dialogue, plan->thread, turn, &event.head, now);
        turn = next;
    }
    scanner_abandon_trial(&trial, &dialogue->requests);
}

/* -- a call's result: responses */

static void responses_sent(struct dialogue *dialogue, struct plan *plan, s64 result, u64 now) {
    if (result < 0 || dialogue->opaque)
        return;
    if (!as_planned(dialogue, plan, (u64)result)) {
        drop_trial(dialogue, plan);
        read_responses(dialogue, &plan->source, (u64)result, now);
        return;
    }
    if (!plan->head_count || response_event(dialogue, &plan->first_head, now))
        response_end(dialogue, plan->body_size, now);
    scanner_commit(&dialogue->responses, &plan->scanned);
    plan->trial = false;
    dialogue->generation++;
    if (scanner_opaque(&dialogue->responses))
        dialogue_give_up(dialogue, OTHER_ERROR, now);
}

s64 dialogue_sent(struct dialogue *dialogue, struct plan *plan, s64 result, u64 now) {
    if (plan->responses) {
        responses_sent(dialogue, plan, result, now);
    } else if (!plan->settled) {
        dialogue->sending = NULL;
        if (result > 0)
            result = result_of_requests(dialogue, plan, result, now);
        if (dialogue->opaque) /* what was held for the call is of no use any more */
            let_go(dialogue);
    }
    end_plan(dialogue, plan);
    return result;
}
