/* posix_spawn, system and popen: the children carry the agent on.
 *
 * system() and popen() hand on `environ` itself, from inside the C library. While one of them runs, `environ` is lent: it
 * points to a copy that has our strings. Several may overlap: the first lends, the last returns. What is guaranteed: a
 * setenv, putenv or unsetenv made meanwhile is kept (whether it changed the copy in place, or made a longer one of it), and
 * so is an `environ` that the program put there. Not guaranteed: that another thread which looks meanwhile doesn't see our
 * strings; that `environ` returns where the call never does (longjmp out of a handler, a cancelled thread): then they
 * stay to be seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "exec.h"
#include "hooks.h"

/* -- posix_spawn */

struct spawn_call {
    bool search;
    pid_t *pid;
    const char *path;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
    char *const *arguments;
};

static bool is_too_big(long result) { return result == E2BIG; }

static long run_spawn(const struct execution *execution, char *const *environment) {
    const struct spawn_call *call = execution->call;
    if (call->search ? !NEXT(posix_spawnp) : !NEXT(posix_spawn))
        return ENOSYS;
    return (call->search ? next.posix_spawnp : next.posix_spawn)(call->pid, call->path, call->actions, call->attributes,
                                                                 call->arguments, environment);
}

/* The file is looked for as the parent sees it: file actions that change the directory are not followed. */
HOOKED int posix_spawn(pid_t *restrict pid, const char *restrict path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                       char *const environment[restrict]) {
    struct spawn_call call = {false, pid, path, actions, attributes, arguments};
    struct execution execution = {run_spawn, is_too_big, &call};
    return (int)execute(&execution, environment, image_carries(AT_FDCWD, path, 0));
}

HOOKED int posix_spawnp(pid_t *restrict pid, const char *restrict file, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *restrict attributes, char *const arguments[restrict],
                        char *const environment[restrict]) {
    struct spawn_call call = {true, pid, file, actions, attributes, arguments};
    struct execution execution = {run_spawn, is_too_big, &call};
    return (int)execute(&execution, environment, file_carries(file));
}

/* -- lending `environ` */

#define MOST_TURNS 1000u /* tries for the lock, giving way each time: then a call goes without */

/* Under `lock`, which is held for as long as it takes to copy an environment. */
static struct {
    u32 lock, users;
    u64 room;          /* bytes at `copy`; mapped at the first call, and kept: another thread may still look there */
    char **copy;       /* what is lent */
    char **before;     /* what was there */
    u32 count;         /* entries of the copy as it was made, without ours and the NULL */
    char *preload, *agent, *own_preload; /* ours; the program's own LD_PRELOAD, or NULL */
} loan;

static bool lock_loan(void) {
    for (u32 i = 0; i < MOST_TURNS; i++) {
        if (!__atomic_exchange_n(&loan.lock, 1, __ATOMIC_ACQUIRE))
            return true;
        raw_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
    return false;
}

static void unlock_loan(void) { __atomic_store_n(&loan.lock, 0, __ATOMIC_RELEASE); }

static bool make_room(u64 size) {
    if (size <= loan.room)
        return true;
    u64 room = (size + size / 2 + 4095) & ~4095ull;
    long at = raw_call(SYS_mmap, 0, (long)room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at > -4096)
        return false;
    loan.copy = (char **)at; /* the shorter one is left to whoever may look at it */
    loan.room = room;
    return true;
}

static bool lend(char ***environment) {
    struct needs needs;
    if (loan.users) { /* lent already, unless the program has put another one there */
        for (char **entry = *environment; entry && *entry; entry++)
            if (*entry == loan.agent)
                return loan.users++, true;
        return false;
    }
    loan.before = *environment;
    if (!environment_needs(loan.before, &needs) || !make_room(needs_size(&needs)))
        return false;
    environment_extend(loan.before, &needs, loan.copy, (char *)(loan.copy + needs.entries));
    for (loan.count = 0; loan.copy[loan.count + 2];)
        loan.count++;
    loan.preload = loan.copy[loan.count];
    loan.agent = loan.copy[loan.count + 1];
    loan.own_preload = needs.preload < 0 ? NULL : loan.before[needs.preload];
    __atomic_store_n(environment, loan.copy, __ATOMIC_RELEASE);
    loan.users = 1;
    return true;
}

/* Nobody has changed the copy in place. */
static bool is_unchanged(void) {
    char **before = loan.before;
    u32 i = 0;
    for (; i < loan.count && before && *before; before++)
        if (*before == loan.copy[i])
            i++;
        else if (*before != loan.own_preload)
            return false;
    return i == loan.count && loan.copy[i] == loan.preload && loan.copy[i + 1] == loan.agent && !loan.copy[i + 2];
}

/* Writes `from` without our strings to `to`, which may be the same. */
static void write_without_ours(char **to, char **from) {
    for (; *from; from++)
        if (*from == loan.preload) {
            if (loan.own_preload)
                *to++ = loan.own_preload;
        } else if (*from != loan.agent) {
            *to++ = *from;
        }
    *to = NULL;
}

static void give_back(char ***environment) {
    if (--loan.users)
        return;
    if (*environment != loan.copy) { /* a longer one made of it; or the program's, which is not written to */
        for (char **entry = *environment; entry && *entry; entry++)
            if (*entry == loan.preload || *entry == loan.agent)
                return write_without_ours(entry, entry);
        return;
    }
    /* What was changed in place was replaced or removed: it fits. */
    if (!is_unchanged() && loan.before)
        write_without_ours(loan.before, loan.copy);
    __atomic_store_n(environment, loan.before, __ATOMIC_RELEASE);
}

static bool borrow(void) {
    char ***environment = environment_pointer();
    if (!environment || !image_carries(AT_FDCWD, "/bin/sh", 0) || !lock_loan())
        return false;
    bool lent = lend(environment);
    unlock_loan();
    return lent;
}

/* Without the lock it stays lent: our strings stay to be seen. */
static void restore(void) {
    if (!lock_loan())
        return;
    give_back(environment_pointer());
    unlock_loan();
}

HOOKED int system(const char *command) {
    if (!NEXT(system))
        return -1;
    bool borrowed = command && borrow();
    int result = next.system(command);
    if (borrowed)
        restore();
    return result;
}

HOOKED void *popen(const char *command, const char *mode) {
    if (!NEXT(popen))
        return NULL;
    bool borrowed = borrow();
    void *result = next.popen(command, mode);
    if (borrowed)
        restore();
    return result;
}
