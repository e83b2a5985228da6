/* The ContextVar: what a context says, how a copy of it says more, and the methods where it is set and read. */
#include "cpython.h"
#include "table.h"

#define LISTENERS 64u /* descriptors, at a time, whose last connection is remembered */

_Thread_local struct here here;

static struct object *variable;
static initializer *task_initializer;
static struct {
    int descriptor;
    u64 last;
} listeners[LISTENERS];

/* -- what is said: some bytes as an object that can't be changed, so that any number of contexts may share it */

struct saying saying_here(void) {
    struct saying saying = {NOT_SAID, 0, 0};
    struct object *value = NULL;
    if (!variable || !cpython_usable())
        return saying;
    if (py.PyContextVar_Get(variable, NULL, &value) != 0)
        py.PyErr_Clear();
    if (value) {
        memcpy(&saying, py.PyBytes_AsString(value), sizeof saying);
        py.Py_DecRef(value);
    }
    return saying;
}

/* The token, or NULL: failed, and no error is left. */
static struct object *say(struct saying saying) {
    struct object *value = py.PyBytes_FromStringAndSize((const char *)&saying, sizeof saying);
    struct object *token = value ? py.PyContextVar_Set(variable, value) : NULL;
    if (!token)
        py.PyErr_Clear();
    release(value);
    return token;
}

void saying_set(struct saying saying) {
    release(say(saying));
}

struct object *context_saying(struct object *copied, struct saying saying) {
    struct object *context = copied ? py.PyContext_Copy(copied) : py.PyContext_New();
    if (context && py.PyContext_Enter(context) == 0) {
        saying_set(saying);
        if (py.PyContext_Exit(context) == 0)
            return context;
    }
    py.PyErr_Clear();
    release(context);
    return NULL;
}

static bool same(struct saying one, struct saying other) {
    return one.kind == other.kind && one.number == other.number;
}

/* -- what it means */

/* A loop reads the requests of its connections on its own thread; where another one does, this context was only on the way. */
static u64 task_of_connection(u64 entry) {
    u64 task = TASK_NONE;
    if (enter() != ENTERED)
        return TASK_NONE;
    struct connection *connection = connection_known(entry);
    struct dialogue *dialogue = connection ? &connection->dialogue : NULL;
    if (dialogue && dialogue->side == SERVER && dialogue->turn_count == 1 && !connection->disputed) {
        struct request *request = dialogue->turns->request;
        task = request && request->home == own_thread() ? request_task(request) : TASK_UNKNOWN;
    }
    leave();
    return task;
}

u64 task_of_saying(struct saying saying) {
    switch (saying.kind) {
    case SERVES:
        return task_of_connection(saying.number);
    case WORKS_FOR:
        return saying.number;
    case HIRED_FOR:
        if (saying.number == TASK_UNKNOWN)
            break;
        return hire_holds(saying.hire) ? saying.number : TASK_NONE;
    case BORN_FOR:
        if (!hire_holds(saying.hire))
            break;
        return saying.number;
    case LISTENS:
        return TASK_UNKNOWN;
    }
    return here.accepts ? TASK_NONE : TASK_UNKNOWN;
}

static u64 *last_of(int listener, bool make) {
    u32 place = (u32)listener % LISTENERS;
    if (make)
        listeners[place].descriptor = listener;
    return listeners[place].descriptor == listener ? &listeners[place].last : NULL;
}

struct saying saying_copied(struct saying saying) {
    if (saying.kind == LISTENS) {
        const u64 *last = last_of((int)saying.number, false);
        saying = (struct saying){last && *last ? SERVES : NOT_SAID, last ? *last : 0, 0};
    }
    if (saying.kind == SERVES) {
        u64 task = task_of_connection(saying.number);
        if (task != TASK_NONE && task != TASK_UNKNOWN)
            saying = (struct saying){WORKS_FOR, task, 0};
    }
    if (saying.kind == HIRED_FOR)
        saying = (struct saying){WORKS_FOR, task_of_saying(saying), saying.hire};
    if (saying.kind == WORKS_FOR && saying.number == TASK_UNKNOWN)
        saying = (struct saying){NOT_SAID, 0, 0};
    return saying;
}

/* -- where a context is copied: by asyncio's tasks, and by everybody else */

/* Said while the copy is made. NULL: nothing more is to be said. */
static struct object *before_copy(void) {
    if (UNLIKELY(cpython_news) && cpython_usable())
        cpython_look_again();
    struct saying saying = saying_here();
    if (LIKELY(saying.kind != LISTENS && saying.kind != SERVES && saying.kind != HIRED_FOR))
        return NULL;
    struct saying copied = saying_copied(saying);
    return same(saying, copied) ? NULL : say(copied);
}

static void after_copy(struct object *token) {
    struct object *type, *value, *traceback;
    if (!token)
        return;
    py.PyErr_Fetch(&type, &value, &traceback);
    if (py.PyContextVar_Reset(variable, token) != 0)
        py.PyErr_Clear();
    release(token);
    py.PyErr_Restore(type, value, traceback);
}

static void *copying(void *self, void *a, void *b, void *c, void *d) {
    struct object *token = before_copy();
    void *result = originals[COPY_CONTEXT](self, a, b, c, d);
    after_copy(token);
    return result;
}

