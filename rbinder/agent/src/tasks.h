/* Tasks: where a language runtime says which incoming request something is done for. Threads and descriptors say it of
 * programs that serve one request at a time; event loops interleave requests on one thread, and pools hand work over.
 *
 * An adapter knows one runtime, and switches itself on where it finds that in the process. It may
 *
 *     push    say of a connection whom its next request is for, before that is sent (task_bind), or of a thread whom it
 *             works for from now on (task_thread),
 *     or be   asked at the beginning of a request that is sent (runtime.current),
 *
 * and learns the numbers of requests that were read (task_serving, task_begun; runtime.observes_read). What it says counts
 * alone: a task that is open is the cause, TASK_NONE and one that was answered leave the call unbound. Where it says
 * TASK_UNKNOWN the rules go on as without it (rules.c).
 *
 * None of these functions may be called with the lock held, and none waits for long. They keep errno.
 */
#ifndef RBINDER_TASKS_H
#define RBINDER_TASKS_H

#include "state.h"

/* The request whose head was read last from that accepted connection, if it isn't answered yet; else TASK_NONE. */
u64 task_serving(int descriptor);
/* The oldest request of that connection that isn't answered, and that wasn't asked for here before: of several that came in
 * one read a server that takes them in turn is told each. */
u64 task_begun(int descriptor);
/* Whom the rules alone would say that this thread works for; TASK_UNKNOWN: nobody they know. */
u64 task_by_rules(void);
/* Whether that request isn't answered yet. */
bool task_open(u64 task);
/* The next request that is sent over that connection is for this task. It takes the place of what was said before. */
void task_bind(int descriptor, u64 task);
/* What this thread does from now on is for this task. TASK_UNKNOWN: back to the rules. */
void task_thread(u64 task);
/* From now on each request that this thread sends is bound by task_bind, or for nobody. */
void task_told(bool told);

/* What an adapter sets, once, after it is ready. Both are called without the lock, on the thread that makes the call. */
struct runtime {
    u64 (*current)(int descriptor);                 /* a request's head is about to be sent, or more of it; whose? */
    void (*observes_read)(int descriptor, u64 task); /* a request's head was read to its end from a connection */
    bool resumes; /* told of all that is read: more of a request, and the answer to a call that was made for `task` (TASK_UNKNOWN: for none that is known) */
};
extern struct runtime runtime;

/* The calls that send and receive (transfer.c); only where the adapter wants them. */
void runtime_asked(u64 entry, int descriptor);             /* asks into self.asked */
void runtime_reads(const struct connection *connection, u64 answered); /* with the lock held */
u64 runtime_answered(const struct connection *connection); /* the same, before the bytes are looked at */
void runtime_has_read(void);

#endif
