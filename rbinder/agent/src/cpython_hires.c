/* Who works for whom after work has been handed over by a queue, or by starting a thread.
 *
 *     put(item)    by somebody who works for A            item ↦ A
 *     get() = item by somebody who works for nobody       hired for A: its context says so
 *     get()        by the same again                      no longer for A
 *
 * A queue may as well hold connections, and a thread may be the first of a pool. So nobody changes sides who reads requests,
 * or who works for one that isn't answered: what it takes isn't its work. A queue is a pool of resources, and hands nothing
 * over, once somebody who serves a request takes from it, or a consumer puts into it what it may have taken. Who comes for
 * more without having made anything of the last is collecting a batch, and is for nobody until it was seen to start afresh.
 * What isn't clear is for nobody.
 */
#include "cpython.h"
#include "table.h"

#define HIRES 4096u
#define LOOKED_AT 64u /* hires, for a free one */
#define SOURCES 4u

struct hire {
    u32 serial;
    bool used, taken;          /* it has taken something */
    bool called;               /* since then it has sent something, or handed something on */
    bool batches, found_empty; /* and then come back, and found nothing */
    bool roams;                /* it takes from more queues than can be remembered */
    void *queue;               /* its work's */
    void *sources[SOURCES];    /* all that it takes from */
    u64 origin;                /* the task it was made for: while that is open it isn't clear what else it does */
    u64 last;                  /* what it took last is for */
};
static struct hire hires[HIRES];

static struct hire *hire_of(u64 name) {
    u32 index = (u32)name - 1;
    return index < HIRES && hires[index].serial == name >> 32 ? &hires[index] : NULL;
}

static u64 name_of(const struct hire *hire) {
    return (u64)hire->serial << 32 | (u64)(hire - hires + 1);
}

bool hire_holds(u64 name) {
    const struct hire *hire = hire_of(name);
    return hire && !pool_marked(hire->queue);
}

void hire_called(u64 name) {
    struct hire *hire = hire_of(name);
    if (hire)
        hire->called = true;
}

/* A free one, or else one that may have been forgotten: then that is for nobody. */
static struct hire *new_hire(void) {
    static u32 next;
    struct hire *hire = &hires[next++ % HIRES];
    for (u32 i = 0; i < LOOKED_AT && hire->used; i++)
        hire = &hires[next++ % HIRES];
    *hire = (struct hire){.serial = hire->serial + 1, .used = true, .origin = TASK_NONE};
    return hire;
}

u64 hire_begin(u64 task) {
    struct hire *hire = new_hire();
    hire->origin = task;
    return name_of(hire);
}

void hire_end(u64 name) {
    struct hire *hire = hire_of(name);
    if (hire) {
        hire->used = false;
        hire->serial++;
    }
}

/* -- whom whoever is here works for */

u64 task_here(void) {
    u64 task = task_of_saying(saying_here());
    return task != TASK_UNKNOWN ? task : task_by_rules();
}

/* Whether it reads requests itself, and has one that isn't answered. */
static bool serves(struct saying saying) {
    if (saying.kind == SERVES || saying.kind == LISTENS)
        return true;
    if (here.accepts || enter() != ENTERED)
        return false;
    const struct thread *thread = own_thread();
    bool serving = thread && thread->serving;
    leave();
    return serving;
}

/* Whom it was made for; TASK_UNKNOWN: nobody. */
static u64 origin_of(struct saying saying) {
    if (saying.kind == WORKS_FOR)
        return saying.number;
    if (saying.kind == BORN_FOR && hire_holds(saying.hire))
        return saying.number;
    const struct thread *thread = saying.kind == NOT_SAID ? known_thread() : NULL;
    return thread ? thread->task : TASK_UNKNOWN; /* an executor's */
}

static void say(const struct hire *hire, u64 task) {
    saying_set((struct saying){HIRED_FOR, task, name_of(hire)});
}

void hire_left(void) {
    struct saying saying = saying_here();
    if (saying.kind == BORN_FOR) {
        hire_end(saying.hire);
        here.birth = 0;
    } else if (saying.kind == HIRED_FOR) {
        hire_end(saying.hire);
        saying_set((struct saying){NOT_SAID, 0, 0});
    }
}

/* -- sources */

static bool takes_from(const struct hire *hire, const void *queue) {
    for (u32 i = 0; i < SOURCES; i++)
        if (hire->sources[i] == queue)
            return true;
    return false;
}

