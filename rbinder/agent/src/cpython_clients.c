/* Clients that keep requests waiting in queues of their own, and begin one in passing, when another's has ended: in the
 * context of whomever that was for. Tornado's does so beyond ten at a time. Whom a request is for is noted where it is
 * handed to the client, and said while it is begun.
 */
#include "cpython.h"

static struct object *fetch, *handle; /* SimpleAsyncHTTPClient's functions, as they were */
static _Thread_local struct object *fetching; /* the request that is being handed over */
static bool waits;                    /* tornado.httpclient is loaded, and will load the other one when it is used */

static struct object *first_of(struct object *arguments) {
    return py.PyTuple_Size(arguments) > 0 ? py.PyTuple_GetItem(arguments, 0) : NULL;
}

static struct object *call(struct object *function, struct object *self, struct object *arguments, struct object *keywords) {
    struct object *bound = py.PyMethod_New(function, self);
    struct object *result = bound ? py.PyObject_Call(bound, arguments, keywords) : NULL;
    release(bound);
    return result;
}

/* fetch_impl(request, callback) */
static struct object *fetches(struct object *self, struct object *arguments, struct object *keywords) {
    struct object *request = cpython_usable() ? first_of(arguments) : NULL, *outer = fetching;
    if (request)
        item_put(self, request, task_here());
    fetching = request;
    struct object *result = call(fetch, self, arguments, keywords);
    fetching = outer;
    return result;
}

static void say(struct saying saying) {
    struct object *type, *value, *traceback;
    py.PyErr_Fetch(&type, &value, &traceback);
    saying_set(saying);
    py.PyErr_Restore(type, value, traceback);
}

/* _handle_request(request, release_callback, final_callback) */
static struct object *handles(struct object *self, struct object *arguments, struct object *keywords) {
    struct object *request = cpython_usable() ? first_of(arguments) : NULL;
    if (!request)
        return call(handle, self, arguments, keywords);
    u64 task = item_taken(self, request);
    if (request == fetching) /* at once, where it is asked for */
        return call(handle, self, arguments, keywords);
    struct saying before = saying_here();
    say((struct saying){WORKS_FOR, task == TASK_UNKNOWN ? TASK_NONE : task, 0});
    struct object *result = call(handle, self, arguments, keywords);
    say(before);
    return result;
}

static struct method fetch_method = {"fetch_impl", (void *)fetches, BY_TUPLE | BY_KEYWORDS, NULL};
static struct method handle_method = {"_handle_request", (void *)handles, BY_TUPLE | BY_KEYWORDS, NULL};

void cpython_clients(void) {
    if (handle)
        return;
    struct object *module = module_loaded("tornado.simple_httpclient");
    struct object *class = attribute(module, "SimpleAsyncHTTPClient");
    if (class && replace_function(class, &handle_method, &handle))
        replace_function(class, &fetch_method, &fetch);
    struct object *other = class ? NULL : module_loaded("tornado.httpclient");
    waits = other;
    release(other);
    release(class);
    release(module);
}

void cpython_connects(void) {
    if (UNLIKELY(waits))
        cpython_news = true;
}
