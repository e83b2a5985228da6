/* What is used of a Java virtual machine's interfaces: places in the tables of functions that JNI and JVM TI define, which
 * are the same in all versions. Written down here so that no JDK is needed to build the agent. */
#ifndef RBINDER_JVM_INTERFACE_H
#define RBINDER_JVM_INTERFACE_H

#include "base.h"

typedef void *object;            /* jobject, jclass, ... */
typedef void **const *interface; /* JNIEnv *, jvmtiEnv *, JavaVM *: a pointer to a pointer to a table of functions */

union value { /* jvalue */
    u64 number;
    object object;
};

#define CALL(on, place, result, types, ...) (((result(*) types)(*(on))[place])(on, ##__VA_ARGS__))

enum { JNI_OK = 0, JNI_VERSION_9 = 0x90000, JVMTI_VERSION_9 = 0x30090000 };

/* JavaVM, and what finds it */
typedef int get_machines(interface *machines, int room, int *count);
#define GET_ENVIRONMENT(machine, to, version) CALL(machine, 6, int, (interface, interface *, int), to, version)

/* JNIEnv */
#define DEFINE_CLASS(jni, name, at, size)                                                                                   \
    CALL(jni, 5, object, (interface, const char *, object, const u8 *, int), name, NULL, at, size)
#define EXCEPTION_CLEAR(jni) CALL(jni, 17, void, (interface))
#define PUSH_FRAME(jni, count) CALL(jni, 19, int, (interface, int), count)
#define POP_FRAME(jni) CALL(jni, 20, object, (interface, object), NULL)
#define GLOBAL_REFERENCE(jni, of) CALL(jni, 21, object, (interface, object), of)
#define DELETE_REFERENCE(jni, of) CALL(jni, 23, void, (interface, object), of)
#define STATIC_METHOD(jni, type, name, signature)                                                                           \
    CALL(jni, 113, object, (interface, object, const char *, const char *), type, name, signature)
#define CALL_OBJECT(jni, type, method, values)                                                                              \
    CALL(jni, 116, object, (interface, object, object, const union value *), type, method, values)
#define CALL_LONG(jni, type, method, values)                                                                                \
    CALL(jni, 134, s64, (interface, object, object, const union value *), type, method, values)
#define CALL_VOID(jni, type, method, values)                                                                                \
    CALL(jni, 143, void, (interface, object, object, const union value *), type, method, values)
#define NEW_STRING(jni, text) CALL(jni, 167, object, (interface, const char *), text)
#define ARRAY_LENGTH(jni, array) CALL(jni, 171, int, (interface, object), array)
#define NEW_BYTES(jni, size) CALL(jni, 176, object, (interface, int), size)
#define GET_BYTES(jni, array, size, to) CALL(jni, 200, void, (interface, object, int, int, u8 *), array, 0, size, to)
#define SET_BYTES(jni, array, size, from)                                                                                   \
    CALL(jni, 208, void, (interface, object, int, int, const u8 *), array, 0, size, from)
struct native { /* JNINativeMethod */
    const char *name, *signature;
    void *function;
};
#define REGISTER(jni, type, method) CALL(jni, 215, int, (interface, object, const struct native *, int), type, method, 1)
#define EXCEPTION_CHECK(jni) CALL(jni, 228, u8, (interface))

/* jvmtiEnv */
enum { JVMTI_ENABLE = 1, CLASS_FILE_LOAD_HOOK = 54 };
#define SET_EVENT(jvmti, mode, event) CALL(jvmti, 1, int, (interface, int, int, object, ...), mode, event, NULL)
#define ALLOCATE(jvmti, size, to) CALL(jvmti, 45, int, (interface, s64, void *), size, to)
#define DEALLOCATE(jvmti, at) CALL(jvmti, 46, int, (interface, void *), at)
#define CLASS_SIGNATURE(jvmti, type, to) CALL(jvmti, 47, int, (interface, object, char **, char **), type, to, NULL)
#define LOADED_CLASSES(jvmti, count, to) CALL(jvmti, 77, int, (interface, int *, object **), count, to)
#define SET_CALLBACKS(jvmti, callbacks, size) CALL(jvmti, 121, int, (interface, const void *, int), callbacks, size)
#define DISPOSE(jvmti) CALL(jvmti, 126, int, (interface))
#define ADD_CAPABILITIES(jvmti, capabilities) CALL(jvmti, 141, int, (interface, const void *), capabilities)
#define RETRANSFORM(jvmti, count, types) CALL(jvmti, 151, int, (interface, int, const object *), count, types)

struct capabilities { /* jvmtiCapabilities */
    u8 bits[16];
};
#define CAN_RETRANSFORM 0x20 /* of bits[4]: can_retransform_classes */

struct callbacks { /* jvmtiEventCallbacks, as far as it is set; by the event's number - 50 */
    void *before[4];
    void (*class_file_load_hook)(interface jvmti, interface jni, object redefined, object loader, const char *name,
                                 object domain, int size, const u8 *at, int *new_size, u8 **new_at);
};

#endif
