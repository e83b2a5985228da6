/* Forks: a page that the kernel empties in a forked child tells it what it is. Whichever process uses a connection after
 * the fork goes on with it; the other one, when it closes it, says nothing.
 *
 * Children of vfork and clone(CLONE_VM) run in their parent's memory and have their own descriptors: as long as there may
 * be any, every call that is followed asks for the process id first, and theirs change nothing.
 */
#include "forks.h"

#include <linux/sched.h>

#include "hooks.h"
#include "process.h"
#include "report.h"
#include "sockets.h"

#define BECOMING (~0ull) /* no process has this id: not the first of a namespace either */
#define SIGCHLD_FLAG 17u

extern int *__errno_location(void) __attribute__((weak));

/* What the forking thread worked for, its child works for (rule 7). All else belongs to threads that are not here. */
static void inherit(struct place *before) {
    struct place *place = place_take(self.tid);
    if (place && before)
        thread_inherit(&place->thread, &before->thread, true);
    group_forked(agent.group);
    if (before)
        place_give(before);
    self.place = place;
    self.era = agent.era;
}

static void take_over(void) {
    struct place *before = self.place && self.era == agent.era && self.place->process == agent.pid ? self.place : NULL;
    bool in_disorder = agent.owner != 0;
    agent.parent = reporter.pid;
    agent.pid = (u32)raw_call(__NR_getpid, 0, 0, 0, 0, 0, 0);
    self.tid = (u32)raw_call(__NR_gettid, 0, 0, 0, 0, 0, 0);
    agent.owner = agent.borrowers = agent.connections = 0;
    agent.frame = ~(uintptr_t)0;
    agent.turns = agent.stuck_turns = 0;
    agent.told = false;
    agent.epoch++;
    reseed();
    reporter.pid = process_number(agent.parent >= MADE_UP);
    failures_forget();
    if (confined)
        switch_off(); /* it can't be told who we are */
    else if (!in_disorder)
        inherit(before);
    else if (!renew_state())
        give_up();
}

bool become_child(void) {
    u64 wiped = 0;
    if (!__atomic_compare_exchange_n(agent.process, &wiped, BECOMING, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return wiped == agent.pid;
    take_over();
    __atomic_store_n(agent.process, agent.pid, __ATOMIC_RELEASE);
    return agent.status == ACTIVE;
}

static bool is_child(void) {
    return *agent.process != agent.pid;
}

static bool borrows(u64 flags) {
    return flags & CLONE_VM && !(flags & CLONE_THREAD);
}

/* In a forked child, where the kernel hasn't emptied the page. Handlers of fork's (pthread_atfork) may have come here before. */
static void emptied(void) {
    if (*agent.process == agent.pid && (confined || raw_call(__NR_getpid, 0, 0, 0, 0, 0, 0) != agent.pid))
        *agent.process = 0;
}

void fork_before(u64 flags) {
    if (!started())
        return;
    if (is_child() && !borrows_memory())
        become_child(); /* while this is its own memory */
    if (borrows(flags))
        __atomic_fetch_add(&agent.borrowers, 1, __ATOMIC_ACQ_REL);
}

void fork_after(u64 flags, long result) {
    if (agent.status != ACTIVE)
        return;
    if (borrows(flags)) {
        if (result && (flags & CLONE_VFORK || result < 0)) /* else nobody says when it has gone */
            __atomic_fetch_sub(&agent.borrowers, 1, __ATOMIC_ACQ_REL);
    } else if (!(flags & CLONE_VM)) {
        if (result == 0)
            emptied();
        else if (result > 0 && !borrows_memory())
            __atomic_fetch_add(&agent.epoch, 1, __ATOMIC_RELAXED);
    }
}

HOOKED pid_t fork(void) {
    fork_before(0);
    pid_t result = NEXT(fork)();
    fork_after(0, result);
    return result;
}

HOOKED pid_t _Fork(void) {
    if (!NEXT(_Fork))
        return fork();
    fork_before(0);
    pid_t result = NEXT(_Fork)();
    fork_after(0, result);
    return result;
}

HOOKED int clone(int (*routine)(void *), void *stack, int flags, void *argument, ...) {
    __builtin_va_list more;
    __builtin_va_start(more, argument);
    void *parent_tid = __builtin_va_arg(more, void *), *tls = __builtin_va_arg(more, void *);
    void *child_tid = __builtin_va_arg(more, void *);
    __builtin_va_end(more);
    fork_before((u32)flags);
    int result = NEXT(clone)(routine, stack, flags, argument, parent_tid, tls, child_tid);
    fork_after((u32)flags, result);
    return result;
}

/* -- vfork: the child returns from it on its parent's stack, and overwrites what lies there. So it is no function of C,
 * and keeps the return address in a register. */

__attribute__((used)) void vfork_before(void) {
    fork_before(CLONE_VM | CLONE_VFORK | SIGCHLD_FLAG);
}

__attribute__((used)) long vfork_after(long result) {
    fork_after(CLONE_VM | CLONE_VFORK | SIGCHLD_FLAG, result);
    if (result >= 0)
        return result;
    if (__errno_location)
        *__errno_location() = (int)-result;
    return -1;
}

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl vfork\n"
        ".type vfork, @function\n"
        "vfork:\n"
        "    .cfi_startproc\n"
        "    endbr64\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    call vfork_before\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "    popq %rdi\n" /* the kernel leaves rdi alone */
        "    .cfi_adjust_cfa_offset -8\n"
        "    .cfi_register %rip, %rdi\n"
        "    movl $58, %eax\n" /* vfork */
        "    syscall\n"
        "    pushq %rdi\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    .cfi_offset %rip, -8\n"
        "    testq %rax, %rax\n"
        "    je 1f\n"
        "    subq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset 8\n"
        "    movq %rax, %rdi\n"
        "    call vfork_after\n"
        "    addq $8, %rsp\n"
        "    .cfi_adjust_cfa_offset -8\n"
        "1:  ret\n"
        "    .cfi_endproc\n"
        ".size vfork, .-vfork\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl vfork\n"
        ".type vfork, %function\n"
        "vfork:\n"
        "    .cfi_startproc\n"
        "    stp x29, x30, [sp, -16]!\n"
        "    .cfi_adjust_cfa_offset 16\n"
        "    .cfi_rel_offset x29, 0\n"
        "    .cfi_rel_offset x30, 8\n"
        "    bl vfork_before\n"
        "    ldp x29, x30, [sp], 16\n"
        "    .cfi_adjust_cfa_offset -16\n"
        "    .cfi_restore x29\n"
        "    .cfi_restore x30\n"
        "    mov x0, #0x4111\n" /* CLONE_VM | CLONE_VFORK | SIGCHLD */
        "    mov x1, #0\n"
        "    mov x2, #0\n"
        "    mov x3, #0\n"
        "    mov x4, #0\n"
        "    mov x8, #220\n" /* clone */
        "    svc 0\n"        /* x30 stays */
        "    cbz x0, 1f\n"
        "    stp x29, x30, [sp, -16]!\n"
        "    bl vfork_after\n"
        "    ldp x29, x30, [sp], 16\n"
        "1:  ret\n"
        "    .cfi_endproc\n"
        ".size vfork, .-vfork\n");
#endif
