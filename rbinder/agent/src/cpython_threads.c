/* Threads that are started for a request: they work for it, until they look for other work.
 *
 * A thread may be the first of a pool that grows with its load, and what it does next is another's then. So it ends as soon
 * as the thread takes something out of a queue (cpython_hires.c), waits for a condition, or takes the next item out of a
 * deque, list or heap that others may have filled.
 */
#include "cpython.h"

#define HOLDERS 2u /* of a thread's context: the thread, and we who look at it */

static struct object *release_save; /* threading.Condition._release_save */
static bool has_contexts;           /* each thread has one */

static void ends(void) {
    if (here.birth) {
        hire_end(here.birth);
        here.birth = 0;
    }
}

/* -- a thread begins: in a function of ours, with the threading module's in it */

/* What a Timer waits for before it begins. */
static struct object *delay_of(struct object *bound) {
    struct object *thread = attribute(bound, "__self__"), *interval = attribute(thread, "interval");
    struct object *finished = interval ? attribute(thread, "finished") : NULL, *condition = attribute(finished, "_cond");
    release(thread);
    release(interval);
    release(finished);
    release(condition);
    return condition;
}

/* Since 3.14 a thread's run() has a context of its own, which Thread.start() made. One that others hold too isn't changed. */
static void say_in_context(struct object *bound, struct saying saying) {
    struct object *thread = attribute(bound, "__self__"), *context = attribute(thread, "_context");
    if (context && (u32)context->references == HOLDERS && py.PyContext_Enter(context) == 0) {
        saying_set(saying);
        py.PyContext_Exit(context);
    }
    py.PyErr_Clear();
    release(thread);
    release(context);
}

static struct object *begins(struct object *self, struct object *arguments) {
    struct saying saying;
    struct object *callable = py.PyList_GetItem(self, 1);
    memcpy(&saying, py.PyBytes_AsString(py.PyList_GetItem(self, 0)), sizeof saying);
    if (cpython_usable()) {
        saying_set(saying);
        if (has_contexts)
            say_in_context(callable, saying);
        here.birth = saying.hire;
        here.excused = delay_of(callable);
    }
    struct object *result = py.PyObject_CallObject(callable, arguments);
    hire_end(saying.hire);
    here.birth = 0;
    return result;
}

static struct method begin_method = {"_bootstrap", (void *)begins, BY_TUPLE, NULL};

static struct object *beginning(struct object *callable, u64 task) {
    struct saying saying = {BORN_FOR, task, hire_begin(task)};
    struct object *text = py.PyBytes_FromStringAndSize((const char *)&saying, sizeof saying), *self = py.PyList_New(2);
    struct object *ours = NULL;
    if (text && self) {
        py.Py_IncRef(text);
        py.Py_IncRef(callable);
        py.PyList_SetItem(self, 0, text);
        py.PyList_SetItem(self, 1, callable);
        ours = py.PyCFunction_NewEx(&begin_method, self, NULL);
    }
    py.PyErr_Clear();
    release(self);
    release(text);
    return ours;
}

/* -- where it is started */

static bool is_bootstrap(struct object *callable) {
    struct object *name = attribute(callable, "__name__");
    bool is = name && has_type(callable, "method") && py.PyUnicode_CompareWithASCIIString(name, "_bootstrap") == 0;
    release(name);
    return is;
}

/* Who starts a thread waits until that has begun. */
static void excuse_start(struct object *callable) {
    struct object *thread = attribute(callable, "__self__"), *event = attribute(thread, "_started");
    struct object *condition = attribute(event, "_cond");
    here.excused = condition;
    release(thread);
    release(event);
    release(condition);
}

static struct object *with_first(struct object *tuple, struct object *first) {
    s64 size = py.PyTuple_Size(tuple);
    struct object *copy = py.PyTuple_New(size);
    for (s64 i = 0; copy && i < size; i++) {
        struct object *item = i ? py.PyTuple_GetItem(tuple, i) : first;
        py.Py_IncRef(item);
        py.PyTuple_SetItem(copy, i, item);
    }
    py.PyErr_Clear();
    return copy;
}

static void container_methods(void);

static struct object *for_the_task(struct object *arguments) {
    s64 count = py.PyTuple_Size(arguments);
    struct object *callable = count > 0 ? py.PyTuple_GetItem(arguments, 0) : NULL;
    u64 task = callable ? task_here() : TASK_NONE;
    if (!is_task(task) || !is_bootstrap(callable))
        return NULL;
    container_methods();
    if (here.birth)
        excuse_start(callable);
    struct object *ours = beginning(callable, task);
    struct object *changed = ours ? with_first(arguments, ours) : NULL;
    release(ours);
    return changed;
}

static void *starting(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    if (cpython_usable() && a)
        cpython_queues(); /* its module may have been imported since */
    struct object *changed = cpython_usable() && a ? for_the_task(a) : NULL;
    void *result = originals[number](self, changed ? changed : a, b, c, d);
    release(changed);
    return result;
}

