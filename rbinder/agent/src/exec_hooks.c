/* execve and its family: the program that takes this one's place carries the agent on. What can't carry it is executed
 * as the program asked; the C library's own functions do the work, and answer as ever. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "exec.h"
#include "hooks.h"
#include "raw.h"

#define SMALL_ENTRIES 96u    /* an environment of so many entries needs no memory but the stack's */
#define SMALL_TEXT 384u
#define MOST_ON_STACK 65536u /* bytes, between vfork and exec: what is mapped there, the parent keeps for ever */

/* -- one call, with its environment */

static __attribute__((noinline)) long execute_small(const struct execution *execution, char *const *given,
                                                    const struct needs *needs) {
    char *entries[SMALL_ENTRIES];
    char text[SMALL_TEXT];
    environment_extend(given, needs, entries, text);
    return execution->run(execution, entries);
}

static __attribute__((noinline)) long execute_on_stack(const struct execution *execution, char *const *given,
                                                       const struct needs *needs) {
    char **entries = __builtin_alloca(needs_size(needs));
    environment_extend(given, needs, entries, (char *)(entries + needs->entries));
    return execution->run(execution, entries);
}

static long execute_mapped(const struct execution *execution, char *const *given, const struct needs *needs) {
    long at = raw_call(SYS_mmap, 0, (long)needs_size(needs), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        return execution->run(execution, given);
    char **entries = (char **)at;
    environment_extend(given, needs, entries, (char *)(entries + needs->entries));
    long result = execution->run(execution, entries);
    raw_call(SYS_munmap, at, (long)needs_size(needs), 0, 0, 0, 0);
    return result;
}

long execute(const struct execution *execution, char *const *given, bool carries) {
    struct needs needs;
    if (!carries || !environment_needs(given, &needs))
        return execution->run(execution, given);
    long result;
    if (needs.entries <= SMALL_ENTRIES && needs.text <= SMALL_TEXT)
        result = execute_small(execution, given, &needs);
    else if (!borrows_memory())
        result = execute_mapped(execution, given, &needs);
    else if (needs_size(&needs) <= MOST_ON_STACK)
        result = execute_on_stack(execution, given, &needs);
    else
        return execution->run(execution, given);
    /* Without ours it may just fit. A failed exec has changed nothing. */
    return execution->too_big(result) ? execution->run(execution, given) : result;
}

/* -- the exec functions */

struct exec_call {
    int fd; /* or the directory */
    const char *path;
    char *const *arguments;
    int flags;
};

static bool failed_too_big(long result) {
    int *error = errno_pointer();
    return result == -1 && error && *error == E2BIG;
}

static long run_execve(const struct execution *execution, char *const *environment) {
    const struct exec_call *call = execution->call;
    if (NEXT(execve))
        return next.execve(call->path, call->arguments, environment);
    return answered(raw_system_call(SYS_execve, (long)call->path, (long)call->arguments, (long)environment, 0, 0, 0));
}

static long run_execvpe(const struct execution *execution, char *const *environment) {
    const struct exec_call *call = execution->call;
    return NEXT(execvpe) ? next.execvpe(call->path, call->arguments, environment) : answered(-ENOSYS);
}

static long run_fexecve(const struct execution *execution, char *const *environment) {
    const struct exec_call *call = execution->call;
    return NEXT(fexecve) ? next.fexecve(call->fd, call->arguments, environment) : answered(-ENOSYS);
}

static long run_execveat(const struct execution *execution, char *const *environment) {
    const struct exec_call *call = execution->call;
    if (NEXT(execveat))
        return next.execveat(call->fd, call->path, call->arguments, environment, call->flags);
    return answered(raw_system_call(SYS_execveat, call->fd, (long)call->path, (long)call->arguments, (long)environment, call->flags, 0));
}

static int exec_path(const char *path, char *const *arguments, char *const *environment) {
    struct exec_call call = {.path = path, .arguments = arguments};
    struct execution execution = {run_execve, failed_too_big, &call};
    return (int)execute(&execution, environment, image_carries(AT_FDCWD, path, 0));
}

static int exec_file(const char *file, char *const *arguments, char *const *environment) {
    struct exec_call call = {.path = file, .arguments = arguments};
    struct execution execution = {run_execvpe, failed_too_big, &call};
    return (int)execute(&execution, environment, file_carries(file));
}

static char *const *current_environment(void) {
    char ***pointer = environment_pointer();
    return pointer ? *pointer : NULL;
}

HOOKED int execve(const char *path, char *const arguments[], char *const environment[]) {
    return exec_path(path, arguments, environment);
}

HOOKED int execv(const char *path, char *const arguments[]) {
    return exec_path(path, arguments, current_environment());
}

HOOKED int execvpe(const char *file, char *const arguments[], char *const environment[]) {
    return exec_file(file, arguments, environment);
}

HOOKED int execvp(const char *file, char *const arguments[]) {
    return exec_file(file, arguments, current_environment());
}

HOOKED int fexecve(int fd, char *const arguments[], char *const environment[]) {
    struct exec_call call = {.fd = fd, .arguments = arguments};
    struct execution execution = {run_fexecve, failed_too_big, &call};
    return (int)execute(&execution, environment, image_carries(fd, "", AT_EMPTY_PATH));
}

HOOKED int execveat(int directory, const char *path, char *const arguments[], char *const environment[], int flags) {
    struct exec_call call = {directory, path, arguments, flags};
    struct execution execution = {run_execveat, failed_too_big, &call};
    return (int)execute(&execution, environment, image_carries(directory, path, flags));
}

/* -- arguments as a list: their array is made on the stack, as the C libraries make it */

static u32 count_arguments(const char *first, va_list *list) {
    u32 count = 0;
    for (const char *argument = first; argument; argument = va_arg(*list, const char *))
        count++;
    return count;
}

static void list_arguments(char **arguments, u32 count, const char *first, va_list *list) {
    arguments[0] = (char *)first;
    for (u32 i = 1; i <= count; i++) /* the NULL too */
        arguments[i] = va_arg(*list, char *);
}

/* Leaves `list` behind the NULL: where execle's environment stands. */
#define ARGUMENTS(arguments, first, list)                                                                                  \
    va_list list;                                                                                                          \
    va_start(list, first);                                                                                                 \
    u32 count = count_arguments(first, &list);                                                                             \
    va_end(list);                                                                                                          \
    char *arguments[count + 1];                                                                                            \
    va_start(list, first);                                                                                                 \
    list_arguments(arguments, count, first, &list)

HOOKED int execl(const char *path, const char *first, ...) {
    ARGUMENTS(arguments, first, list);
    va_end(list);
    return exec_path(path, arguments, current_environment());
}

HOOKED int execlp(const char *file, const char *first, ...) {
    ARGUMENTS(arguments, first, list);
    va_end(list);
    return exec_file(file, arguments, current_environment());
}

HOOKED int execle(const char *path, const char *first, ...) {
    ARGUMENTS(arguments, first, list);
    char *const *environment = va_arg(list, char *const *);
    va_end(list);
    return exec_path(path, arguments, environment);
}

/* -- by number */

static long run_raw(const struct execution *execution, char *const *environment) {
    const struct exec_call *call = execution->call;
    if (call->fd == INT32_MIN)
        return raw_system_call(SYS_execve, (long)call->path, (long)call->arguments, (long)environment, 0, 0, 0);
    return raw_system_call(SYS_execveat, call->fd, (long)call->path, (long)call->arguments, (long)environment, call->flags, 0);
}

static bool raw_too_big(long result) { return result == -E2BIG; }

long exec_raw(long number, const long arguments[6]) {
    bool at = number == SYS_execveat;
    const long *rest = arguments + at;
    struct exec_call call = {at ? (int)arguments[0] : INT32_MIN, (const char *)rest[0], (char *const *)rest[1],
                             at ? (int)arguments[4] : 0};
    struct execution execution = {run_raw, raw_too_big, &call};
    bool carries = image_carries(at ? call.fd : AT_FDCWD, call.path, call.flags);
    return execute(&execution, (char *const *)rest[2], carries);
}