static void add_source(struct hire *hire, void *queue) {
    for (u32 i = 0; i < SOURCES && !takes_from(hire, queue); i++)
        if (!hire->sources[i])
            hire->sources[i] = queue;
    if (!takes_from(hire, queue))
        hire->roams = true;
}

/* It tells a consumer that there is nothing more to do, and is often passed on to the next. */
static bool is_none(const struct object *item) {
    static struct object *none;
    if (UNLIKELY(!none))
        none = py.Py_BuildValue("");
    return item == none;
}

void queue_put(void *queue, struct object *item) {
    if (is_none(item))
        return;
    struct saying saying = saying_here();
    struct hire *hire = saying.kind == HIRED_FOR ? hire_of(saying.hire) : NULL;
    if (hire && takes_from(hire, queue))
        pool_mark(queue, true);
    else if (hire)
        hire->called = true;
    if (!pool_marked(queue))
        item_put(queue, item, task_here());
}

void queue_asked(void *queue, bool empty) {
    struct saying saying = saying_here();
    struct hire *hire = saying.kind == HIRED_FOR ? hire_of(saying.hire) : NULL;
    if (!hire || hire->queue != queue)
        return;
    hire->found_empty |= empty;
    if (is_task(saying.number))
        say(hire, TASK_NONE);
}

/* -- something is taken */

/* Somebody who was made for a request takes what isn't that one's: it may be a resource, or whoever takes it may be a worker
 * that has been made late. It is for nobody as long as the request is open. */
static void strays(struct saying saying, u64 origin, void *queue, u64 task) {
    bool open = is_task(origin) && task_open(origin);
    if (saying.kind == WORKS_FOR && open && !is_task(task)) {
        pool_mark(queue, true);
        return;
    }
    struct hire *hire = new_hire();
    hire->origin = origin;
    hire->queue = queue;
    hire->taken = true;
    hire->last = task;
    add_source(hire, queue);
    say(hire, TASK_NONE);
}

/* Whether it may be told from what is taken now whom it works for. */
static bool starts_afresh(struct hire *hire, u64 task) {
    if (hire->taken && !hire->called && hire->last != task)
        hire->batches = true;
    else if (hire->found_empty && hire->called)
        hire->batches = false;
    return !hire->batches && !hire->roams && !(is_task(hire->origin) && task_open(hire->origin));
}

static void consumes(struct saying saying, void *queue, u64 task) {
    struct hire *hire = saying.kind == HIRED_FOR ? hire_of(saying.hire) : NULL;
    bool at_work = hire && hire->queue != queue && is_task(saying.number) && task_open(saying.number);
    if (!hire)
        hire = new_hire();
    add_source(hire, queue);
    if (at_work) { /* a resource, or the next piece of work from another queue */
        if (task != saying.number)
            say(hire, TASK_NONE);
        return;
    }
    bool afresh = starts_afresh(hire, task);
    hire->queue = queue;
    hire->last = task;
    hire->taken = true;
    hire->called = hire->found_empty = false;
    if (is_task(task) || hire->origin != TASK_NONE || hire->batches)
        say(hire, afresh && is_task(task) ? task : TASK_NONE);
    else
        say(hire, TASK_UNKNOWN);
}

void queue_taken(void *queue, struct object *item) {
    if (is_none(item))
        return;
    struct saying saying = saying_here();
    u64 task = item_taken(queue, item), origin = origin_of(saying);
    /* a copy of a consumer's context takes the next: what the consumer itself does now is not known any more */
    struct hire *copied = saying.kind == WORKS_FOR ? hire_of(saying.hire) : NULL;
    if (copied && takes_from(copied, queue))
        hire_end(saying.hire);
    if (pool_marked(queue)) {
        if (saying.kind == BORN_FOR)
            hire_left();
        return;
    }
    if (serves(saying)) {
        pool_mark(queue, true);
    } else if (origin == TASK_UNKNOWN) {
        consumes(saying, queue, task);
    } else if (origin != task) {
        if (saying.kind == BORN_FOR)
            hire_left();
        strays(saying, origin, queue, task);
    }
}

void hire_took(void *queue, u64 task) {
    struct saying saying = saying_here();
    struct hire *hire = saying.kind == HIRED_FOR ? hire_of(saying.hire) : NULL;
    if (!hire)
        hire = new_hire();
    hire->queue = queue;
    hire->origin = TASK_NONE;
    hire->taken = hire->called = true;
    hire->last = task;
    say(hire, task);
}
