/* Which incoming request a Java thread works for, carried along wherever work is handed over. A task is a number that the
 * agent gives; this file knows no more of it. It prints nothing, throws nothing, and holds nothing that the program would
 * otherwise have let go.
 *
 * It lies in java.util.concurrent because that package's own hand-overs, which no other may see, pass through it. Its frames
 * are hidden from stack traces.
 */
package java.util.concurrent;

import java.lang.ref.Reference;
import java.lang.ref.ReferenceQueue;
import java.lang.ref.WeakReference;
import jdk.internal.vm.annotation.Hidden;

public final class RbinderTasks {
    private static final long NONE = 0;
    private static final long UNKNOWN = -1;

    /** What one thread works for. */
    private static final class State {
        long task;
        Inside inside; /* the innermost */
        boolean inherited; /* from who started the thread */
        boolean managed; /* by a pool that is known: it is told of each piece of its work */
        Object queue; /* where its work comes from, if nobody else is known to give it any */
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
    private static final class Carried extends WeakReference<Object> {
        final int hash;
        final long task;
        final int times;

        Carried(Object object, long task, int times) {
            super(object, GONE);
            this.hash = System.identityHashCode(object);
            this.task = task;
            this.times = times;
        }

        @Override
        public int hashCode() {
            return hash;
        }

        @Override
        public boolean equals(Object other) {
            if (this == other)
                return true;
            Object mine = get();
            return mine != null && other instanceof Carried && ((Carried) other).get() == mine;
        }
    }

    /** Asks for what was handed over, without a reference that the collector would have to look after. */
    private static final class Asked {
        final Object object;

        Asked(Object object) {
            this.object = object;
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(object);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Carried && ((Carried) other).get() == object;
        }
    }

    private static final ReferenceQueue<Object> GONE = new ReferenceQueue<>();
    private static final ConcurrentHashMap<Object, Carried> CARRIED = new ConcurrentHashMap<>();

    /** Whether any request was ever read: until then there is nothing to carry. */
    private static boolean used;

    private RbinderTasks() {}

    // -- what the agent asks and tells

    /** A request's head was about to be sent by this thread: for which task? */
    static long current() {
        long task = used ? state().task : NONE;
        return task == UNKNOWN ? NONE : task;
    }

    /** This thread has read from a connection what belongs to the task. */
    static void read(long task) {
        used = true;
        State state = state();
        if (state.task == task)
            return;
        state.task = task;
        state.queue = null;
        state.inherited = false;
    }

    private static State state() {
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
        STATES.set(state);
        return state;
    }

    // -- handing over

    private static Carried find(Object object) {
        return CARRIED.isEmpty() ? null : CARRIED.get(new Asked(object));
    }

    private static void put(Object object, long task, int times) {
        Carried carried = new Carried(object, task, times);
        CARRIED.remove(carried);
        CARRIED.put(carried, carried);
        for (Reference<?> gone; (gone = GONE.poll()) != null; )
            CARRIED.remove(gone);
    }

    /** An object that stands for one piece of work is made, or queued, for what this thread works for. */
    @Hidden
    public static void remember(Object object) {
        if (!used || object == null)
            return;
        long task = state().task;
        if (task != NONE)
            put(object, task, 0);
    }

    /** An object is queued that stands for one piece of work after the other. */
    @Hidden
    public static void hand(Object object) {
        if (!used || object == null)
            return;
        long task = state().task;
        if (task != NONE)
            put(object, task, 0);
        else if (!CARRIED.isEmpty())
            CARRIED.remove(new Asked(object));
    }

    /** An object is queued that may be queued again before it has run: then nobody knows which time is whose. */
    @Hidden
    public static void capture(Object object) {
        if (!used || object == null)
            return;
        long task = state().task;
        if (task == NONE && CARRIED.isEmpty())
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

    private static long take(Object object) {
        Carried carried = find(object);
        if (carried == null)
            return NONE;
        if (carried.times > 1)
            put(object, carried.task, carried.times - 1);
        else if (carried.times == 1)
            CARRIED.remove(carried);
        return carried.task;
    }

    /** A thread that works for nobody takes something from a queue: that is its work, and so is what it takes there later.
     * Not what others take: they may fetch a tool. */
    @Hidden
    public static void taken(Object object, Object queue) {
        if (!used || object == null)
            return;
        State state = state();
        long task = take(object);
        if (state.queue == queue) {
            state.task = task;
        } else if (state.queue == null && !state.managed && (state.task == NONE || state.inherited)) {
            if (state.inherited && state.task != task)
                state.task = NONE; /* a tool, or another's work */
            else if (task != NONE)
                state.queue = queue;
            state.task = state.queue == queue ? task : state.task;
            state.inherited &= state.task != NONE;
        }
    }

    /** A pool has given this thread something to do. */
    @Hidden
    public static void given(Object object, Object pool) {
        if (!used || object == null)
            return;
        State state = state();
        state.task = take(object);
        state.managed = true;
    }

    /** What a timer fires next; others look at it as well. */
    @Hidden
    public static void next(Object task, Object queue) {
        if (!used || task == null || !Thread.currentThread().getClass().getName().equals("java.util.TimerThread"))
            return;
        Carried carried = find(task);
        state().task = carried == null ? NONE : carried.task;
    }

    // -- working

    /** This thread goes on with what an object was remembered for, or with nothing. */
    @Hidden
    public static void resume(Object object) {
        if (!used)
            return;
        Carried carried = object == null ? null : find(object);
        state().task = carried == null ? NONE : carried.task;
    }

    /** This thread has done what it had to do; what it does next is for somebody else. */
    @Hidden
    public static void clear(Object object) {
        if (used)
            state().task = NONE;
    }

    /** Until `leave` this thread works for what an object was remembered for. */
    @Hidden
    public static void enter(Object object) {
        Carried carried = used && object != null ? find(object) : null;
        if (carried == null)
            return;
        State state = state();
        state.inside = new Inside(object, state.task, state.inside);
        state.task = carried.task;
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
        state.task = take(work);
        state.inside = null;
        state.managed = true;
        try {
            work.run();
        } finally {
            state.task = NONE;
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

    @Hidden
    static boolean exec(ForkJoinTask<?> work) {
        Carried carried = used ? find(work) : null;
        if (carried == null)
            return work.exec();
        State state = state();
        long before = state.task;
        state.task = carried.task;
        try {
            return work.exec();
        } finally {
            state.task = before;
        }
    }

    @Hidden
    static CompletableFuture<?> tryFire(CompletableFuture.Completion work, int mode) {
        Carried carried = used ? find(work) : null;
        if (carried == null)
            return work.tryFire(mode);
        State state = state();
        long before = state.task;
        state.task = carried.task;
        try {
            return work.tryFire(mode);
        } finally {
            state.task = before;
        }
    }
}
