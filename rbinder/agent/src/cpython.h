/* The adapter for CPython: which request a coroutine, a greenlet or an executor's thread works for.
 *
 * A ContextVar of ours says it. What the interpreter runs already keeps and copies contexts as control goes from one thing
 * to another; all that is done here is to set the variable where a connection is accepted, to make it more exact where a
 * context is copied, and to read it where a request is sent:
 *
 *     socket.accept     the context listens on L; the connection accepted last there is noted
 *     a copy is made    of "listens on L": works for connection C; of "works for C": for the request that C brought
 *     socket.send       the request that the context names, or the only open one of the connection it names
 *     queue.get         what was put there for a request is done for it (cpython_hires.c)
 *     Thread.start      so is what the thread does, until it looks for other work (cpython_threads.c)
 *
 * There is no Python code, and no call is added that the program could see in a traceback: the C functions behind those
 * methods are replaced in their own tables (cpython_methods.c), and the inner methods of queues by descriptors of C functions
 * (cpython_queues.c). They run where the interpreter's lock is held anyway, so no thread ever waits for it because of us; it
 * is taken once, when the program begins to listen.
 */
#ifndef RBINDER_CPYTHON_H
#define RBINDER_CPYTHON_H

#include "tasks.h"

/* An object begins so where there is an interpreter's lock; without one the adapter leaves the process alone. */
struct object {
    s64 references;
    struct object *type;
};

/* PyMethodDef */
struct method {
    const char *name;
    void *function;
    int flags;
    const char *document;
};

/* flags of a method: how its function is called (methodobject.h) */
enum { BY_TUPLE = 0x1, BY_KEYWORDS = 0x2, BY_NOTHING = 0x4, BY_ONE = 0x8, BY_VECTOR = 0x80, BY_CLASS = 0x200 };

/* The API; of MAYBE some are NULL. */
struct python {
#define API(result, name, parameters) result(*name) parameters;
#define MAYBE API
#include "cpython.def"
#undef API
#undef MAYBE
};
extern struct python py;

/* -- methods that are replaced (cpython_methods.c) */

/* The functions behind methods are called with two to five arguments, each a word; one too many does no harm. */
typedef void *function(void *self, void *a, void *b, void *c, void *d);

enum method_number {
    ACCEPT, SEND, SENDALL, SENDTO, SENDMSG, RECV, RECV_INTO, COPY_CONTEXT, PUT, GET, GET_NOWAIT, UV_SERVER, UV_UNIX_SERVER,
    UV_WRITE, UV_WRITELINES, GEVENT_PUT, GEVENT_GET, GEVENT_GET_NOWAIT, START_THREAD, START_JOINABLE, RELEASE_SAVE,
    DEQUE_APPEND, DEQUE_APPENDLEFT, DEQUE_EXTEND, DEQUE_POP, DEQUE_POPLEFT, LIST_POP, HEAPPOP, METHODS
};
extern function *originals[METHODS];

/* Puts `ours` in the place of the function behind object.name. False: it isn't as known, and stays. */
bool replace_method(struct object *object, const char *name, enum method_number number, function *ours);
/* The same of a function written in Python: a descriptor of `method` takes its place in the class. */
bool replace_function(struct object *class, struct method *method, struct object **original);
/* The same of a class that is made by its tp_init. */
typedef int initializer(struct object *self, struct object *arguments, struct object *keywords);
bool replace_initializer(struct object *class, initializer **original, initializer *ours);
/* Where a method that is called with a vector has an argument; NULL: it isn't called so, or has none by its place alone. */
struct object **argument_at(enum method_number number, void *a, void *b, void *c, u32 index);

/* -- the variable (cpython_context.c) */