static int begins_task(struct object *self, struct object *arguments, struct object *keywords) {
    struct object *token = before_copy();
    int result = task_initializer(self, arguments, keywords);
    after_copy(token);
    return result;
}

/* -- where connections are accepted */

static void accepted(int listener, u64 entry) {
    cpython_gives_way();
    if (!cpython_usable())
        return;
    struct saying saying = {LISTENS, (u64)listener, 0};
    here.accepts = true;
    if (entry >= FIRST_CONNECTION)
        *last_of(listener, true) = entry;
    if (!same(saying, saying_here()))
        saying_set(saying);
}

static void *accepting(void *self, void *a, void *b, void *c, void *d) {
    struct object *type, *value, *traceback;
    here.listener = -1;
    void *result = originals[ACCEPT](self, a, b, c, d);
    if (UNLIKELY(cpython_news))
        cpython_look_again();
    if (here.listener < 0 || !cpython_usable())
        return result;
    py.PyErr_Fetch(&type, &value, &traceback); /* that there is no connection to accept */
    accepted(here.listener, result ? here.accepted : UNKNOWN);
    py.PyErr_Restore(type, value, traceback);
    return result;
}

/* -- where requests are read */

static void dispute(u64 one, u64 other) {
    if (enter() != ENTERED)
        return;
    if (connection_known(one))
        connection_known(one)->disputed = true;
    if (connection_known(other))
        connection_known(other)->disputed = true;
    leave();
}

/* A greenlet's context says nothing at first. One that says it serves another connection is mistaken, or serves both.
 * Whoever was hired or started, and reads requests, is hired to serve a connection. */
static void has_read(u64 entry) {
    struct saying saying = saying_here();
    if (saying.kind == HIRED_FOR || saying.kind == BORN_FOR) {
        hire_left();
        saying.kind = NOT_SAID;
    }
    if (saying.kind == NOT_SAID && here.accepts)
        saying_set((struct saying){SERVES, entry, 0});
    else if (saying.kind == SERVES && saying.number != entry)
        dispute(saying.number, entry);
}

static void *after_read(void *result) {
    if (UNLIKELY(cpython_news))
        cpython_look_again();
    if (here.read != UNKNOWN && result && cpython_usable())
        has_read(here.read);
    return result;
}

static void *receiving(void *self, void *a, void *b, void *c, void *d) {
    here.read = UNKNOWN;
    return after_read(originals[RECV](self, a, b, c, d));
}

static void *receiving_into(void *self, void *a, void *b, void *c, void *d) {
    here.read = UNKNOWN;
    return after_read(originals[RECV_INTO](self, a, b, c, d));
}

/* Without the interpreter's lock, as is current(). */
static void observes_read(int descriptor, u64 task) {
    (void)task;
    here.read = (u32)descriptor < agent.covered ? agent.table[descriptor] : UNKNOWN;
    if (UNLIKELY(here.queue != NULL)) { /* its work is to serve a connection: the rules know better */
        here.queue = NULL;
        task_thread(TASK_UNKNOWN);
    }
}

/* -- where requests are sent */

/* A signal's handler may send something else meanwhile. */
static void *sending(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    struct saying before = here.asked;
    bool asked = here.asks;
    here.asked = saying_here();
    here.asks = cpython_usable();
    void *result = originals[number](self, a, b, c, d);
    here.asked = before;
    here.asks = asked;
    return result;
}

#define SENDING(name, number)                                                                                               \
    static void *name(void *self, void *a, void *b, void *c, void *d) { return sending(number, self, a, b, c, d); }
SENDING(sends, SEND)
SENDING(sends_all, SENDALL)
SENDING(sends_to, SENDTO)
SENDING(sends_message, SENDMSG)

static u64 current(int descriptor) {
    (void)descriptor;
    if (UNLIKELY(here.asks && here.asked.hire))
        hire_called(here.asked.hire);
    return here.asks ? task_of_saying(here.asked) : TASK_UNKNOWN;
}

/* -- putting it in */

static void socket_methods(struct object *class) {
    if (!replace_method(class, "send", SEND, sends) || !replace_method(class, "sendall", SENDALL, sends_all) ||
        !replace_method(class, "sendto", SENDTO, sends_to) || !replace_method(class, "sendmsg", SENDMSG, sends_message))
        return;
    replace_method(class, "recv", RECV, receiving);
    replace_method(class, "recv_into", RECV_INTO, receiving_into);
    variable = py.PyContextVar_New("rbinder", NULL);
    if (variable && replace_method(class, "_accept", ACCEPT, accepting)) {
        runtime.observes_read = observes_read;
        runtime.current = current;
    }
    py.PyErr_Clear();
}

static struct object *loaded(const char *module_name, const char *name) {
    struct object *module = module_loaded(module_name), *found = attribute(module, name);
    release(module);
    return found;
}

void cpython_contexts(void) {
    struct object *module = originals[COPY_CONTEXT] ? NULL : module_loaded("_contextvars");
    struct object *task = task_initializer ? NULL : loaded("_asyncio", "Task");
    struct object *socket = originals[SEND] ? NULL : loaded("_socket", "socket");
    if (module)
        replace_method(module, "copy_context", COPY_CONTEXT, copying);
    if (task)
        replace_initializer(task, &task_initializer, begins_task);
    if (socket)
        socket_methods(socket);
    release(module);
    release(task);
    release(socket);
}
