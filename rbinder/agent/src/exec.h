/* What goes with a program into the programs it starts: two strings at the end of their environment,
 *
 *     LD_PRELOAD=<what the program had there>:<our library>
 *     RBINDER_AGENT=<keeper's pid>.<its descriptor>.<token, hex>[.<place>].<our library's path>
 *
 * which the agent takes out again before the program looks. <place> is where in the environment the program's own
 * LD_PRELOAD stood; without it, at the end. Where the agent could do harm, nothing is carried (images.c).
 *
 * All of it may run between vfork and exec, in a signal handler, and on a small stack: no allocation, no lock, nothing of
 * the process's is changed.
 */
#ifndef RBINDER_EXEC_H
#define RBINDER_EXEC_H

#include "base.h"

#define LIBRARY_LIMIT 1024u /* bytes of our library's path, its NUL included; longer: inactive */
#define PLACE_LIMIT 12u     /* digits of a place, and its point */

/* What RBINDER_AGENT says. */
struct carried {
    u32 keeper, fd;
    u8 token[16];
    const char *library; /* static */
};

/* environment.c. At the start: finds both strings, takes them out of `environ`, and blanks their bytes. False: they are not
 * there, or not ours to take (a Go program hands its environment on by itself): nothing is changed, nothing is carried. */
bool environment_start(struct carried *carried);
bool environment_active(void);
/* Our library, as its dependants' loader would open it here and now: false after a chroot, for another user, ... */
bool library_reachable(void);

/* How much room an environment takes that carries ours. */
struct needs {
    u32 entries;      /* pointers, the closing NULL included */
    u32 text;         /* bytes of strings; 0: the static ones do */
    s64 preload;      /* index of the program's own LD_PRELOAD, the last of them; -1: none */
    const char *preload_value;
    u32 preload_size; /* its value's */
};
/* False: pass `given` as it is. It carries ours already, or somebody else's; or it is beyond all bounds. */
bool environment_needs(char *const *given, struct needs *needs);
/* Writes the environment into `entries` and `text`, sized by environment_needs. */
void environment_extend(char *const *given, const struct needs *needs, char **entries, char *text);
static inline u64 needs_size(const struct needs *needs) { return (u64)needs->entries * sizeof(char *) + needs->text; }

/* images.c. What executing `path` would start: true where it should carry ours. Says a NOTE about what runs untraced.
 * `directory` and `flags` as execveat's (AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW). */
bool image_carries(int directory, const char *path, int flags);
/* The same, found in PATH as execvp finds it. */
bool file_carries(const char *file);

/* One call that executes something: `run` makes it, with the environment it is given, and returns its result; `is_error`
 * tells whether that result means E2BIG. */
struct execution {
    long (*run)(const struct execution *execution, char *const *environment);
    bool (*too_big)(long result);
    const void *call; /* the arguments */
};
/* exec_hooks.c. Runs it with `given` and ours in it; with `given` as it is where it needn't or can't carry. */
long execute(const struct execution *execution, char *const *given, bool carries);

/* For syscall(SYS_execve, ...) and syscall(SYS_execveat, ...): a negated errno, as raw_call. */
long exec_raw(long number, const long arguments[6]);

/* Provided by others. threads.c: this is a child of vfork or of clone(CLONE_VM), in its parent's memory. */
bool borrows_memory(void);
/* agent.c: a NOTE for the user. Async-signal-safe. */
void note(struct bytes text);

#endif