static void *starts(void *self, void *a, void *b, void *c, void *d) {
    return starting(START_THREAD, self, a, b, c, d);
}

static void *starts_joinable(void *self, void *a, void *b, void *c, void *d) {
    return starting(START_JOINABLE, self, a, b, c, d);
}

/* -- where it waits */

static void waits(const void *condition) {
    if (here.birth && here.excused != condition)
        ends();
    here.excused = NULL;
}

static struct object *saves(struct object *self, struct object *nothing) {
    (void)nothing;
    waits(self);
    return py.PyObject_CallFunctionObjArgs(release_save, self, NULL);
}

static struct method save_method = {"_release_save", (void *)saves, BY_NOTHING, NULL};

static void *saves_recursive(void *self, void *a, void *b, void *c, void *d) {
    waits(self);
    return originals[RELEASE_SAVE](self, a, b, c, d);
}

/* -- where it takes from what isn't a queue. A loop that runs on the thread takes what has a context. */

static bool runs_loop(void) {
    struct object *module = module_loaded("_asyncio"), *loop = module ? called(module, "_get_running_loop", NULL) : NULL;
    bool runs = loop && !has_type(loop, "NoneType");
    release(loop);
    release(module);
    return runs;
}

static bool has_fed(const void *deque) {
    for (u32 i = 0; i < MIN(here.fed_count, FED); i++)
        if (here.fed[i] == deque)
            return true;
    return false;
}

static void feeds(void *deque) {
    if (here.birth && !has_fed(deque))
        here.fed[here.fed_count++ % FED] = deque;
}

static void takes(void) {
    struct object *type, *value, *traceback;
    py.PyErr_Fetch(&type, &value, &traceback);
    if (cpython_usable() && !runs_loop())
        ends();
    py.PyErr_Restore(type, value, traceback);
}

#define FEEDING(name, number)                                                                                               \
    static void *name(void *self, void *a, void *b, void *c, void *d) {                                                     \
        feeds(self);                                                                                                        \
        return originals[number](self, a, b, c, d);                                                                         \
    }
#define TAKING(name, number, condition)                                                                                     \
    static void *name(void *self, void *a, void *b, void *c, void *d) {                                                     \
        if (UNLIKELY(here.birth && (condition)))                                                                            \
            takes();                                                                                                        \
        return originals[number](self, a, b, c, d);                                                                         \
    }
FEEDING(appends, DEQUE_APPEND)
FEEDING(appends_left, DEQUE_APPENDLEFT)
FEEDING(extends, DEQUE_EXTEND)
TAKING(pops, DEQUE_POP, !has_fed(self))
TAKING(pops_left, DEQUE_POPLEFT, !has_fed(self))
TAKING(pops_of_list, LIST_POP, argument_at(LIST_POP, a, b, c, 0)) /* jobs.pop(0) */
TAKING(pops_of_heap, HEAPPOP, true)

/* Not before the first thread is started for a request. */
static void container_methods(void) {
    static bool done;
    if (done)
        return;
    done = true;
    struct object *collections = module_loaded("_collections"), *deque = attribute(collections, "deque");
    struct object *builtins = module_loaded("builtins"), *list = attribute(builtins, "list"), *heap = module_loaded("_heapq");
    if (deque && replace_method(deque, "append", DEQUE_APPEND, appends) &&
        replace_method(deque, "appendleft", DEQUE_APPENDLEFT, appends_left) &&
        replace_method(deque, "extend", DEQUE_EXTEND, extends)) {
        replace_method(deque, "pop", DEQUE_POP, pops);
        replace_method(deque, "popleft", DEQUE_POPLEFT, pops_left);
    }
    if (list)
        replace_method(list, "pop", LIST_POP, pops_of_list);
    if (heap)
        replace_method(heap, "heappop", HEAPPOP, pops_of_heap);
    release(collections);
    release(deque);
    release(builtins);
    release(list);
    release(heap);
}

/* -- */

void cpython_threads(void) {
    struct object *threading = release_save ? NULL : module_loaded("threading");
    struct object *thread = originals[START_THREAD] ? NULL : module_loaded("_thread");
    struct object *condition = attribute(threading, "Condition"), *lock = attribute(thread, "RLock");
    struct object *contexts = attribute(threading, "_contextvars");
    has_contexts |= contexts != NULL;
    if (condition && lock && replace_function(condition, &save_method, &release_save) &&
        replace_method(lock, "_release_save", RELEASE_SAVE, saves_recursive)) {
        replace_method(thread, "start_new_thread", START_THREAD, starts);
        replace_method(thread, "start_joinable_thread", START_JOINABLE, starts_joinable);
    }
    release(threading);
    release(thread);
    release(condition);
    release(lock);
    release(contexts);
}
