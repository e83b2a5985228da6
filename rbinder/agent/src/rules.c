/* Which incoming request caused this outgoing one? The rules, as binder/rules.py numbers and explains them. */
#include "rules.h"

#include "block.h"

#define TO_SPARE 2 /* connections to a peer that wait: the one about to be used, and another that nobody queues for */

/* -- requests */

struct request *request_share(struct request *request) {
    if (request)
        request->references++;
    return request;
}

void request_release(struct request *request) {
    if (!request || --request->references)
        return;
    inbound_release(&request->inbound);
    blob_release(request->span.state);
    request_give(request);
}

bool request_open(struct request *request) {
    if (UNLIKELY(request->foreign) && request->open)
        request->open = shared_is_open(request->span.span_id);
    return request->open;
}

void request_waits(struct request *request, int change) {
    bool waited = request->waiting != 0;
    request->waiting += change;
    bool waits = request->waiting != 0;
    if (request->home && waits != waited)
        request->home->idle += waits ? -1u : 1u;
}

/* -- names */

u64 request_task(const struct request *request) {
    u64 task;
    memcpy(&task, request->span.span_id, sizeof task);
    return task;
}

static struct request **names_place(struct group *group, u64 task) {
    return &group->named[task & (NAMES - 1)];
}

static void name_add(struct group *group, struct request *request) {
    struct request **place = names_place(group, request_task(request));
    request->next_named = *place;
    *place = request;
}

static void name_remove(struct group *group, struct request *request) {
    struct request **place = names_place(group, request_task(request));
    while (*place != request)
        place = &(*place)->next_named;
    *place = request->next_named;
}

/* Most processes are never asked, and keep no index. */
RARE static void make_index(struct group *group) {
    group->indexed = true;
    for (struct request *request = group->requests; request; request = request->next_of_group)
        name_add(group, request);
}

struct request *thread_named_request(struct thread *thread, u64 task) {
    struct group *group = thread->group;
    struct request *request = thread->borrowed;
    if (task == TASK_NONE || task == TASK_UNKNOWN)
        return NULL;
    if (request && request_task(request) == task)
        return request_open(request) ? request : NULL;
    if (!group->indexed)
        make_index(group);
    for (request = *names_place(group, task); request && request_task(request) != task;)
        request = request->next_named;
    return request;
}

/* -- the two lists a request is in while it is open */

static void group_add(struct group *group, struct request *request) {
    request->next_of_group = NULL;
    request->previous_of_group = group->newest;
    if (group->newest)
        group->newest->next_of_group = request;
    else
        group->requests = request;
    group->newest = request_share(request);
    group->open++;
    request->grouped = true;
    if (UNLIKELY(group->indexed))
        name_add(group, request);
}

static void group_remove(struct group *group, struct request *request) {
    struct request *next = request->next_of_group, *previous = request->previous_of_group;
    if (UNLIKELY(group->indexed))
        name_remove(group, request);
    *(previous ? &previous->next_of_group : &group->requests) = next;
    *(next ? &next->previous_of_group : &group->newest) = previous;
    group->open--;
    request->grouped = false;
    request_release(request);
}

static void serving_add(struct thread *thread, struct request *request) {
    request->home = thread;
    request->next_of_thread = NULL;
    request->previous_of_thread = thread->newest;
    if (thread->newest)
        thread->newest->next_of_thread = request;
    else
        thread->serving = request;
    thread->newest = request;
    thread->serving_count++;
    thread->idle += request->waiting == 0;
}

static void serving_remove(struct request *request) {
    struct thread *thread = request->home;
    struct request *next = request->next_of_thread, *previous = request->previous_of_thread;
    *(previous ? &previous->next_of_thread : &thread->serving) = next;
    *(next ? &next->previous_of_thread : &thread->newest) = previous;
    thread->serving_count--;
    thread->idle -= request->waiting == 0;
    request->home = NULL;
}

/* -- threads */

void group_init(struct group *group) {
    memset(group, 0, sizeof *group);
}

