/* Whom Ruby's threads and fibers work for. */
#include "ruby_parts.h"
#include "table.h"

#define THREAD_BEGIN 0x400u /* RUBY_EVENT_THREAD_BEGIN, _FIBER_SWITCH */
#define FIBER_SWITCH 0x1000u
#define FIBERS 16384u       /* at a time, whose work is remembered; a power of two */

_Thread_local struct mine mine;

static value fiber_class;

/* What fibers that don't run are at, by number. One too many takes the place of an older one, which serves nobody then. */
static struct {
    u64 fiber;
    struct work work;
} fibers[FIBERS];

u64 ruby_number(void) {
    static u64 last;
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* -- what is said */

static void apply(void) {
    u64 kind = mine.work.kind;
    task_thread(kind == HANDLES || kind == BORN || kind == HIRED ? mine.work.number : TASK_UNKNOWN);
}

void ruby_say(u64 kind, u64 number) {
    mine.work.kind = kind;
    mine.work.number = number;
    apply();
}

void ruby_called_for(u64 kind, u64 task) {
    u32 depth = mine.depth++;
    mine.begun = true;
    if (depth >= COUNT(mine.outer)) {
        ruby_say(kind, TASK_NONE);
        return;
    }
    mine.outer[depth].kind = mine.work.kind;
    mine.outer[depth].number = mine.work.number;
    ruby_say(kind, task);
}

void ruby_left(value self) {
    (void)self;
    if (!mine.depth)
        return; /* it was called before it was followed */
    u32 depth = --mine.depth;
    if (depth < COUNT(mine.outer))
        ruby_say(mine.outer[depth].kind, mine.outer[depth].number);
}

/* Of several requests that came at once it isn't known which one is at its turn. */
static u64 task_of_connection(u64 entry) {
    u64 task = TASK_NONE;
    if (enter() != ENTERED)
        return TASK_NONE;
    struct connection *connection = connection_known(entry);
    struct dialogue *dialogue = connection ? &connection->dialogue : NULL;
    if (dialogue && dialogue->side == SERVER && dialogue->turn_count == 1 && dialogue->turns->request)
        task = request_task(dialogue->turns->request);
    leave();
    return task;
}

/* The rules know, without a word of ours, a thread that serves one request at a time. */
u64 ruby_task(void) {
    switch (mine.work.kind) {
    case SERVES:
        return task_of_connection(mine.work.number);
    case NOT_SAID:
        return mine.serves ? TASK_NONE : task_by_rules();
    default:
        return mine.work.number;
    }
}

bool ruby_serves(void) {
    if (mine.work.kind == SERVES || mine.work.kind == HANDLES)
        return true;
    if (mine.work.kind != NOT_SAID || mine.serves || enter() != ENTERED)
        return false;
    struct thread *thread = known_thread();
    bool serves = thread && thread->serving_count > 0;
    leave();
    return serves;
}

/* -- what is read and sent: without the interpreter's lock */

static void observes_read(int descriptor, u64 task) {
    (void)task;
    if (mine.work.kind == HANDLES)
        return;
    mine.work.has_taken = false;
    if (!mine.fiber) { /* the rules know it */
        ruby_say(NOT_SAID, 0);
        return;
    }
    mine.serves = true;
    ruby_say(SERVES, (u32)descriptor < agent.covered ? agent.table[descriptor] : UNKNOWN);
}

static u64 current(int descriptor) {
    (void)descriptor;
    if (!mine.begun)
        return TASK_UNKNOWN;
    mine.work.has_sent = true;
    return mine.work.kind == NOT_SAID && !mine.serves ? TASK_UNKNOWN : ruby_task();
}

/* -- threads */

void ruby_is_for(value object, u64 task) {
    if (task != TASK_UNKNOWN && !is_true(rb.rb_obj_frozen_p(object)))
        rb.rb_ivar_set(object, ruby_mark, rb.rb_ull2inum(task));
}

static value initializing_thread(value self, value arguments, value none) {
    ruby_look_again();
    if (ruby_usable())
        ruby_is_for(self, ruby_task());
    return in_c[THREAD_INITIALIZE](self, arguments, none);
}

/* It can't run before we let the interpreter's lock go. */
static value starting_thread(value class, value arguments, value none) {
    ruby_look_again();
    u64 task = ruby_usable() ? ruby_task() : TASK_UNKNOWN;
    value child = in_c[THREAD_START](class, arguments, none);
    ruby_is_for(child, task);
    return child;
}

/* The kernel's thread may have run another one before: what the rules know of that is over. */
static void forget_former(void) {
    if (enter() != ENTERED)
        return;
    struct thread *thread = known_thread();
    if (thread) {
        struct group *group = thread->group;
        thread_forget_all(thread);
        thread_init(thread, group);
    }
    leave();
}

static void thread_begins(value thread) {
    value task = rb.rb_attr_get(thread, ruby_mark);
    if (mine.begun)
        forget_former();
    memset(&mine, 0, sizeof mine);
    mine.begun = true;
    if (is_true(task))
        ruby_say(BORN, rb.rb_num2ull(task));
}

/* -- fibers */

static u64 number_fiber(value fiber, struct work work) {
    u64 number = ruby_number();
    fibers[number % FIBERS].fiber = number;
    fibers[number % FIBERS].work = work;
    rb.rb_ivar_set(fiber, ruby_mark, small_number(number));
    return number;
}

static value initializing_fiber(value count, value arguments, value self) {
    if (ruby_usable() && !is_true(rb.rb_obj_frozen_p(self))) {
        u64 task = ruby_task();
        value running = mine.fiber ? 0 : rb.rb_fiber_current();
        mine.begun = true;
        if (running && !is_true(rb.rb_attr_get(running, ruby_mark)))
            mine.fiber = number_fiber(running, mine.work);
        number_fiber(self, (struct work){.kind = task == TASK_UNKNOWN ? NOT_SAID : BORN, .number = task});
    }
    return in_c[FIBER_INITIALIZE](count, arguments, self);
}

/* One without a number is an enumerator's, and goes on with what was being done, where it isn't one whose work was lost. */
static void other_fiber_runs(void) {
    value found = rb.rb_attr_get(rb.rb_fiber_current(), ruby_mark);
    u64 number = is_true(found) ? number_of(found) : 0, index = number % FIBERS;
    if (!number && mine.lost)
        ruby_say(HIRED, TASK_NONE);
    if (!number || number == mine.fiber)
        return;
    if (mine.fiber) {
        fibers[mine.fiber % FIBERS].fiber = mine.fiber;
        fibers[mine.fiber % FIBERS].work = mine.work;
    } else {
        mine.lost = true;
    }
    mine.fiber = number;
    mine.work = fibers[index].fiber == number ? fibers[index].work : (struct work){.kind = HIRED, .number = TASK_NONE};
    apply();
}

static void happens(u32 event, value data, value self, ident name, value class) {
    (void)data, (void)name, (void)class;
    if (!ruby_usable())
        return;
    if (event == THREAD_BEGIN)
        thread_begins(self);
    else
        other_fiber_runs();
}

/* -- where a thread waits, and takes what can't be seen: somebody else's work, perhaps. A thread that was made for a
 * request is then left to the rules again. */

static void takes_up_other_work(void) {
    if (mine.work.kind == BORN && ruby_usable())
        ruby_say(NOT_SAID, 0);
}

static value waiting(value count, value arguments, value self) {
    if (ruby_usable() && !mine.work.has_taken && !ruby_serves()) {
        mine.work.elsewhere = true;
        takes_up_other_work();
    }
    return in_c[CONDITION_WAIT](count, arguments, self);
}

/* Fibers of one thread need no lock against each other. What is marked is no pool's. */
static void locks(value lock) {
    if (UNLIKELY(mine.work.kind == BORN) && !mine.fiber && !is_true(rb.rb_attr_get(lock, ruby_mark))) {
        mine.work.elsewhere = true;
        takes_up_other_work();
    }
}

#define LOCKING(name, number)                                                                                           \
    static value name(value self, value b, value c) {                                                                   \
        locks(self);                                                                                                    \
        return in_c[number](self, b, c);                                                                                \
    }
LOCKING(locking, MUTEX_LOCK)
LOCKING(trying_to_lock, MUTEX_TRY_LOCK)
LOCKING(synchronizing, MUTEX_SYNCHRONIZE)
LOCKING(entering, MONITOR_ENTER)
LOCKING(trying_to_enter, MONITOR_TRY_ENTER)
LOCKING(synchronizing_monitor, MONITOR_SYNCHRONIZE)

/* The array may be a list of jobs. It is none where nothing is in it, or a fiber that waits. */
static value shifting(value count, value arguments, value self) {
    value item = in_c[ARRAY_SHIFT](count, arguments, self);
    if (UNLIKELY(mine.work.kind == BORN) && item != ruby_nil && !is_true(rb.rb_obj_is_kind_of(item, fiber_class))) {
        mine.work.elsewhere = true;
        takes_up_other_work();
    }
    return item;
}

static value initializing_mutex(value self, value b, value c) {
    ruby_look_again();
    return in_c[MUTEX_INITIALIZE](self, b, c);
}

/* -- putting it in */

static void follow_locks(value top) {
    value mutex = ruby_constant(top, "Mutex"), condition = ruby_constant(top, "ConditionVariable");
    if (!mutex || !condition)
        return;
    ruby_replace(mutex, "initialize", 0, MUTEX_INITIALIZE, initializing_mutex);
    ruby_replace(mutex, "lock", 0, MUTEX_LOCK, locking);
    ruby_replace(mutex, "try_lock", 0, MUTEX_TRY_LOCK, trying_to_lock);
    ruby_replace(mutex, "synchronize", 0, MUTEX_SYNCHRONIZE, synchronizing);
    ruby_replace(condition, "wait", -1, CONDITION_WAIT, waiting);
    ruby_replace(rb.rb_path2class("Array"), "shift", -1, ARRAY_SHIFT, shifting);
}

/* Timeout asks a thread of its own to watch the clock (net/http does, for each connection it makes): since Ruby 3.2. */
static void mark_timeouts(void) {
    static const char *const names[] = {"QUEUE_MUTEX", "TIMEOUT_THREAD_MUTEX"};
    value module = ruby_constant(ruby_top, "Timeout");
    for (u32 i = 0; module && i < COUNT(names); i++) {
        value mutex = ruby_constant(module, names[i]);
        if (mutex && !is_true(rb.rb_attr_get(mutex, ruby_mark)))
            ruby_is_for(mutex, 1);
    }
}

void ruby_locks(void) {
    mark_timeouts();
    value monitor = in_c[MONITOR_ENTER] ? 0 : ruby_constant(ruby_top, "Monitor");
    if (!monitor)
        return;
    ruby_replace(monitor, "enter", 0, MONITOR_ENTER, entering);
    ruby_replace(monitor, "mon_enter", 0, MONITOR_ENTER, entering);
    ruby_replace(monitor, "try_enter", 0, MONITOR_TRY_ENTER, trying_to_enter);
    ruby_replace(monitor, "synchronize", 0, MONITOR_SYNCHRONIZE, synchronizing_monitor);
    ruby_replace(monitor, "mon_synchronize", 0, MONITOR_SYNCHRONIZE, synchronizing_monitor);
}

/* Threads inherit where all is followed that ends it. */
static bool can_inherit(void) {
    return in_c[MUTEX_LOCK] && in_c[MUTEX_SYNCHRONIZE] && in_c[CONDITION_WAIT] && in_c[ARRAY_SHIFT];
}

void ruby_works(void) {
    value thread = rb.rb_path2class("Thread"), of_thread = ruby_call(thread, "singleton_class");
    fiber_class = rb.rb_path2class("Fiber");
    rb.rb_gc_register_mark_object(fiber_class);
    follow_locks(ruby_top);
    mine.begun = true;
    rb.rb_add_event_hook(happens, THREAD_BEGIN | FIBER_SWITCH, ruby_nil);
    if (can_inherit()) {
        ruby_replace(thread, "initialize", -2, THREAD_INITIALIZE, initializing_thread);
        ruby_replace(of_thread, "start", -2, THREAD_START, starting_thread);
        ruby_replace(of_thread, "fork", -2, THREAD_START, starting_thread);
    }
    ruby_replace(fiber_class, "initialize", -1, FIBER_INITIALIZE, initializing_fiber);
    runtime.observes_read = observes_read;
    runtime.current = current;
}
