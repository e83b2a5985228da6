/* The adapter for Ruby: which request a thread or a fiber works for, where another one has read it.
 *
 *     Thread#initialize      the new thread works for whom its maker works for, until it takes up something else
 *     Fiber#initialize       the same of a fiber; from then on threads are told which of their fibers runs
 *     Queue#push, #pop       who pops works for whom the pusher worked for, until it pops again
 *     Puma, concurrent-ruby  whose methods say which request or job a thread of a pool is at
 *
 * There is no Ruby code, nothing is defined or redefined, and no frame is added to a backtrace: the C functions behind
 * methods are replaced where the interpreter keeps them; methods in Ruby are followed by a TracePoint that has them alone
 * for its target (ruby_methods.c). All of it runs where the interpreter's lock is held anyway; the lock is taken once, when
 * the program begins to listen or to accept. Where a request is sent only this thread's own variables are looked at.
 */
#ifndef RBINDER_RUBY_PARTS_H
#define RBINDER_RUBY_PARTS_H

#include "tasks.h"

typedef uintptr_t value; /* VALUE: an object */
typedef uintptr_t ident; /* ID: a name */

struct ruby {
#define API(result, name, parameters) result(*name) parameters;
#include "ruby.def"
#undef API
};
extern struct ruby rb;

/* -- small things (ruby.c) */

extern value ruby_nil, ruby_top; /* nil, Object */
extern ident ruby_mark; /* a name that no program can use: of instance variables that it doesn't see */

static inline bool is_true(value object) {
    return (object & ~ruby_nil) != 0;
}
static inline value small_number(u64 number) {
    return (value)(number << 1 | 1);
}
static inline u64 number_of(value small) {
    return (u64)small >> 1;
}
bool ruby_usable(void);
value ruby_constant(value module, const char *name); /* 0: there is none, or none yet */
value ruby_call(value object, const char *name); /* without arguments */
/* What may raise. False: it did, and no error is left. */
bool ruby_try(value (*function)(value), value argument);
/* Libraries may have been loaded since. */
void ruby_look_again(void);

/* -- methods (ruby_methods.c) */

/* The functions behind methods are called with one to three arguments, each a word; one too many does no harm. */
typedef value function(value a, value b, value c);

enum method_number {
    QUEUE_LENGTH, SIZED_LENGTH, QUEUE_PUSH, QUEUE_POP, SIZED_PUSH, SIZED_POP, CONDITION_WAIT, MUTEX_INITIALIZE,
    MUTEX_LOCK, MUTEX_TRY_LOCK, MUTEX_SYNCHRONIZE, MONITOR_ENTER, MONITOR_TRY_ENTER, MONITOR_SYNCHRONIZE, ARRAY_SHIFT, THREAD_INITIALIZE, THREAD_START,
    FIBER_INITIALIZE, METHODS
};
extern function *in_c[METHODS];

/* How the interpreter keeps methods is learned of two that are known. May raise. */
bool ruby_methods_known(void);
/* Puts `ours` in the place of the function behind a method of `count` arguments (-1: any, -2: any in an array); NULL: only
 * remembers it. False: it isn't a function of C's. */
bool ruby_replace(value class, const char *name, int count, enum method_number number, function *ours);

#define NO_ARGUMENT (~0u)
/* A method in Ruby: told when it is called and when it is left, however that happens. */
struct followed {
    const char *path[4], *method; /* names of modules and, last, of the class, as far as they are looked up */
    void (*called)(value self, value argument);
    void (*left)(value self);
    u32 index;                            /* of the argument that is told, or NO_ARGUMENT */
    ident argument;
    bool done;
};
bool ruby_follow(value class, struct followed *followed); /* may raise */

/* -- whom a thread works for (ruby_work.c) */

enum kind_of_work {
    NOT_SAID, /* the rules decide */
    SERVES,   /* a fiber: a connection, as an entry of the table */
    HANDLES,  /* a task that somebody else has read, until the method is left that was told of it */
    BORN,     /* a task: its maker's */
    HIRED     /* a task: of what it took from a queue */
};
/* What a thread or a fiber is at. */
struct work {
    u64 kind, number;
    u64 queue;      /* the first one it took from: that is where its work comes from */
    bool has_taken; /* from a queue */
    bool has_sent;  /* a request, since it took from its own */
    bool elsewhere; /* it gets work in another way, too */
};

/* This thread. Changed by itself alone. */
struct mine {
    struct work work;
    struct {
        u64 kind, number;
    } outer[4];    /* before the methods were called that it is in (struct followed); `depth` of them */
    u32 depth;
    bool begun;    /* it is one of Ruby's */
    bool serves;   /* fibers of its serve connections */
    bool lost;     /* it has left a fiber that has no number */
    u64 fiber;     /* the number of the one that runs; 0: it has none */
    u64 taken[32]; /* numbers of queues from which it has taken; the oldest is forgotten */
    u32 takings;
};
extern _Thread_local struct mine mine;

u64 ruby_number(void); /* another one at each call, never 0 */
void ruby_say(u64 kind, u64 number);
/* A method that was told of what it is called for begins, and ends. */
void ruby_called_for(u64 kind, u64 task);
void ruby_left(value self);
void ruby_is_for(value object, u64 task); /* kept with the object; nothing is kept of TASK_UNKNOWN */
u64 ruby_task(void); /* for whom what is done here is done; TASK_UNKNOWN: nobody says */
bool ruby_serves(void); /* a request that it has read, or was told of: what it takes from queues is no work for it */
void ruby_works(void); /* puts it in; may raise, as may the others */
void ruby_locks(void);
void ruby_queues(void); /* ruby_queues.c */
void ruby_libraries(void); /* ruby_libraries.c; asked again and again */

#endif
