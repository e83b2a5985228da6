/* Event loops that go past the socket module, or keep contexts in a way of their own: uvloop and gevent.
 *
 * uvloop reads and writes by libuv, between callbacks. What a transport writes leaves at the end of the loop's turn, so it is
 * said at write() whom it is for. All connections of a server share one context; each is given a copy of its own here: when
 * a protocol is made for a connection, the server's context, which its transport takes next, is replaced by the copy.
 *
 * gevent's greenlets begin with an empty context: each gets one that says what its maker's says.
 */
#include "cpython.h"

#define SERVERS 64u
#define DEPTH 4u /* of objects, from the loop to its servers */

struct server {
    struct object *object;  /* not counted: it is there while its context is current */
    struct object *context; /* as it was at first; counted */
    u32 offset;             /* of its context in it */
    u64 last;               /* the connection whose context it has */
};
static struct server servers[SERVERS];
static u32 server_count;
static bool has_gevent;

/* -- calls */

static long number_of(struct object *number) {
    long value = number ? py.PyLong_AsLong(number) : -1;
    if (value < 0)
        py.PyErr_Clear();
    release(number);
    return value;
}

/* -- uvloop's servers: found from their loop by what the garbage collector may ask of objects */

static bool is_on_the_way(struct object *object) {
    static const char *const types[] = {"set", "list", "Server", "TCPServer", "UnixServer"};
    for (u32 i = 0; i < COUNT(types); i++)
        if (has_type(object, types[i]))
            return true;
    return false;
}

/* The only place in an object that holds a context; 0: there is none, or more than one. */
static u32 context_offset(struct object *object, struct object *context_type) {
    u32 found = 0, size = (u32)number_of(attribute(object->type, "__basicsize__"));
    for (u32 offset = sizeof *object; offset + sizeof(void *) <= MIN(size, 1024u); offset += sizeof(void *)) {
        struct object *held;
        memcpy(&held, (u8 *)object + offset, sizeof held);
        if (!held || (uintptr_t)held % sizeof(void *) || !is_readable(held, sizeof *held) || held->type != context_type)
            continue;
        if (found)
            return 0;
        found = offset;
    }
    return found;
}

static struct object **context_of(const struct server *server) {
    return (struct object **)(void *)((u8 *)server->object + server->offset);
}

/* A server of ours, from now on: its context bears its number. The one that is calling is in its context already. */
static void note_server(struct object *object, struct object *context_type) {
    u32 offset = context_offset(object, context_type);
    if (!offset || server_count == SERVERS)
        return;
    struct server *server = &servers[server_count++];
    *server = (struct server){.object = object, .offset = offset, .last = ~0ull - server_count};
    server->context = *context_of(server);
    py.Py_IncRef(server->context);
    struct saying saying = {SERVES, server->last, 0};
    if (py.PyContext_Enter(server->context) == 0) {
        saying_set(saying);
        py.PyContext_Exit(server->context);
    } else {
        py.PyErr_Clear();
        saying_set(saying);
    }
}

struct search {
    struct object *collector, *factory, *context_type;
};

static void find_servers(const struct search *search, struct object *from, u32 depth) {
    struct object *list = called(search->collector, "get_referents", from);
    s64 count = list ? py.PyList_Size(list) : 0;
    for (s64 i = 0; i < count; i++) {
        struct object *object = py.PyList_GetItem(list, i);
        if (object == search->factory)
            note_server(from, search->context_type);
        else if (depth && is_on_the_way(object))
            find_servers(search, object, depth - 1);
    }
    release(list);
}

static struct server *server_here(void) {
    struct saying saying = saying_here();
    for (u32 i = 0; i < server_count; i++)
        if (saying.kind == SERVES && servers[i].last == saying.number)
            return &servers[i];
    return NULL;
}

static struct server *find_server(struct object *loop, struct object *factory) {
    struct server *server = server_here();
    if (server)
        return server;
    struct object *context = py.PyContext_CopyCurrent(), *collector = py.PyImport_ImportModule("gc");
    struct search search = {collector, factory, context ? context->type : NULL};
    if (context && collector)
        find_servers(&search, loop, DEPTH);
    py.PyErr_Clear();
    release(context);
    release(collector);
    return server_here();
}

/* -- uvloop: a protocol is made for a connection that was just accepted */

static void give_context(struct server *server, u64 entry) {
    struct object *context = context_saying(server->context, (struct saying){SERVES, entry, 0});
    if (!context)
        return;
    struct object **place = context_of(server), *former = *place;
    *place = context;
    server->last = entry;
    release(former);
}

/* `self` is a list: the loop, the program's own factory, this callable. */
static struct object *makes_protocol(struct object *self, struct object *nothing) {
    (void)nothing;
    u64 entry = here.accepted;
    struct object *protocol = py.PyObject_CallObject(py.PyList_GetItem(self, 1), NULL);
    here.accepted = UNKNOWN;
    if (protocol)
        cpython_gives_way();
    if (!protocol || entry < FIRST_CONNECTION || !cpython_usable())
        return protocol;
    if (UNLIKELY(cpython_news))
        cpython_look_again();
    here.accepts = true;
    struct server *server = find_server(py.PyList_GetItem(self, 0), py.PyList_GetItem(self, 2));
    if (server)
        give_context(server, entry);
    return protocol;
}

