/* The adapter for CPython: which request a coroutine, a greenlet or an executor's thread works for.
 *
 * A ContextVar of ours says it. What the interpreter runs already keeps and copies contexts as control goes from one thing
 * to another; all that is done here is to set the variable where a connection is accepted, to make it more exact where a
 * context is copied, and to read it where a request is sent:
 *
 *     socket.accept     the context listens on L; the connection accepted last there is noted
 *     a copy is made    of "listens on L": works for connection C; of "works for C": for the request that C brought
 *     socket.send       the request that the context names, or the only open one of the connection it names
 *
 * There is no Python code, and no call is added that the program could see in a traceback: the C functions behind those
 * methods are replaced in their own tables (cpython_methods.c). They run where the interpreter's lock is held anyway, so no
 * thread ever waits for it because of us; it is taken once, when the program begins to listen.
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
    UV_WRITE, UV_WRITELINES, GEVENT_PUT, GEVENT_GET, GEVENT_GET_NOWAIT, METHODS
};
extern function *originals[METHODS];

/* Puts `ours` in the place of the function behind object.name. False: it isn't as known, and stays. */
bool replace_method(struct object *object, const char *name, enum method_number number, function *ours);
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
    HIRED_FOR  /* the same, until it takes the next one from its queue */
};
struct saying {
    u64 kind, number;
    void *queue; /* HIRED_FOR: which one it is; else NULL */
};

struct saying saying_here(void);
void saying_set(struct saying saying); /* in the current context */
u64 task_of_saying(struct saying saying); /* TASK_UNKNOWN: the rules decide */
struct saying saying_copied(struct saying saying); /* what a copy of the context is to say */
struct object *context_saying(struct object *copied, struct saying saying); /* a copy, or with NULL a new one; NULL: failed */
void cpython_contexts(void);

/* What this thread is at, in one of the functions that were replaced. */
struct here {
    struct saying asked;        /* valid while something is sent */
    bool asks;
    bool accepts;             /* connections were accepted on this thread: what isn't said here is for nobody */
    int listener;             /* of the accept that is under way; -1: none */
    u64 accepted, read;       /* entries: what was accepted last, what a request's head was read from last */
    void *queue;              /* from which it took the work that it is at */
};
extern _Thread_local struct here here;

/* -- the rest */

/* cpython.c. Whether the interpreter that calls is ours to ask; that costs nothing. */
bool cpython_usable(void);
struct object *module_loaded(const char *name); /* NULL: it isn't imported */
struct object *attribute(struct object *object, const char *name); /* NULL: none; no error is left */
void release(struct object *object); /* NULL is fine */
/* Modules may have been imported since: those whose functions are to be replaced. */
extern bool cpython_news;
void cpython_look_again(void);
void cpython_gives_way(void); /* where an OpenTelemetry SDK is active; asked once for each connection */

/* cpython_executor.c, cpython_loops.c: replace their functions, where their modules are loaded. */
void cpython_executors(void);
void cpython_loops(void);

/* Hooks: the program begins to listen, has accepted (or not: `descriptor` -1), has loaded a library. */
void cpython_listens(void);
void cpython_accepts(int listener, int descriptor);
void cpython_loads(const char *path);

#endif
