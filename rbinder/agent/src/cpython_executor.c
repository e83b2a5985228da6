/* Queues whose methods are C functions: _queue.SimpleQueue, and gevent's.
 *
 * concurrent.futures has one of the former: what a thread takes out of it is done for the request during which it was put in,
 * and for nothing else. Anything else that is handed over by such a queue may be a resource (cpython_hires.c).
 */
#include "cpython.h"

static struct object *work_item; /* concurrent.futures.thread._WorkItem */

static bool is_work(const struct object *item) {
    if (UNLIKELY(!work_item)) {
        struct object *module = module_loaded("concurrent.futures.thread");
        work_item = attribute(module, "_WorkItem");
        release(module);
    }
    return work_item && item->type == work_item;
}

/* gevent's last-in-first-out queues have the methods of the others. They hold connections. */
static struct object *lifo;

static bool is_lifo(const struct object *queue) {
    return lifo && queue->type == lifo;
}

static void *putting(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    struct object **item = argument_at(number, a, b, c, 0);
    if (item && cpython_usable() && !is_lifo(self)) {
        if (is_work(*item)) {
            pool_mark(self, false);
            item_put(self, *item, task_here());
        } else {
            queue_put(self, *item);
        }
    }
    return originals[number](self, a, b, c, d);
}

static void see_news(void) {
    if (UNLIKELY(cpython_news) && cpython_usable())
        cpython_look_again();
}

/* -- threads. Who comes for the next piece of work has done with the last. */

/* Only where it is asked for is it looked up. */
static bool is_empty(struct object *queue) {
    struct saying saying = saying_here();
    struct object *size = saying.kind == HIRED_FOR ? called(queue, "qsize", NULL) : NULL;
    long count = size ? py.PyLong_AsLong(size) : 1;
    release(size);
    return count == 0;
}

static void is_asked(struct object *queue) {
    see_news();
    if (here.queue == queue) {
        here.queue = NULL;
        task_thread(TASK_UNKNOWN);
    }
    if (cpython_usable())
        queue_asked(queue, is_empty(queue));
}

static void *taking_by_thread(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    is_asked(self);
    struct object *item = originals[number](self, a, b, c, d);
    if (!item || !cpython_usable())
        return item;
    if (!is_work(item)) {
        queue_taken(self, item);
        return item;
    }
    u64 task = item_taken(self, item);
    hire_left();
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
    is_asked(self);
    struct object *item = originals[number](self, a, b, c, d);
    if (!item || !cpython_usable() || is_lifo(self))
        return item;
    if (!is_work(item)) {
        queue_taken(self, item);
        return item;
    }
    u64 task = item_taken(self, item);
    if (task != TASK_UNKNOWN)
        hire_took(self, task);
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
    if (of_greenlets && !lifo) {
        struct object *module = module_loaded("gevent._gevent_cqueue");
        lifo = attribute(module, "LifoQueue");
        release(module);
    }
    release(class);
    release(of_greenlets);
}