void thread_init(struct thread *thread, struct group *group) {
    memset(thread, 0, sizeof *thread);
    thread->group = group;
    thread->task = thread->asked = TASK_UNKNOWN;
    thread->borrowed_at = -1;
}

static void hold(struct request **place, struct request *request) {
    struct request *former = *place;
    *place = request_share(request);
    request_release(former);
}

/* The request is over, or is served elsewhere now. */
static void forget(struct request *request) {
    struct thread *thread = request->home;
    serving_remove(request);
    if (thread->current != request)
        return;
    /* pipelined requests are answered in their order: the next one's turn has come */
    struct request *other = thread->serving;
    while (other && other->connection == request->connection)
        other = other->next_of_thread;
    hold(&thread->current, other ? NULL : thread->serving);
}

void thread_forget_all(struct thread *thread) {
    while (thread->serving)
        serving_remove(thread->serving);
    hold(&thread->current, NULL);
    hold(&thread->borrowed, NULL);
}

void group_forked(struct group *group) {
    while (group->requests) {
        struct request *request = group->requests;
        request->foreign = true;
        if (request->home)
            forget(request);
        group_remove(group, request);
    }
    bool migrates = group->migrates;
    group_init(group);
    group->migrates = migrates;
}

static void adopt(struct thread *thread, struct request *request) {
    if (UNLIKELY(!request->grouped)) { /* a forked process goes on with it */
        request->foreign = false;
        group_add(thread->group, request);
    }
    hold(&thread->borrowed, NULL);
    /* of a thread that doesn't interleave all requests are of one connection */
    if (thread->serving && thread->serving->connection != request->connection)
        thread->interleaves = true;
    serving_add(thread, request);
    if (thread->serving_count == 1 || thread->interleaves) {
        hold(&thread->current, request);
        thread->answered = false;
    }
}

void thread_begin(struct thread *thread, struct request *request) {
    group_add(thread->group, request);
    thread->group->begun++;
    shared_opened(request->span.span_id);
    adopt(thread, request);
}

void thread_touch(struct thread *thread, struct request *request) {
    if (!request_open(request))
        return;
    if (request->home != thread) {
        if (request->home)
            forget(request);
        adopt(thread, request);
    }
    hold(&thread->current, request);
    thread->answered = false;
}

void thread_resume(struct thread *thread, struct request *request) {
    if (!request) {
        if (thread->interleaves)
            hold(&thread->current, NULL);
    } else if (request->home == thread && request_open(request)) {
        hold(&thread->current, request);
        thread->answered = true;
    }
}

void thread_inherit(struct thread *thread, struct thread *parent, bool forked) {
    struct request *request = parent->current;
    struct group *group = thread->group;
    if (!request || !request_open(request) || thread_cause(parent, 0, 0) != request)
        return;
    if (forked) {
        request->foreign = true;
        hold(&thread->borrowed, request);
    } else if (group->open == 1 && group->requests == request) {
        hold(&thread->borrowed, request);
        thread->borrowed_at = (s64)group->begun;
    }
}

/* -- errands: a table that is only ever added to */

static u64 *errand_place(struct thread *thread, u64 errand) {
    for (u32 step = 0; step < MOST_ERRANDS; step++) {
        u64 *place = &thread->errands[(errand + step) & (MOST_ERRANDS - 1)];
        if (!*place || *place == errand)
            return place;
    }
    return NULL;
}

static bool known_errand(struct thread *thread, u64 errand) {
    u64 *place = thread->errand_count && errand ? errand_place(thread, errand) : NULL;
    return place && *place;
}