enum kind_of_saying {
    NOT_SAID,
    LISTENS,  /* on a descriptor */
    SERVES,   /* a connection: an entry of the table */
    WORKS_FOR, /* a task */
    HIRED_FOR, /* the same, until it comes to a queue for the next one; TASK_UNKNOWN: it has none at present */
    BORN_FOR   /* the same, as a thread that was started for it: until it looks for other work */
};
struct saying {
    u64 kind, number;
    u64 hire; /* HIRED_FOR and BORN_FOR: which one; WORKS_FOR: of which it is a copy; 0: none */
};

struct saying saying_here(void);
void saying_set(struct saying saying); /* in the current context */
u64 task_of_saying(struct saying saying); /* TASK_UNKNOWN: the rules decide */
struct saying saying_copied(struct saying saying); /* what a copy of the context is to say */
struct object *context_saying(struct object *copied, struct saying saying); /* a copy, or with NULL a new one; NULL: failed */
void cpython_contexts(void);

#define FED 8u

/* What this thread is at, in one of the functions that were replaced. */
struct here {
    struct saying asked;        /* valid while something is sent */
    bool asks;
    bool accepts;             /* connections were accepted on this thread: what isn't said here is for nobody */
    int listener;             /* of the accept that is under way; -1: none */
    u64 accepted, read;       /* entries: what was accepted last, what a request's head was read from last */
    void *queue;              /* the executor's, from which it took the work that it is at */
    u64 birth;                /* the hire by which it was started, while that holds */
    void *excused;            /* the condition that it may wait for meanwhile */
    void *fed[FED];           /* deques that it has put something in itself */
    u32 fed_count;
};
extern _Thread_local struct here here;

/* -- hand-overs (cpython_items.c, cpython_hires.c) */

/* Items in queues, by identity. Of the same one put twice for different tasks it isn't known which is taken. */
void item_put(void *queue, struct object *item, u64 task);
u64 item_taken(void *queue, struct object *item); /* TASK_UNKNOWN: nobody's, or it isn't known whose */
/* Queues that hand out resources rather than work: what is taken from them tells nothing. */
void pool_mark(void *queue, bool is);
bool pool_marked(const void *queue);

u64 task_here(void); /* by the context; where that says nothing, by the rules */
static inline bool is_task(u64 task) {
    return task != TASK_NONE && task != TASK_UNKNOWN;
}
bool hire_holds(u64 hire);
void hire_called(u64 hire); /* a call was made meanwhile; without the interpreter's lock */
u64 hire_begin(u64 task);   /* a thread is started for it; 0: none is left */
void hire_end(u64 hire);
void hire_left(void);       /* whoever is here does something else from now on */
void hire_took(void *queue, u64 task); /* from a queue that holds nothing but work */
/* Of a queue: something was put in, somebody comes for the next (and finds it empty), something was taken. */
void queue_put(void *queue, struct object *item);
void queue_asked(void *queue, bool empty);
void queue_taken(void *queue, struct object *item);

/* -- the rest */

/* cpython.c. Whether the interpreter that calls is ours to ask; that costs nothing. */
bool cpython_usable(void);
struct object *module_loaded(const char *name); /* NULL: it isn't imported */
struct object *attribute(struct object *object, const char *name); /* NULL: none; no error is left */
void release(struct object *object); /* NULL is fine */
/* object.name(argument), or without one where that is NULL; NULL: it failed, and no error is left. */
struct object *called(struct object *object, const char *name, struct object *argument);
bool has_type(struct object *object, const char *name);
/* Modules may have been imported since: those whose functions are to be replaced. */
extern bool cpython_news;
void cpython_look_again(void);
void cpython_gives_way(void); /* where an OpenTelemetry SDK is active; asked once for each connection */

/* cpython_executor.c and the like: replace their functions, where their modules are loaded. */
void cpython_executors(void);
void cpython_loops(void);
void cpython_queues(void);
void cpython_threads(void);
void cpython_clients(void);

/* Hooks: the program begins to listen, has accepted (or not: `descriptor` -1), connects, has loaded a library. */
void cpython_listens(void);
void cpython_accepts(int listener, int descriptor);
void cpython_connects(void);
void cpython_loads(const char *path);

#endif
