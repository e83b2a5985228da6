/* The one lock around the agent's state: never waited for without bound, never held across a call that can sleep.
 *
 * Its owner may come again from a signal handler: that one is sent away. Or it has left the lock behind by jumping out of
 * a handler: then its frame is gone, what it was at is in doubt, and the state is made anew.
 */
#include <signal.h>

#include "report.h"
#include "state.h"

#define SPINS 100u
#define YIELDS 20u
#define FIRST_NAP 50000u     /* ns; each is twice the one before, up to the longest */
#define LONGEST_NAP 2000000u
#define PATIENCE 100000000u  /* ns in all: the owner is at it for a microsecond, unless it had to leave its CPU to others */
#define HOPELESS 2000000000u /* ns without any progress: then the agent leaves this process alone */
#define SAVED 768u /* bytes: more than the frames of one hook differ from those of another, and less than the kernel saves */
#define NO_FRAME (~(uintptr_t)0)

static inline void pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

/* A child of vfork or clone(CLONE_VM) has our memory, and another process id. */
bool borrows_memory(void) {
    return UNLIKELY(__atomic_load_n(&agent.borrowers, __ATOMIC_ACQUIRE)) && agent.status == ACTIVE &&
           __atomic_load_n(agent.process, __ATOMIC_ACQUIRE) == agent.pid &&
           (u32)raw_call(__NR_getpid, 0, 0, 0, 0, 0, 0) != agent.pid;
}

static inline bool try(u32 tid) {
    u32 nobody = 0;
    return __atomic_compare_exchange_n(&agent.owner, &nobody, tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static bool on_signal_stack(void) {
    stack_t stack = {.ss_flags = SS_ONSTACK};
    return raw_call(__NR_sigaltstack, 0, (long)&stack, 0, 0, 0, 0) != 0 || stack.ss_flags & SS_ONSTACK;
}

/* A signal handler lies deeper than what it interrupts, by what the kernel saves; if it isn't on a stack of its own. */
__attribute__((noinline)) bool frame_is_gone(uintptr_t frame) {
    return frame != NO_FRAME && frame < (uintptr_t)__builtin_frame_address(0) + SAVED && !on_signal_stack();
}

static bool owner_is_dead(u32 owner) {
    return raw_call(__NR_tgkill, agent.pid, owner, 0, 0, 0, 0) == -3 /* ESRCH */;
}

static void make_anew(void) {
    __atomic_store_n(&agent.frame, NO_FRAME, __ATOMIC_RELAXED);
    bool active = renew_state();
    __atomic_store_n(&agent.owner, 0, __ATOMIC_RELEASE);
    if (!active)
        give_up();
}

/* Waiting was in vain, and nobody has left since: the owner has left it behind, and doesn't come again. */
static bool is_stuck(void) {
    u64 turns = __atomic_load_n(&agent.turns, __ATOMIC_RELAXED);
    if (!turns || __atomic_load_n(&agent.stuck_turns, __ATOMIC_RELAXED) != turns)
        return false;
    if (monotonic() - __atomic_load_n(&agent.stuck_since, __ATOMIC_RELAXED) > HOPELESS)
        give_up();
    return true;
}

static void remember_stuck(u64 turns) {
    __atomic_store_n(&agent.stuck_since, monotonic(), __ATOMIC_RELAXED);
    __atomic_store_n(&agent.stuck_turns, turns, __ATOMIC_RELAXED);
}

/* Sleeps while the lock has an owner, so that this one gets a CPU. Nobody wakes us: leave() shall cost nothing. */
static void nap(u64 nanoseconds) {
    enum { WAIT_PRIVATE = 128 };
    u32 owner = __atomic_load_n(&agent.owner, __ATOMIC_RELAXED);
    struct raw_time limit = {0, (s64)nanoseconds};
    if (owner)
        raw_call(__NR_futex, (long)&agent.owner, WAIT_PRIVATE, owner, (long)&limit, 0, 0);
}

static bool wait_for(u32 tid) {
    for (u32 i = 0; i < SPINS; i++, pause())
        if (!__atomic_load_n(&agent.owner, __ATOMIC_RELAXED) && try(tid))
            return true;
    for (u32 i = 0; i < YIELDS; i++) {
        raw_call(__NR_sched_yield, 0, 0, 0, 0, 0, 0);
        if (try(tid))
            return true;
    }
    u64 length = FIRST_NAP;
    for (u64 slept = 0; slept < PATIENCE; slept += length, length = MIN(2 * length, (u64)LONGEST_NAP)) {
        nap(length);
        if (try(tid))
            return true;
    }
    return false;
}

RARE static bool contend(u32 tid) {
    u32 owner = __atomic_load_n(&agent.owner, __ATOMIC_RELAXED);
    u64 turns = __atomic_load_n(&agent.turns, __ATOMIC_RELAXED);
    if (owner == tid) {
        if (frame_is_gone(__atomic_load_n(&agent.frame, __ATOMIC_RELAXED)))
            make_anew();
        return started() && try(tid);
    }
    if (is_stuck())
        return false;
    if (wait_for(tid))
        return true;
    u32 still = __atomic_load_n(&agent.owner, __ATOMIC_RELAXED);
    if (still && still == owner && owner_is_dead(owner) &&
        __atomic_compare_exchange_n(&agent.owner, &still, tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        make_anew();
        return started() && try(tid);
    }
    if (turns == __atomic_load_n(&agent.turns, __ATOMIC_RELAXED))
        remember_stuck(turns);
    return false;
}

/* In a confined program a number that no other thread of it has, rather than the thread's id: ids end at 2^22. */
RARE static u32 own_tid(void) {
    long tid = raw_call(__NR_gettid, 0, 0, 0, 0, 0, 0);
    return self.tid = tid > 0 ? (u32)tid : 1u << 31 | (u32)((uintptr_t)&self >> 6);
}

void thread_known(void) {
    if (!self.tid)
        own_tid();
}

/* Not in line: its frame has to lie below those of its callers. */
__attribute__((noinline)) enum entered enter(void) {
    if (UNLIKELY(!started()))
        return ASIDE;
    if (UNLIKELY(__atomic_load_n(agent.process, __ATOMIC_ACQUIRE) != agent.pid) && !become_child())
        return ASIDE;
    if (borrows_memory())
        return ASIDE;
    u32 tid = LIKELY(self.tid) ? self.tid : own_tid();
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    if (UNLIKELY(!try(tid)) && !contend(tid)) {
        __atomic_fetch_add(&agent.shared->passed, 1, __ATOMIC_RELAXED);
        return BUSY;
    }
    __atomic_store_n(&agent.frame, frame, __ATOMIC_RELAXED);
    reporter.tid = tid;
    return ENTERED;
}

void leave(void) {
    agent.working = NULL;
    agent.turns++;
    __atomic_store_n(&agent.frame, NO_FRAME, __ATOMIC_RELAXED);
    __atomic_store_n(&agent.owner, 0, __ATOMIC_RELEASE);
}