/* Of the start line up to its query; what comes behind that is longer than a word. */
u64 errand_of(u64 peer, const struct head *head) {
    const u8 *at = head->method.at, *end = head->target.at + head->target.size;
    const u8 *stop = find_before(head->target.at, end, last_block(at, head->raw.at + head->raw.size), '?');
    u64 hash = HASH_START ^ peer;
    for (; at < stop; at += sizeof(u64)) {
        u64 word = *(const any_u64 *)at;
        if (stop - at < (s64)sizeof(u64))
            word &= (1ull << 8 * (stop - at)) - 1;
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return hash ? hash : 1;
}

/* -- connections to spare */

static struct spare *spare_place(struct group *group, u64 peer, bool add) {
    struct spare *reusable = NULL;
    for (u32 step = 0; step < PEERS; step++) {
        struct spare *place = &group->spare[(peer + step) & (PEERS - 1)];
        if (place->peer == peer)
            return place;
        if (!reusable && place->count <= 0)
            reusable = place;
        if (!place->peer)
            break;
    }
    if (!add || !reusable)
        return NULL;
    *reusable = (struct spare){peer, 0};
    return reusable;
}

/* An unknown peer is one like others. */
static u64 known_peer(u64 peer) {
    return peer ? peer : 1;
}

bool group_spare(struct group *group, u64 peer, int change) {
    struct spare *place = spare_place(group, known_peer(peer), change > 0);
    if (!place || place->count + change < 0)
        return false;
    place->count += change;
    return true;
}

static s64 spare_count(struct group *group, u64 peer) {
    struct spare *place = spare_place(group, known_peer(peer), false);
    return place ? place->count : 0;
}

/* -- causes */

static struct request *borrowed_cause(struct thread *thread) {
    struct request *request = thread->borrowed;
    if (!request || !request_open(request))
        return NULL;
    return thread->borrowed_at < 0 || thread->borrowed_at == (s64)thread->group->begun ? request : NULL;
}

bool thread_excludes_others(const struct thread *thread, const struct request *own) {
    bool served = own->home == thread;
    if (thread->idle > (served && !own->waiting ? 1u : 0u))
        return false;
    return !thread->strays || thread->serving_count == (served ? 1u : 0u);
}

struct request *thread_cause(struct thread *thread, u64 errand, u64 peer) {
    struct group *group = thread->group;
    if (UNLIKELY(thread_has_word(thread)))
        return thread_named_request(thread, thread->asked != TASK_UNKNOWN ? thread->asked : thread->task);
    if (group->migrates) /* the only open request; that all others wait would prove nothing */
        return group->open == 1 && !group->acts_alone && !group_doubts(group, group->requests) ? group->requests : NULL;
    struct request *current = thread->current;
    if (!current || !request_open(current))
        return borrowed_cause(thread);
    if (thread->interleaves && (known_errand(thread, errand) || group_doubts(group, current)))
        return NULL;
    if (!thread_excludes_others(thread, current))
        return NULL;
    bool others = thread->serving_count > (current->home == thread ? 1u : 0u);
    if (others && thread->answered && errand && spare_count(group, peer) < TO_SPARE)
        return NULL;
    return current;
}

void thread_called(struct thread *thread, u64 errand) {
    if (thread_keeps_errand(thread)) {
        u64 *place = thread->errand_count < MOST_ERRANDS ? errand_place(thread, errand) : NULL;
        if (place && !*place) {
            *place = errand;
            thread->errand_count++;
        }
    } else if (thread->borrowed_at >= 0) {
        hold(&thread->borrowed, NULL); /* the first call of a new thread has been made */
    }
    if (thread->group->migrates && !thread->group->open)
        thread->group->acts_alone = true;
}

void request_lost(struct request *request, struct group *group, u64 now) {
    if ((s64)now - request->dropped_at < (s64)SAME_MOMENT)
        return;
    request->lost_in = group;
    request->lost_at = now;
    group->doubt_before = group->doubt;
    group->doubt = now + LINGERS;
}

void request_dropped(struct request *request, u64 now) {
    struct group *group = request->lost_in;
    request->dropped_at = (s64)now;
    if (!group || now - request->lost_at >= SAME_MOMENT)
        return;
    if (group->doubt == request->lost_at + LINGERS) /* the program is done with it for all that */
        group->doubt = group->doubt_before;
    request->lost_in = NULL;
}

void request_finish(struct request *request, struct group *group) {
    request->open = false;
    if (request->waiting)
        group->acts_alone = true;
    shared_finished(request->span.span_id);
    if (request->home)
        forget(request);
    if (request->grouped)
        group_remove(group, request);
}
