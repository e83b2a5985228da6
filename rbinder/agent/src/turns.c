/* Decides a request's span and what is inserted into it (binder/binder.py). */
#include "parts.h"

struct turn *turn_share(struct turn *turn) {
    if (turn)
        turn->references++;
    return turn;
}

void turn_release(struct turn *turn) {
    if (!turn || --turn->references)
        return;
    request_release(turn->request);
    blob_release(turn->span.state);
    turn_give(turn);
}

static struct turn *new_turn(struct request *request, u64 started) {
    struct turn *turn = turn_take();
    if (!turn)
        return NULL;
    turn->next = turn->next_planned = NULL; /* one by one: of a whole struct compilers make a slow instruction */
    turn->references = 1;
    turn->span.flags = 0;
    turn->span.state = NULL;
    turn->request = request_share(request);
    turn->started = started;
    turn->has_span = turn->has_parent = turn->called = turn->responded = turn->named = false;
    memset(turn->parent_id, 0, sizeof turn->parent_id);
    return turn;
}

static void set_parent(struct turn *turn, const struct context *parent) {
    turn->has_span = true;
    turn->has_parent = parent != NULL;
    if (parent)
        __builtin_memcpy(turn->parent_id, parent->span_id, sizeof turn->parent_id);
}

/* -- incoming requests */

static struct request *new_request(const struct dialogue *dialogue, const struct head *head, u64 started) {
    struct request *request = request_take();
    if (!request)
        return NULL;
    extract(dialogue->propagation, head, &request->inbound);
    const struct context *parent = request->inbound.has_parent ? &request->inbound.parent : NULL;
    make_span(dialogue->propagation, parent, &request->inbound, &request->span);
    request->connection = dialogue->identity;
    request->references = 1;
    request->waiting = 0;
    request->began = started;
    request->dropped_at = NEVER_DROPPED;
    request->lost_in = NULL;
    request->open = true;
    request->foreign = request->grouped = false;
    request->home = NULL;
    return request;
}

struct turn *turn_incoming(const struct dialogue *dialogue, struct thread *thread, const struct head *head, u64 started) {
    struct request *request = new_request(dialogue, head, started);
    struct turn *turn = request ? new_turn(request, started) : NULL;
    if (turn) {
        turn->span = request->span;
        blob_share(turn->span.state);
        set_parent(turn, request->inbound.has_parent ? &request->inbound.parent : NULL);
        thread_begin(thread, request);
    }
    request_release(request); /* the turn and the group hold it */
    return turn;
}

/* -- what is inserted */

static struct desk *desk_of(struct plan *plan) {
    if (!plan->desk) {
        plan->desk = desk_take();
        if (plan->desk) {
            plan->desk->edit_count = plan->desk->text_size = 0;
            plan->desk->carries_rest = false;
        }
    }
    return plan->desk;
}

/* Adds an edit behind the others, its text at the end of the desk's, if there is room for it (Plan.insert). */
static void insert(struct desk *desk, struct turn *owner, u64 at, u32 size, bool replaces) {
    const struct edit *last = desk->edit_count ? &desk->edits[desk->edit_count - 1] : NULL;
    if (desk->edit_count == MOST_EDITS || desk->text_size + size > MOST_INSERTED || (last && at < last->at + last->drop))
        return;
    desk->edits[desk->edit_count++] = (struct edit){at, desk->text_size, size, replaces ? size : 0, owner};
    desk->text_size += size;
}

/* -- outgoing requests */

/* The only open request that brought exactly this traceparent, or NULL; a forked process's cause isn't its own. */
static struct request *owner_of(struct bytes traceparent, const struct group *group, struct request *cause) {
    struct request *owner = NULL, *request = cause && !cause->grouped ? cause : group->requests;
    while (request) {
        const struct inbound *inbound = &request->inbound;
        if (equal((struct bytes){inbound->traceparent, inbound->traceparent_size}, traceparent)) {
            if (owner)
                return NULL;
            owner = request;
        }
        request = request == cause && !cause->grouped ? group->requests : request->next_of_group;
    }
    return owner && owner->inbound.has_parent ? owner : NULL;
}

/* How far before its blank line a head's byte at `offset` is. */
static u64 before_blank(const struct head *head, u32 offset) {
    u32 size = head->raw.size;
    const u8 *end = head->raw.at + size;
    bool crlf = size > 2 && end[-2] == '\r' && end[-3] == '\n';
    return size - (crlf ? 2 : 1) - offset;
}

/* The program sends a traceparent itself: the incoming one verbatim, or one an SDK in it has made. */
static struct turn *forwarded(const struct dialogue *dialogue, struct plan *plan, struct request *cause,
                              const struct head *head, u64 blank) {
    struct bytes value;
    u32 offset;
    struct turn *turn = new_turn(cause, plan->started);
    if (!turn || head->truncated || !find_traceparent(head, &value, &offset) || !value.size)
        return turn;
    struct request *owner = owner_of(value, plan->thread->group, cause);
    if (!owner)
        return turn;
    make_span(dialogue->propagation, &owner->span, NULL, &turn->span);
    u64 before = before_blank(head, offset);
    if (before > blank) /* its beginning has been sent */
        return turn;
    set_parent(turn, &owner->span);
    request_release(turn->request);
    turn->request = request_share(owner);
    struct desk *desk = dialogue->known_start ? desk_of(plan) : NULL;
    if (desk) {
        write_hex(desk->text + desk->text_size, turn->span.span_id, sizeof turn->span.span_id);
        insert(desk, turn, blank - before + 36, 16, true);
    }
    return turn;
}

struct turn *turn_outgoing(const struct dialogue *dialogue, struct plan *plan, struct request *cause,
                           const struct head *head, u64 blank) {
    const struct propagation *propagation = dialogue->propagation;
    if (head->present & NAME_TRACEPARENT)
        return forwarded(dialogue, plan, cause, head, blank);
    struct turn *turn = new_turn(cause, plan->started);
    if (!turn)
        return NULL;
    const struct context *parent = cause ? &cause->span : NULL;
    make_span(propagation, parent, NULL, &turn->span);
    set_parent(turn, parent);
    struct desk *desk = dialogue->known_start && propagation->propagators ? desk_of(plan) : NULL;
    if (desk) {
        u32 size = propagation_lines(propagation, &turn->span, parent ? parent->span_id : NULL,
                                     cause ? &cause->inbound : NULL, head->present, head->newline,
                                     desk->text + desk->text_size);
        if (size)
            insert(desk, turn, blank, size, false);
    }
    return turn;
}
