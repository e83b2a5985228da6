/* Recognises CPython in the process and puts the adapter in, when the program begins to listen. */
#include "cpython.h"

#include "loader.h"

struct python py;
bool cpython_news;

static enum { NOT_LOOKED, ABSENT, PRESENT, IN_PLACE, OVER } state;
static void *main_interpreter;

static const char *const names[] = {
#define API(result, name, parameters) #name,
#define MAYBE API
#include "cpython.def"
#undef API
#undef MAYBE
};
static const bool optional[] = {
#define API(result, name, parameters) false,
#define MAYBE(result, name, parameters) true,
#include "cpython.def"
#undef API
#undef MAYBE
};
_Static_assert(sizeof py == sizeof names && COUNT(names) <= API_NAMES, "one pointer each");

/* A free-threaded build has other objects, and no lock to rely on: it is left to the rules. */
static bool find_python(void) {
    return find_api(names, optional, COUNT(names), (void **)&py) && !py._Py_MergeZeroLocalRefcount;
}

/* -- small things */

void release(struct object *object) {
    if (object)
        py.Py_DecRef(object);
}

struct object *attribute(struct object *object, const char *name) {
    struct object *found = object ? py.PyObject_GetAttrString(object, name) : NULL;
    if (!found)
        py.PyErr_Clear();
    return found;
}

struct object *module_loaded(const char *name) {
    struct object *text = py.PyUnicode_FromString(name);
    struct object *module = text ? py.PyImport_GetModule(text) : NULL;
    if (!module)
        py.PyErr_Clear();
    release(text);
    return module;
}

struct object *called(struct object *object, const char *name, struct object *argument) {
    struct object *method = attribute(object, name), *result = NULL;
    if (method)
        result = py.PyObject_CallFunctionObjArgs(method, argument, NULL);
    if (!result)
        py.PyErr_Clear();
    release(method);
    return result;
}

bool has_type(struct object *object, const char *name) {
    struct object *text = attribute(object->type ? object->type : object, "__name__");
    bool same = text && py.PyUnicode_CompareWithASCIIString(text, name) == 0;
    release(text);
    return same;
}

static void *interpreter(void) {
    return py.PyInterpreterState_Get ? py.PyInterpreterState_Get() : py._PyInterpreterState_Get();
}

static bool is_finalizing(void) {
    if (!py.Py_IsInitialized())
        return true;
    return py.Py_IsFinalizing ? py.Py_IsFinalizing() : py._Py_IsFinalizing && py._Py_IsFinalizing();
}

bool cpython_usable(void) {
    return state == IN_PLACE && interpreter() == main_interpreter;
}

/* -- in and out */

/* An OpenTelemetry SDK that makes spans in this program knows more than we do. */
static bool has_other_tracer(void) {
    struct object *module = module_loaded("opentelemetry.trace");
    struct object *provider = attribute(module, "_TRACER_PROVIDER");
    struct object *method = attribute(provider, "get_tracer"); /* None has none */
    release(method);
    release(provider);
    release(module);
    return method != NULL;
}

/* What was replaced stays in its place, and does nothing from now on: other threads may be in it. */
static void take_out(void) {
    state = OVER;
}

void cpython_gives_way(void) {
    if (state == IN_PLACE && has_other_tracer())
        take_out();
}

void cpython_look_again(void) {
    struct object *type, *value, *traceback;
    cpython_news = false;
    py.PyErr_Fetch(&type, &value, &traceback);
    if (has_other_tracer()) {
        take_out();
    } else {
        cpython_contexts();
        cpython_executors();
        cpython_loops();
        cpython_queues();
        cpython_threads();
        cpython_clients();
    }
    py.PyErr_Restore(type, value, traceback);
}

/* With the interpreter's lock. After the interpreter has ended its objects are no more. */
static void put_in(void) {
    if (interpreter() != py.PyInterpreterState_Main() || py.Py_AtExit(take_out) != 0)
        return;
    main_interpreter = interpreter();
    state = IN_PLACE;
    cpython_look_again();
}

/* A thread of the interpreter's that listens has let its lock go, or has it still; either way it may take it. Threads that
 * are none of the interpreter's, and an interpreter that ends, are left alone. */
static void try_to_put_in(void) {
    if (!(py.PyInterpreterState_Get || py._PyInterpreterState_Get) || is_finalizing() || !py.PyGILState_GetThisThreadState())
        return;
    int held = py.PyGILState_Ensure();
    if (state == PRESENT)
        put_in();
    py.PyGILState_Release(held);
}

void cpython_listens(void) {
    if (LIKELY(state >= IN_PLACE) || !agent.runtime_hooks || agent.status != ACTIVE || borrows_memory())
        return;
    int kept = errno_kept();
    if (state != PRESENT)
        state = find_python() ? PRESENT : ABSENT;
    if (state == PRESENT)
        try_to_put_in();
    errno_back(kept);
}

/* The first accept of a process that was given its listening socket stands for the listening. */
void cpython_accepts(int listener, int descriptor) {
    if (LIKELY(state == ABSENT || state == OVER))
        return;
    if (UNLIKELY(state != IN_PLACE))
        cpython_listens();
    here.listener = listener;
    here.accepted = descriptor >= 0 && (u32)descriptor < agent.covered ? agent.table[descriptor] : UNKNOWN;
}

static bool contains(const char *path, const char *part) {
    for (; *path; path++) {
        u32 i = 0;
        while (part[i] && path[i] == part[i])
            i++;
        if (!part[i])
            return true;
    }
    return false;
}

/* A module written in C is about to be initialised. Of uvloop the functions are needed before anything listens. */
void cpython_loads(const char *path) {
    if (LIKELY(state == OVER) || !path)
        return;
    if (state != IN_PLACE && contains(path, "/uvloop/"))
        cpython_listens();
    if (state == IN_PLACE)
        cpython_news = true;
}