static struct method factory_method = {"protocol_factory", (void *)makes_protocol, BY_NOTHING, NULL};

static struct object *factory_for(struct object *loop, struct object *factory) {
    struct object *self = py.PyList_New(3), *ours = NULL;
    if (self) {
        py.Py_IncRef(loop);
        py.Py_IncRef(factory);
        py.PyList_SetItem(self, 0, loop);
        py.PyList_SetItem(self, 1, factory);
        ours = py.PyCFunction_NewEx(&factory_method, self, NULL);
    }
    if (ours) {
        py.Py_IncRef(ours);
        py.PyList_SetItem(self, 2, ours);
    }
    py.PyErr_Clear();
    release(self);
    return ours;
}

/* The vector of arguments is the caller's: it is as it was when the call has returned. */
static void *creating(enum method_number number, void *self, void *a, void *b, void *c, void *d) {
    struct object **place = cpython_usable() ? argument_at(number, a, b, c, 0) : NULL;
    struct object *ours = place ? factory_for(self, *place) : NULL, *theirs = ours ? *place : NULL;
    if (ours)
        *place = ours;
    void *result = originals[number](self, a, b, c, d);
    if (ours)
        *place = theirs;
    release(ours);
    return result;
}

static void *creates_server(void *self, void *a, void *b, void *c, void *d) {
    return creating(UV_SERVER, self, a, b, c, d);
}

static void *creates_unix_server(void *self, void *a, void *b, void *c, void *d) {
    return creating(UV_UNIX_SERVER, self, a, b, c, d);
}

/* -- uvloop: a transport is written to */

static long descriptor_of(struct object *transport) {
    struct object *name = py.PyUnicode_FromString("socket");
    struct object *socket = name ? called(transport, "get_extra_info", name) : NULL;
    long descriptor = socket ? number_of(called(socket, "fileno", NULL)) : -1;
    release(socket);
    release(name);
    return descriptor;
}

static void say_whose(struct object *transport) {
    struct saying saying = saying_here();
    u64 task = task_of_saying(saying);
    hire_called(saying.hire);
    long descriptor = task == TASK_UNKNOWN ? -1 : descriptor_of(transport);
    if (descriptor >= 0)
        task_bind((int)descriptor, task);
}

static void *writes(void *self, void *a, void *b, void *c, void *d) {
    if (cpython_usable())
        say_whose(self);
    return originals[UV_WRITE](self, a, b, c, d);
}

static void *writes_lines(void *self, void *a, void *b, void *c, void *d) {
    if (cpython_usable())
        say_whose(self);
    return originals[UV_WRITELINES](self, a, b, c, d);
}

static void uvloop_methods(struct object *module) {
    struct object *loop = attribute(module, "Loop"), *transport = attribute(module, "TCPTransport");
    if (loop && transport && replace_method(transport, "write", UV_WRITE, writes) &&
        replace_method(transport, "writelines", UV_WRITELINES, writes_lines)) {
        replace_method(loop, "create_server", UV_SERVER, creates_server);
        replace_method(loop, "create_unix_server", UV_UNIX_SERVER, creates_unix_server);
    }
    release(loop);
    release(transport);
}

/* -- gevent */

/* What starts a thread of the threading module: it is nobody's in particular, as threads are. */
static bool is_thread(struct object *greenlet) {
    struct object *run = attribute(greenlet, "_run"), *name = attribute(run, "__name__");
    bool is = name && py.PyUnicode_CompareWithASCIIString(name, "_bootstrap") == 0;
    release(name);
    release(run);
    return is;
}

static struct object *greenlet_begins(struct object *nothing, struct object *greenlet) {
    (void)nothing;
    struct saying saying = saying_copied(saying_here());
    if (saying.kind != NOT_SAID && cpython_usable() && !is_thread(greenlet)) {
        struct object *context = context_saying(NULL, saying);
        if (context && py.PyObject_SetAttrString(greenlet, "gr_context", context) != 0)
            py.PyErr_Clear();
        release(context);
    }
    struct object *none = py.PyUnicode_FromString(""); /* what a callback returns is dropped */
    return none;
}

static struct method greenlet_method = {"greenlet_begins", (void *)greenlet_begins, BY_ONE, NULL};

static void gevent_callback(struct object *module) {
    struct object *class = attribute(module, "Greenlet");
    struct object *callback = class ? py.PyCFunction_NewEx(&greenlet_method, NULL, NULL) : NULL;
    if (callback)
        release(called(class, "add_spawn_callback", callback));
    py.PyErr_Clear();
    has_gevent = true;
    release(callback);
    release(class);
}

/* -- */

void cpython_loops(void) {
    struct object *uvloop = originals[UV_WRITE] ? NULL : module_loaded("uvloop.loop");
    struct object *gevent = has_gevent ? NULL : module_loaded("gevent.greenlet");
    if (uvloop)
        uvloop_methods(uvloop);
    if (gevent)
        gevent_callback(gevent);
    release(uvloop);
    release(gevent);
}
