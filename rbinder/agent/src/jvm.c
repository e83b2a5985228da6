/* The adapter for Java. At the first listen() of a process that has a Java virtual machine in it, the classes of agent/jvm
 * are defined there, and those classes of the JDK and of libraries that hand work over are changed to tell them (JVM TI's
 * RetransformClasses, and what is loaded later as it is loaded). From then on the machine is asked at each request that is
 * sent, and told of each that is read. What goes wrong leaves all as it was: nothing is printed, and nothing thrown.
 *
 * An agent for tracing that the program brought itself stays alone.
 */
#include "jvm.h"

#include "jvm_interface.h"
#include "tasks.h"
#include "text.h"

#if __has_include("jvm_classes.h")
#include "jvm_classes.h" /* build.py: the compiled classes, each as its size in 4 bytes and then itself */
#else
static const u8 jvm_classes[] = {0};
#endif

#define MOST_NAMES 4096u /* bytes of the names of classes that are changed */
#define MOST_CHANGED 256u

static struct {
    interface machine, jvmti;
    object tasks, queues, current, read, patcher, patch;
    char names[MOST_NAMES]; /* each ended by a line's end */
    u64 filter;             /* the names' hashes: most classes aren't among them */
} jvm;

/* -- the classes that are changed */

static u32 hash_of(const char *name, u32 size) {
    return (u32)(hash_bytes(HASH_START, (struct bytes){(const u8 *)name, size}) >> 32) & 63;
}

/* Up to the line's end. */
static u32 line_size(const char *text) {
    u32 size = 0;
    while (text[size] && text[size] != '\n')
        size++;
    return size;
}

static void make_filter(void) {
    for (const char *at = jvm.names; *at;) {
        u32 size = line_size(at);
        jvm.filter |= 1ull << hash_of(at, size);
        at += size + (at[size] != 0);
    }
}

static bool is_changed(const char *name, u32 size) {
    if (!(jvm.filter >> hash_of(name, size) & 1))
        return false;
    for (const char *at = jvm.names; *at;) {
        u32 own = line_size(at);
        if (own == size && memcmp(at, name, size) == 0)
            return true;
        at += own + (at[own] != 0);
    }
    return false;
}

/* -- changing them */

static bool thrown(interface jni) {
    if (!EXCEPTION_CHECK(jni))
        return false;
    EXCEPTION_CLEAR(jni);
    return true;
}

static void patch(interface jvmti, interface jni, const char *name, int size, const u8 *at, int *new_size, u8 **new_at) {
    object text = NEW_STRING(jni, name), from = NEW_BYTES(jni, size);
    if (thrown(jni) || !text || !from)
        return;
    SET_BYTES(jni, from, size, at);
    object to = CALL_OBJECT(jni, jvm.patcher, jvm.patch, ((union value[]){{.object = text}, {.object = from}}));
    if (thrown(jni) || !to)
        return;
    int count = ARRAY_LENGTH(jni, to);
    u8 *room = NULL;
    if (ALLOCATE(jvmti, count, &room) != 0 || !room)
        return;
    GET_BYTES(jni, to, count, room);
    *new_size = count;
    *new_at = room;
}

static void class_loads(interface jvmti, interface jni, object redefined, object loader, const char *name, object domain,
                        int size, const u8 *at, int *new_size, u8 **new_at) {
    (void)redefined, (void)loader, (void)domain;
    if (!name || !is_changed(name, length(name)) || EXCEPTION_CHECK(jni))
        return;
    if (PUSH_FRAME(jni, 8) != JNI_OK) {
        thrown(jni);
        return;
    }
    patch(jvmti, jni, name, size, at, new_size, new_at);
    POP_FRAME(jni);
}

/* -- loading ours */

static bool define_all(interface jni) {
    for (u32 at = 0; at + 4 < sizeof jvm_classes;) {
        u32 size = (u32)jvm_classes[at] | (u32)jvm_classes[at + 1] << 8 | (u32)jvm_classes[at + 2] << 16;
        object type = DEFINE_CLASS(jni, NULL, jvm_classes + at + 4, (int)size);
        if (thrown(jni) || !type)
            return false;
        if (jvm_classes[at + 3] == 1)
            jvm.tasks = GLOBAL_REFERENCE(jni, type);
        else if (jvm_classes[at + 3] == 2)
            jvm.patcher = GLOBAL_REFERENCE(jni, type);
        else if (jvm_classes[at + 3] == 3)
            jvm.queues = GLOBAL_REFERENCE(jni, type);
        at += 4 + size;
    }
    return jvm.tasks && jvm.patcher && jvm.queues;
}

static u8 is_open(interface jni, object type, u64 task) {
    (void)jni, (void)type;
    return task_open(task);
}

static bool find_methods(interface jni) {
    static const struct native open = {"open", "(J)Z", (void *)is_open};
    jvm.current = STATIC_METHOD(jni, jvm.tasks, "current", "()J");
    jvm.read = thrown(jni) ? NULL : STATIC_METHOD(jni, jvm.tasks, "read", "(J)V");
    jvm.patch = thrown(jni) ? NULL : STATIC_METHOD(jni, jvm.patcher, "patch", "(Ljava/lang/String;[B)[B");
    bool known = !thrown(jni) && REGISTER(jni, jvm.queues, &open) == JNI_OK;
    return !thrown(jni) && known && jvm.current && jvm.read && jvm.patch;
}

