/* Node serves many requests on one thread, and can be asked which of them runs: what is asynchronous there has ids, which lead
 * from a request to its promises, timers and events. A bridge (../node.cjs) asks, and says it here.
 *
 *     node starts     getenv("NODE_OPTIONS")      → "--require .../node.cjs", and what the user has there
 *     the bridge      process.dlopen(this library) → napi_register_module_v1: the functions below
 *     request read    task_begun(fd)              → kept under a number that the bridge gives it
 *     request sent    task_bind(fd, its task)     just before its head is written
 *
 * The environment stays as it is: only Node's own question at its start is answered otherwise, until the bridge is there;
 * no program's code has run by then. Where Node was told to load no addons, or that its program may not read any file, it
 * isn't asked to load ours.
 */
#include "node.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hooks.h"
#include "tasks.h"
#include "text.h"

#define BRIDGE "node.cjs"
#define REQUIRE "--require "
#define MOST_OPTIONS 16384u /* bytes of NODE_OPTIONS; with more there is no bridge */
#define MOST_WORDS 16384u   /* bytes of the command line that are looked at */
#define MOST_PATH 1024u
#define MOST_WRAPPED 16u    /* functions, in each of Node's environments: the main one and each worker's */
#define MOST_ARGUMENTS 8u
#define PLACES (1u << 16)   /* of requests: one's number ends in its place */
#define SWEPT 64u           /* places at once */

/* -- Node-API, as far as it is used here (node_api.h: the same for all versions) */

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_ref__ *napi_ref;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env env, napi_callback_info info);
typedef int napi_status; /* 0: done */
#define AUTO_LENGTH ((size_t)-1)

#define NODE_API(name, ...) extern napi_status name(napi_env env, ##__VA_ARGS__) __attribute__((weak))
NODE_API(napi_get_cb_info, napi_callback_info info, size_t *count, napi_value *arguments, napi_value *self, void **data);
NODE_API(napi_create_function, const char *name, size_t size, napi_callback call, void *data, napi_value *function);
NODE_API(napi_set_named_property, napi_value object, const char *name, napi_value value);
NODE_API(napi_get_value_int32, napi_value value, int32_t *result);
NODE_API(napi_get_value_double, napi_value value, double *result);
NODE_API(napi_get_typedarray_info, napi_value array, int *type, size_t *length, void **data, napi_value *buffer, size_t *offset);
NODE_API(napi_get_boolean, bool value, napi_value *result);
NODE_API(napi_get_value_bool, napi_value value, bool *result);
NODE_API(napi_call_function, napi_value self, napi_value function, size_t count, const napi_value *arguments, napi_value *result);
NODE_API(napi_create_reference, napi_value value, u32 count, napi_ref *reference);
NODE_API(napi_get_reference_value, napi_ref reference, napi_value *value);
NODE_API(napi_is_exception_pending, bool *pending);
NODE_API(napi_get_and_clear_last_exception, napi_value *exception);
NODE_API(napi_get_value_string_utf8, napi_value value, char *text, size_t room, size_t *size);
NODE_API(napi_set_instance_data, void *data, void (*finalize)(napi_env, void *, void *), void *hint);
NODE_API(napi_get_instance_data, void **data);
extern int node_start_function(int count, char **words) __asm__("_ZN4node5StartEiPPc") __attribute__((weak));

/* -- what Node finds in NODE_OPTIONS */

static char options[MOST_OPTIONS];
static bool answers; /* until the bridge is loaded */

HOOKED char *getenv(const char *name) {
    static const char wanted[] = "NODE_OPTIONS";
    if (UNLIKELY(__atomic_load_n(&answers, __ATOMIC_ACQUIRE)) && name) {
        u32 at = 0;
        while (wanted[at] && name[at] == wanted[at])
            at++;
        if (!wanted[at] && !name[at])
            return options;
    }
    return NEXT(getenv)(name);
}

static const char *last_part(const char *path) {
    const char *part = path;
    for (; *path; path++)
        if (*path == '/')
            part = path + 1;
    return part;
}

bool node_is_here(void) {
    return node_start_function && napi_create_function;
}

/* The executable is called node, nodejs, node20 or the like; other programs may have Node in them, and options of their own. */
static bool is_node(void) {
    char path[MOST_PATH];
    if (!node_is_here() || !napi_set_instance_data)
        return false;
    long size = raw_call(__NR_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)path, sizeof path - 1, 0, 0);
    if (size <= 0)
        return false;
    path[size] = 0;
    return begins(last_part(path), "node");
}

/* Of a word, or anywhere in NODE_OPTIONS. The permission model would forbid our file to be read, and end the program. */
static bool forbids(const char *word) {
    static const char *const words[] = {"--permission", "--experimental-permission", "--no-addons", "--experimental-policy",
                                        "--build-snapshot", "--experimental-default-config", "--experimental-config"};
    for (u32 i = 0; i < COUNT(words); i++)
        if (begins(word, words[i]))
            return true;
    return false;
}

