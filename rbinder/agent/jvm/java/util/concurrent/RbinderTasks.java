/* Which incoming request a Java thread works for, carried along wherever work is handed over. A task is a number that the
 * agent gives; this file knows no more of it. It prints nothing, throws nothing, and holds nothing that the program would
 * otherwise have let go.
 *
 * It lies in java.util.concurrent because that package's own hand-overs, which no other may see, pass through it. Its frames
 * are hidden from stack traces.
 */
package java.util.concurrent;

import jdk.internal.vm.annotation.Hidden;

public final class RbinderTasks {
    private static final long NONE = 0;
    private static final long UNKNOWN = -1;

    /** What one thread works for. */
    static final class State {
        long task;
        Inside inside; /* the innermost */
        boolean inherited; /* from who started the thread */
        boolean own; /* it was given the task, or read it; it didn't take it from a queue of the program's */
        boolean reads; /* it read the request itself */
        boolean managed; /* by a pool or a loop that is known, which says what it does */
        boolean waits; /* for what a pool that is known gives it next */
        boolean passed; /* it made a call, or handed something over, since it took something from a queue */
        RbinderQueues.Taker taker; /* what it took there */

        void begin(long task, boolean reads) {
            this.task = task;
            this.reads = reads;
            own = true;
            inherited = false;
        }
    }

    /** A method in which a thread works for something else than before. */
    private static final class Inside {
        final Object object;
        final long before;
        final Inside outer;

        Inside(Object object, long before, Inside outer) {
            this.object = object;
            this.before = before;
            this.outer = outer;
        }
    }

    private static final ThreadLocal<State> STATES = new ThreadLocal<>();

    /** What was handed over, with the task it was handed over for; it goes when the program lets go of it. */
    private static final class Carried extends RbinderIdentity {
        final long task;
        volatile int times; /* it was queued, and hasn't run */

        Carried(Object object, long task, int times) {
            super(object);
            this.task = task;
            this.times = times;
        }
    }

    private static final RbinderIdentity.Table<Carried> CARRIED = new RbinderIdentity.Table<>();

    /** Whether any request was ever read: until then there is nothing to carry. */
    static boolean used;
    private static boolean carries; /* something was handed over */

    private RbinderTasks() {}

    // -- what the agent asks and tells

    /** A request's head was about to be sent by this thread: for which task? */
    static long current() {
        if (!used)
            return NONE;
        State state = state();
        state.passed = true;
        return state.task == UNKNOWN ? NONE : state.task;
    }

    /** This thread has read from a connection what belongs to the task. */
    static void read(long task) {
        used = true;
        State state = state();
        if (state.task == task)
            return;
        state.begin(task, task != NONE);
        if (task != NONE && state.taker != null)
            state.taker.from = null;
    }

    static State state() {
        State state = STATES.get();
        return state != null ? state : begin();
    }

    /** A new thread works for whom it was started for; a pool's worker for nobody, until it is given something. */
    private static State begin() {
        State state = new State();
        Thread thread = Thread.currentThread();
        Carried carried = thread instanceof ForkJoinWorkerThread ? null : find(thread);
        state.task = carried == null ? NONE : carried.task;
        state.inherited = carried != null;
        state.own = carried == null;
        STATES.set(state);
        return state;
    }

    // -- handing over

    private static Carried find(Object object) {
        return carries ? CARRIED.get(object) : null;
    }

    private static void put(Object object, long task, int times) {
        carries = true;
        CARRIED.put(new Carried(object, task, times));
    }

    /** An object that stands for a piece of work is made, or queued, for what this thread works for: what nobody is known for
     * is nobody's, whoever does it. */
    @Hidden
    public static void remember(Object object) {
        if (!used || object == null)
            return;
        state().passed = true;
        register(object);
    }

    /** The same, of what waits for something else to be done. */
    @Hidden
    public static void register(Object object) {
        if (!used || object == null)
            return;
        long task = state().task;
        if (task != NONE)
            put(object, task, 0);
        else if (carries)
            CARRIED.remove(object);
    }

    /** An object is queued that may be queued again before it has run: then nobody knows which time is whose. */
    @Hidden
    public static void capture(Object object) {
        if (!used || object == null)
            return;
        State state = state();
        long task = RbinderQueues.tookFor(object, state);
        if (task == NONE)
            task = state.task;
        state.passed = true;
        if (task == NONE && !carries)
            return;
        Carried carried = find(object);
        int times = carried == null ? 0 : carried.times;
        if (carried != null && times == 0) /* it is remembered what it stands for, whoever queues it */
            return;
        if (times > 0 && carried.task != task)
            put(object, UNKNOWN, times + 1);
        else if (task != NONE)
            put(object, task, times + 1);
    }

