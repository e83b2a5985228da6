/* concurrent.futures: what a thread takes out of an executor's queue is done for the request during which it was put in.
 *
 * Its queues are _queue.SimpleQueue, whose methods are C functions. Whatever else is handed over by one is none of ours: a
 * thread that takes other things may take several, and then nobody knows for which of them it makes a call.
 */
#include "cpython.h"

#define SETS 4096u /* a power of two */
#define WAYS 4u

/* Whom items in queues are for; changed with the interpreter's lock alone. One too many takes the place of an older one. */
static struct {
    struct object *item;
    u64 task;
} items[SETS][WAYS];
static struct object *work_item; /* concurrent.futures.thread._WorkItem */

static bool is_work(const struct object *item) {
    if (UNLIKELY(!work_item)) {
        struct object *module = module_loaded("concurrent.futures.thread");
        work_item = attribute(module, "_WorkItem");
        release(module);
    }
    return work_item && item->type == work_item;
}

static u32 set_of(const struct object *item) {
    return (u32)(((uintptr_t)item >> 4) * 0x9e3779b1u >> 8) & (SETS - 1);
}

/* Its place, or else a free one, or else any. */
static u32 way_of(u32 set, const struct object *item) {
    static u32 turn;
    u32 free = WAYS;
    for (u32 way = 0; way < WAYS; way++) {
        if (items[set][way].item == item)
            return way;
        if (!items[set][way].item)
            free = way;
    }
    return free < WAYS ? free : turn++ % WAYS;
}

/* By the context; where that says nothing, by the rules, which know a thread that serves one request at a time. */
static u64 task_here(void) {
    u64 task = task_of_saying(saying_here());
    if (task != TASK_UNKNOWN || enter() != ENTERED)
        return task;
    struct thread *thread = own_thread();
    struct request *request = thread ? thread_cause(thread, 0, 0) : NULL;
    if (request)
        task = request_task(request);
    leave();
    return task;
}

static void is_put(struct object *item) {
    u64 task = task_here();
    u32 set = set_of(item), way = way_of(set, item);
    items[set][way].item = task == TASK_UNKNOWN ? NULL : item;
    items[set][way].task = task;
}

/* TASK_UNKNOWN: nobody's, or it isn't known whose. */
static u64 is_taken(struct object *item) {
    u32 set = set_of(item), way = way_of(set, item);
    if (items[set][way].item != item)
        return TASK_UNKNOWN;
    items[set][way].item = NULL;
    return items[set][way].task;
}

static void *putting(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    struct object **item = argument_at(number, a, b, c, 0);
    if (item && cpython_usable() && is_work(*item))
        is_put(*item);
    return originals[number](self, a, b, c, d);
}

static u64 taking(struct object *item) {
    return item && cpython_usable() && is_work(item) ? is_taken(item) : TASK_UNKNOWN;
}

static void see_news(void) {
    if (UNLIKELY(cpython_news) && cpython_usable())
        cpython_look_again();
}

/* -- threads. Who comes for the next piece of work has done with the last. */

static void *taking_by_thread(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    see_news();
    if (here.queue == self) {
        here.queue = NULL;
        task_thread(TASK_UNKNOWN);
    }
    struct object *item = originals[number](self, a, b, c, d);
    u64 task = taking(item);
    if (task != TASK_UNKNOWN) {
        here.queue = self;
        task_thread(task);
    }
    return item;
}

static void *puts(void *self, void *a, void *b, void *c, void *d) {
    return putting(PUT, self, a, b, c, d);
}

static void *gets(void *self, void *a, void *b, void *c, void *d) {
    return taking_by_thread(GET, self, a, b, c, d);
}

static void *gets_at_once(void *self, void *a, void *b, void *c, void *d) {
    return taking_by_thread(GET_NOWAIT, self, a, b, c, d);
}

/* -- greenlets in the place of threads: gevent has a queue of its own for them */

static void *taking_by_greenlet(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    see_news();
    struct saying saying = saying_here();
    if (saying.kind == HIRED_FOR && saying.queue == self)
        saying_set((struct saying){NOT_SAID, 0, NULL});
    struct object *item = originals[number](self, a, b, c, d);
    u64 task = taking(item);
    if (task != TASK_UNKNOWN)
        saying_set((struct saying){HIRED_FOR, task, self});
    return item;
}

static void *greenlet_puts(void *self, void *a, void *b, void *c, void *d) {
    return putting(GEVENT_PUT, self, a, b, c, d);
}

static void *greenlet_gets(void *self, void *a, void *b, void *c, void *d) {
    return taking_by_greenlet(GEVENT_GET, self, a, b, c, d);
}

static void *greenlet_gets_at_once(void *self, void *a, void *b, void *c, void *d) {
    return taking_by_greenlet(GEVENT_GET_NOWAIT, self, a, b, c, d);
}

/* -- */

static struct object *queue_of(const char *module_name, enum method_number known) {
    struct object *module = originals[known] ? NULL : module_loaded(module_name);
    struct object *class = attribute(module, "SimpleQueue");
    release(module);
    return class;
}

void cpython_executors(void) {
    struct object *class = queue_of("_queue", PUT), *of_greenlets = queue_of("gevent._gevent_cqueue", GEVENT_PUT);
    if (class && replace_method(class, "get", GET, gets) && replace_method(class, "get_nowait", GET_NOWAIT, gets_at_once))
        replace_method(class, "put", PUT, puts);
    if (of_greenlets && replace_method(of_greenlets, "get", GEVENT_GET, greenlet_gets) &&
        replace_method(of_greenlets, "get_nowait", GEVENT_GET_NOWAIT, greenlet_gets_at_once))
        replace_method(of_greenlets, "put", GEVENT_PUT, greenlet_puts);
    release(class);
    release(of_greenlets);
}