static bool is_forbidden(const char *given) {
    char words[MOST_WORDS];
    for (const char *at = given; *at; at++)
        if (forbids(at))
            return true;
    long fd = raw_call(__NR_openat, AT_FDCWD, (long)"/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return true;
    long size = raw_call(__NR_read, fd, (long)words, sizeof words - 1, 0, 0, 0);
    raw_call(__NR_close, fd, 0, 0, 0, 0, 0);
    words[MAX(size, 0)] = 0;
    for (long at = 0; at < size; at += length(words + at) + 1)
        if (forbids(words + at))
            return true;
    return size <= 0;
}

/* Quotes and backslashes would have to be escaped, and blanks be quoted; our path has none (place.py). */
static bool is_plain(const char *path) {
    for (; *path; path++)
        if (*path == ' ' || *path == '"' || *path == '\\')
            return false;
    return true;
}

void node_start(const char *library) {
    u32 directory = (u32)(last_part(library) - library);
    if (!is_node() || directory + sizeof BRIDGE > MOST_PATH || !is_plain(library) || !NEXT(getenv))
        return;
    const char *given = next.getenv("NODE_OPTIONS");
    given = given ? given : "";
    u32 size = length(given);
    if (sizeof REQUIRE + directory + sizeof BRIDGE + size + 1 > sizeof options || is_forbidden(given))
        return;
    char *path = append(options, REQUIRE, sizeof REQUIRE - 1);
    char *end = append(append(path, library, directory), BRIDGE, sizeof BRIDGE);
    if (raw_call(__NR_faccessat, AT_FDCWD, (long)path, R_OK, 0, 0, 0) != 0)
        return;
    if (size) {
        end[-1] = ' ';
        append(end, given, size + 1);
    }
    __atomic_store_n(&answers, true, __ATOMIC_RELEASE);
}

/* -- what belongs to one of Node's environments */

struct bridge {
    struct {
        napi_ref first, then;
    } functions[MOST_WRAPPED]; /* see wrap() */
    u32 count;
    double *numbers;    /* the bridge's: in its place the number of a request that may be open yet; else 0 */
    u64 tasks[PLACES]; /* of it */
};

static struct bridge *bridge_of(napi_env env) {
    void *data;
    return napi_get_instance_data(env, &data) == 0 ? data : NULL;
}

static u32 place_of(double number) {
    return (u64)number & (PLACES - 1);
}

/* -- what the bridge calls. What it passes wrongly is for no request. */

static int descriptor_of(napi_env env, napi_value value) {
    int32_t descriptor;
    return napi_get_value_int32(env, value, &descriptor) == 0 ? descriptor : -1;
}

static double number_of(napi_env env, napi_value value) {
    double number;
    return napi_get_value_double(env, value, &number) == 0 && number >= 0 && number < 0x1p53 ? number : 0;
}

/* numbered(array): where the numbers stand. */
static napi_value numbered(napi_env env, napi_callback_info info) {
    napi_value argument;
    napi_ref kept;
    size_t count = 1, places;
    void *data;
    struct bridge *bridge = bridge_of(env);
    if (bridge && napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == 0 &&
        napi_get_typedarray_info(env, argument, NULL, &places, &data, NULL, NULL) == 0 && places == PLACES &&
        napi_create_reference(env, argument, 1, &kept) == 0)
        bridge->numbers = data;
    return NULL;
}

/* begun(descriptor, number): whether there is a request that isn't answered yet; it gets that number. */
static napi_value begun(napi_env env, napi_callback_info info) {
    napi_value arguments[2], result;
    size_t count = 2;
    struct bridge *bridge = bridge_of(env);
    if (!bridge || !bridge->numbers || napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != 0)
        return NULL;
    double number = number_of(env, arguments[1]);
    u64 task = task_begun(descriptor_of(env, arguments[0]));
    if (task == TASK_NONE || !number)
        return NULL;
    bridge->numbers[place_of(number)] = number;
    bridge->tasks[place_of(number)] = task;
    return napi_get_boolean(env, true, &result) == 0 ? result : NULL;
}

/* TASK_NONE where another request has got its place. */
static u64 task_numbered(const struct bridge *bridge, double number) {
    u32 place = place_of(number);
    return number && bridge->numbers && bridge->numbers[place] == number ? bridge->tasks[place] : TASK_NONE;
}

/* bind(descriptor, number): undefined is for no request. */
static napi_value bind_to(napi_env env, napi_callback_info info) {
    napi_value arguments[2];
    size_t count = 2;
    struct bridge *bridge = bridge_of(env);
    if (bridge && napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == 0)
        task_bind(descriptor_of(env, arguments[0]), task_numbered(bridge, number_of(env, arguments[1])));
    return NULL;
}

/* open(number): whether the request isn't answered yet. */
static napi_value is_open(napi_env env, napi_callback_info info) {
    napi_value argument, result;
    size_t count = 1;
    struct bridge *bridge = bridge_of(env);
    if (!bridge || napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != 0)
        return NULL;
    u64 task = task_numbered(bridge, number_of(env, argument));
    return napi_get_boolean(env, task != TASK_NONE && task_open(task), &result) == 0 ? result : NULL;
}

/* sweep(number): the places from there on of requests that are answered are free. */
static napi_value sweep(napi_env env, napi_callback_info info) {
    napi_value argument;
    size_t count = 1;
    struct bridge *bridge = bridge_of(env);
    if (!bridge || !bridge->numbers || napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != 0)
        return NULL;
    u32 first = place_of(number_of(env, argument));
    for (u32 i = 0; i < SWEPT; i++) {
        u32 place = (first + i) & (PLACES - 1);
        if (bridge->numbers[place] != 0 && !task_open(bridge->tasks[place]))
            bridge->numbers[place] = 0;
    }
    return NULL;
}

/* told(whether): this thread's calls are bound by bind() alone, or again by the rules. */
static napi_value told(napi_env env, napi_callback_info info) {
    napi_value argument;
    size_t count = 1;
    bool whether;
    if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) == 0 && napi_get_value_bool(env, argument, &whether) == 0)
        task_told(whether);
    return NULL;
}