    private static long remembered(Object object) {
        Carried carried = object == null ? null : find(object);
        return carried == null ? NONE : carried.task;
    }

    private static long take(Object object) {
        Carried carried = find(object);
        if (carried == null)
            return NONE;
        if (carried.times > 1)
            put(object, carried.task, carried.times - 1);
        else if (carried.times == 1)
            CARRIED.remove(object);
        return carried.task;
    }

    /** A pool's thread goes to fetch its next work. */
    @Hidden
    public static void waits(Object pool) {
        if (!used)
            return;
        State state = state();
        state.begin(NONE, false);
        state.waits = state.managed = true;
    }

    /** A pool has given this thread something to do, or nothing any more. */
    @Hidden
    public static void given(Object object, Object pool) {
        if (!used)
            return;
        State state = state();
        state.begin(object == null ? NONE : take(object), false);
        state.taker = null;
        state.waits = false;
    }

    /** A pool's queue gives something out, perhaps to a thread that has been in there for so long that nobody asks it else. */
    @Hidden
    public static void fetched(Object object, Object queue) {
        if (!used || object == null)
            return;
        State state = state();
        long task = take(object);
        if (!state.waits && state.task == NONE)
            state.task = task;
    }

    /** Something is written to a channel that keeps it until it is flushed, whoever does that; two requests' are nobody's. */
    @Hidden
    public static void writes(Object channel) {
        if (!used)
            return;
        Carried carried = find(channel);
        long task = state().task;
        if (carried == null || carried.times == 0)
            put(channel, task, 1);
        else if (carried.task != task)
            put(channel, UNKNOWN, 1);
    }

    /** What was written is sent now; what is written from now on is something else. */
    @Hidden
    public static void flushes(Object channel) {
        Carried carried = used ? find(channel) : null;
        if (carried != null)
            carried.times = 0;
    }

    /** What a timer fires next; others look at it as well. */
    @Hidden
    public static void next(Object task, Object queue) {
        if (!used || task == null || !Thread.currentThread().getClass().getName().equals("java.util.TimerThread"))
            return;
        state().begin(remembered(task), false);
    }

    // -- working

    /** This thread goes on with what an object was remembered for, or with nothing. */
    @Hidden
    public static void resume(Object object) {
        if (!used)
            return;
        State state = state();
        state.begin(remembered(object), false);
        state.managed = true;
    }

    /** This thread has done what it had to do; what it does next is for somebody else. */
    @Hidden
    public static void clear(Object object) {
        if (!used)
            return;
        State state = state();
        state.begin(NONE, false);
        state.managed = true;
    }

    /** Until `leave` this thread works for what an object was remembered for. */
    @Hidden
    public static void enter(Object object) {
        if (!used || object == null)
            return;
        State state = state();
        state.inside = new Inside(object, state.task, state.inside);
        state.task = remembered(object);
    }

    /** Leaves as well what was left by an exception. */
    @Hidden
    public static void leave(Object object) {
        State state = used && object != null ? state() : null;
        if (state == null || state.inside == null)
            return;
        Inside inside = state.inside;
        while (inside != null && inside.object != object)
            inside = inside.outer;
        if (inside == null)
            return;
        state.task = inside.before;
        state.inside = inside.outer;
    }

    /** A worker runs what was queued. */
    @Hidden
    public static void run(Runnable work) {
        if (!used) {
            work.run();
            return;
        }
        State state = state();
        state.begin(take(work), false);
        state.managed = true;
        state.inside = null;
        state.taker = null;
        try {
            work.run();
        } finally {
            state.begin(NONE, false);
        }
    }

    /** A new thread of a pool's does first what it was made for; later on it is given what it does. */
    @Hidden
    public static void start(Runnable work) {
        Carried carried = used ? find(work) : null;
        if (carried == null) {
            try {
                work.run();
            } finally {
                clear(null);
            }
        } else {
            run(work);
        }
    }

    /** A task that was never forked is done by who made it; a thread that waits for something may do others' meanwhile. */
    @Hidden
    static boolean exec(ForkJoinTask<?> work) {
        Carried carried = used ? find(work) : null;
        if (!used || carried == null && !(work instanceof CompletableFuture.AsynchronousCompletionTask))
            return work.exec();
        State state = state();
        long before = state.task;
        state.task = carried == null ? NONE : carried.task;
        try {
            return work.exec();
        } finally {
            state.task = before;
        }
    }

    @Hidden
    static CompletableFuture<?> tryFire(CompletableFuture.Completion work, int mode) {
        if (!used)
            return work.tryFire(mode);
        State state = state();
        long before = state.task;
        state.task = remembered(work);
        try {
            return work.tryFire(mode);
        } finally {
            state.task = before;
        }
    }
}
