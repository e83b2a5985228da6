/* Queues written in Python: queue.Queue, asyncio.Queue and those sorted by priority. (Last-in-first-out ones are left alone:
 * connections are kept in them.)
 *
 * Their inner methods, which are there to be overridden, are replaced in their classes: by descriptors of C functions that
 * call what was there. Neither shows in a traceback. The public ones remain, but for asyncio.Queue.empty(): nothing else tells
 * that somebody has come for an item, and found none.
 */
#include "cpython.h"

enum inner {
    Q_INIT, Q_PUT, Q_GET, Q_SIZE, QP_INIT, QP_PUT, QP_GET, QP_SIZE, A_INIT, A_PUT, A_GET, A_EMPTY, AP_INIT, AP_PUT, AP_GET,
    INNER
};
static struct object *inner[INNER]; /* what was there */

/* A queue begins: whatever was at its place before, this one holds no resources. */
static struct object *begins(enum inner which, struct object *self, struct object *size) {
    if (cpython_usable())
        pool_mark(self, false);
    return py.PyObject_CallFunctionObjArgs(inner[which], self, size, NULL);
}

static struct object *puts(enum inner which, struct object *self, struct object *item) {
    struct object *result = py.PyObject_CallFunctionObjArgs(inner[which], self, item, NULL);
    if (result && cpython_usable())
        queue_put(self, item);
    return result;
}

static struct object *gets(enum inner which, struct object *self, struct object *nothing) {
    (void)nothing;
    struct object *item = py.PyObject_CallFunctionObjArgs(inner[which], self, NULL);
    if (item && cpython_usable())
        queue_taken(self, item);
    return item;
}

/* Who gets an item looks first whether there is one. */
static struct object *looks(enum inner which, struct object *self, struct object *nothing) {
    (void)nothing;
    struct object *result = py.PyObject_CallFunctionObjArgs(inner[which], self, NULL);
    if (result && cpython_usable()) {
        long number = py.PyLong_AsLong(result); /* a bool is a number */
        if (number < 0)
            py.PyErr_Clear();
        if (number == (which == A_EMPTY ? 1 : 0))
            queue_asked(self, true);
    }
    return result;
}

#define INNER_FUNCTION(function, number)                                                                                    \
    static struct object *number##_##function(struct object *self, struct object *argument) {                              \
        return function(number, self, argument);                                                                            \
    }
INNER_FUNCTION(begins, Q_INIT)
INNER_FUNCTION(begins, QP_INIT)
INNER_FUNCTION(begins, A_INIT)
INNER_FUNCTION(begins, AP_INIT)
INNER_FUNCTION(puts, Q_PUT)
INNER_FUNCTION(puts, QP_PUT)
INNER_FUNCTION(puts, A_PUT)
INNER_FUNCTION(puts, AP_PUT)
INNER_FUNCTION(gets, Q_GET)
INNER_FUNCTION(gets, QP_GET)
INNER_FUNCTION(gets, A_GET)
INNER_FUNCTION(gets, AP_GET)
INNER_FUNCTION(looks, Q_SIZE)
INNER_FUNCTION(looks, QP_SIZE)
INNER_FUNCTION(looks, A_EMPTY)

/* With its signature for who inspects it. */
#define EMPTY_DOCUMENT "empty($self, /)\n--\n\nReturn True if the queue is empty, False otherwise."

struct replacement {
    const char *class;
    struct method method;
};
#define TAKES_ONE(class, name, function) {class, {name, (void *)function, BY_ONE, NULL}}
#define TAKES_NONE(class, name, function, document) {class, {name, (void *)function, BY_NOTHING, document}}
static struct replacement replacements[INNER] = {
    [Q_INIT] = TAKES_ONE("Queue", "_init", Q_INIT_begins),
    [Q_PUT] = TAKES_ONE("Queue", "_put", Q_PUT_puts),
    [Q_GET] = TAKES_NONE("Queue", "_get", Q_GET_gets, NULL),
    [Q_SIZE] = TAKES_NONE("Queue", "_qsize", Q_SIZE_looks, NULL),
    [QP_INIT] = TAKES_ONE("PriorityQueue", "_init", QP_INIT_begins),
    [QP_PUT] = TAKES_ONE("PriorityQueue", "_put", QP_PUT_puts),
    [QP_GET] = TAKES_NONE("PriorityQueue", "_get", QP_GET_gets, NULL),
    [QP_SIZE] = TAKES_NONE("PriorityQueue", "_qsize", QP_SIZE_looks, NULL),
    [A_INIT] = TAKES_ONE("Queue", "_init", A_INIT_begins),
    [A_PUT] = TAKES_ONE("Queue", "_put", A_PUT_puts),
    [A_GET] = TAKES_NONE("Queue", "_get", A_GET_gets, NULL),
    [A_EMPTY] = TAKES_NONE("Queue", "empty", A_EMPTY_looks, EMPTY_DOCUMENT),
    [AP_INIT] = TAKES_ONE("PriorityQueue", "_init", AP_INIT_begins),
    [AP_PUT] = TAKES_ONE("PriorityQueue", "_put", AP_PUT_puts),
    [AP_GET] = TAKES_NONE("PriorityQueue", "_get", AP_GET_gets, NULL),
};

bool replace_function(struct object *class, struct method *method, struct object **original) {
    struct object *found = attribute(class, method->name), *ours = NULL;
    if (found && has_type(found, "function"))
        ours = py.PyDescr_NewMethod(class, method);
    if (ours)
        *original = found; /* kept for good */
    else
        release(found);
    bool done = ours && py.PyObject_SetAttrString(class, method->name, ours) == 0;
    py.PyErr_Clear();
    release(ours);
    return done;
}

static void replace_all(struct object *module, u32 from, u32 to) {
    for (u32 i = from; i < to; i++) {
        struct object *class = attribute(module, replacements[i].class);
        if (class)
            replace_function(class, &replacements[i].method, &inner[i]);
        release(class);
    }
}

void cpython_queues(void) {
    static bool of_threads, of_loops;
    struct object *threads = of_threads ? NULL : module_loaded("queue");
    struct object *loops = of_loops ? NULL : module_loaded("asyncio.queues");
    if (threads) {
        of_threads = true;
        replace_all(threads, Q_INIT, A_INIT);
    }
    if (loops) {
        of_loops = true;
        replace_all(loops, A_INIT, INNER);
    }
    release(threads);
    release(loops);
}