/* -- functions that do something before what they stand for, and are not seen in stack traces, as one in JavaScript is */

static void forget_exception(napi_env env) {
    bool pending = false;
    napi_value exception;
    if (napi_is_exception_pending(env, &pending) == 0 && pending)
        napi_get_and_clear_last_exception(env, &exception);
}

static napi_value call_wrapped(napi_env env, napi_callback_info info) {
    napi_value arguments[MOST_ARGUMENTS], self, first, then, result;
    size_t count = MOST_ARGUMENTS;
    void *index;
    struct bridge *bridge = bridge_of(env);
    if (!bridge || napi_get_cb_info(env, info, &count, arguments, &self, &index) != 0)
        return NULL;
    count = MIN(count, (size_t)MOST_ARGUMENTS);
    if (napi_get_reference_value(env, bridge->functions[(uintptr_t)index].then, &then) != 0)
        return NULL;
    napi_value told[] = {self, arguments[0], arguments[1]};
    if (napi_get_reference_value(env, bridge->functions[(uintptr_t)index].first, &first) == 0 &&
        napi_call_function(env, self, first, MIN(count, (size_t)2) + 1, told, &result) != 0)
        forget_exception(env);
    return napi_call_function(env, self, then, count, arguments, &result) == 0 ? result : NULL; /* else it throws */
}

/* wrap(first, then, name): a function that calls first(this, its first two arguments), and then `then` as it was called. */
static napi_value wrap(napi_env env, napi_callback_info info) {
    napi_value arguments[3], function;
    size_t count = 3, size;
    char name[64];
    struct bridge *bridge = bridge_of(env);
    if (!bridge || napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != 0)
        return NULL;
    uintptr_t index = bridge->count;
    if (index == MOST_WRAPPED || napi_get_value_string_utf8(env, arguments[2], name, sizeof name, &size) != 0 ||
        napi_create_reference(env, arguments[0], 1, &bridge->functions[index].first) != 0 ||
        napi_create_reference(env, arguments[1], 1, &bridge->functions[index].then) != 0 ||
        napi_create_function(env, name, size, call_wrapped, (void *)index, &function) != 0)
        return NULL;
    bridge->count++;
    return function;
}

/* -- the addon */

static void forget(napi_env env, void *data, void *hint) {
    (void)env, (void)hint;
    raw_call(__NR_munmap, (long)data, sizeof(struct bridge), 0, 0, 0, 0);
}

static void add(napi_env env, napi_value exports, const char *name, napi_callback call) {
    napi_value function;
    if (napi_create_function(env, name, AUTO_LENGTH, call, NULL, &function) == 0)
        napi_set_named_property(env, exports, name, function);
}

/* Called in each of Node's environments, in its thread. Nothing is exported where the agent doesn't work. */
HOOKED napi_value napi_register_module_v1(napi_env env, napi_value exports) {
    __atomic_store_n(&answers, false, __ATOMIC_RELEASE);
    if (!started() || !napi_set_instance_data)
        return exports;
    long page = raw_call(__NR_mmap, 0, sizeof(struct bridge), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page < 0 && page > -4096)
        return exports;
    if (napi_set_instance_data(env, (void *)page, forget, NULL) != 0) {
        forget(env, (void *)page, NULL);
        return exports;
    }
    add(env, exports, "numbered", numbered);
    add(env, exports, "begun", begun);
    add(env, exports, "bind", bind_to);
    add(env, exports, "open", is_open);
    add(env, exports, "sweep", sweep);
    add(env, exports, "told", told);
    add(env, exports, "wrap", wrap);
    return exports;
}