static bool learn_names(interface jni) {
    object method = STATIC_METHOD(jni, jvm.patcher, "classes", "()[B");
    object names = thrown(jni) || !method ? NULL : CALL_OBJECT(jni, jvm.patcher, method, NULL);
    if (thrown(jni) || !names)
        return false;
    int size = ARRAY_LENGTH(jni, names);
    if ((u32)size >= MOST_NAMES)
        return false;
    GET_BYTES(jni, names, size, (u8 *)jvm.names);
    make_filter();
    return true;
}

/* -- what is loaded already */

struct loaded {
    object found[MOST_CHANGED];
    int count;
    bool traced; /* the program has a tracer of its own */
};

static bool is_tracer(const char *signature) {
    return begins(signature, "Lio/opentelemetry/javaagent/") ||
           begins(signature, "Lio/opentelemetry/sdk/trace/SdkTracerProvider;");
}

static void look_at(object type, struct loaded *loaded) {
    char *signature = NULL;
    if (CLASS_SIGNATURE(jvm.jvmti, type, &signature) != 0 || !signature)
        return;
    loaded->traced |= is_tracer(signature);
    u32 size = length(signature);
    if (*signature == 'L' && (u32)loaded->count < MOST_CHANGED && is_changed(signature + 1, size - 2))
        loaded->found[loaded->count++] = type;
    DEALLOCATE(jvm.jvmti, signature);
}

static void find_loaded(interface jni, struct loaded *loaded) {
    object *all = NULL;
    int count = 0;
    if (LOADED_CLASSES(jvm.jvmti, &count, &all) != 0)
        return;
    for (int i = 0; i < count; i++) {
        int before = loaded->count;
        look_at(all[i], loaded);
        if (loaded->count == before)
            DELETE_REFERENCE(jni, all[i]);
    }
    DEALLOCATE(jvm.jvmti, all);
}

static bool change_loaded(interface jni, struct loaded *loaded) {
    static const struct callbacks callbacks = {.class_file_load_hook = class_loads};
    if (SET_CALLBACKS(jvm.jvmti, &callbacks, sizeof callbacks) != 0 ||
        SET_EVENT(jvm.jvmti, JVMTI_ENABLE, CLASS_FILE_LOAD_HOOK) != 0)
        return false;
    if (RETRANSFORM(jvm.jvmti, loaded->count, loaded->found) == 0)
        return true;
    for (int i = 0; i < loaded->count; i++) /* one that can't be changed shall not keep the others from it */
        RETRANSFORM(jvm.jvmti, 1, &loaded->found[i]);
    thrown(jni);
    return true;
}

/* -- the adapter */

/* A thread that the machine doesn't know, or that has an exception to throw, isn't asked. */
static interface own_environment(void) {
    interface jni = NULL;
    if (GET_ENVIRONMENT(jvm.machine, &jni, JNI_VERSION_9) != JNI_OK || EXCEPTION_CHECK(jni))
        return NULL;
    return jni;
}

static u64 current(int descriptor) {
    (void)descriptor;
    interface jni = own_environment();
    if (!jni)
        return TASK_UNKNOWN;
    u64 task = (u64)CALL_LONG(jni, jvm.tasks, jvm.current, NULL);
    return thrown(jni) ? TASK_UNKNOWN : task;
}

static void observes_read(int descriptor, u64 task) {
    (void)descriptor;
    interface jni = own_environment();
    if (!jni)
        return;
    union value value = {.number = task == TASK_UNKNOWN ? TASK_NONE : task};
    CALL_VOID(jni, jvm.tasks, jvm.read, &value);
    thrown(jni);
}

static void load(interface jni) {
    struct loaded loaded = {.count = 0};
    struct capabilities wanted = {.bits = {[4] = CAN_RETRANSFORM}};
    if (!define_all(jni) || !find_methods(jni) || !learn_names(jni))
        return;
    find_loaded(jni, &loaded);
    if (loaded.traced || ADD_CAPABILITIES(jvm.jvmti, &wanted) != 0 || !change_loaded(jni, &loaded))
        return;
    runtime.resumes = true;
    runtime.current = current;
    runtime.observes_read = observes_read;
}

/* With as many references as it takes; they end with the frame. */
static void load_in(interface machine) {
    interface jni = NULL;
    jvm.machine = machine;
    if (GET_ENVIRONMENT(machine, &jni, JNI_VERSION_9) != JNI_OK || EXCEPTION_CHECK(jni))
        return;
    if (GET_ENVIRONMENT(machine, &jvm.jvmti, JVMTI_VERSION_9) != JNI_OK || PUSH_FRAME(jni, 60000) != JNI_OK) {
        thrown(jni);
        return;
    }
    load(jni);
    POP_FRAME(jni);
    if (!runtime.resumes)
        DISPOSE(jvm.jvmti);
}

void jvm_serves(void) {
    static u32 done;
    if (sizeof jvm_classes < 8 || __atomic_load_n(&done, __ATOMIC_RELAXED) || !agent.runtime_hooks || borrows_memory())
        return;
    get_machines *get = (get_machines *)next_definition("JNI_GetCreatedJavaVMs");
    interface machine = NULL;
    int count = 0;
    if (!get || get(&machine, 1, &count) != JNI_OK || count != 1 || __atomic_exchange_n(&done, 1, __ATOMIC_ACQ_REL))
        return;
    load_in(machine);
}
