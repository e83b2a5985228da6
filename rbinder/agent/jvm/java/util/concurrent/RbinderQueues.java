/* Queues that are the program's own: whom the work is for that a thread takes from one. A pool tells the thread what it does,
 * a queue doesn't: it may hold work, or tools that are lent and come back, as connections are. So what a thread takes is its
 * work only where nothing else is possible, and where that is in doubt it works for nobody:
 *
 *     who takes                                  works then for
 *     a thread that works for nobody             whom the thing was put in for, if it is work, and the thread a loop
 *     one whose work comes from that queue       the same; nobody, if what it took before may not be done yet (a batch)
 *     one that works for a request               that request; nobody, if the thing may be another request's work
 *
 * Work is what can be run, and what comes from a queue of which a thread has taken twice in turn and put nothing back. Where a
 * thread that read a request takes from, where somebody puts back what he took, and what is emptied at once, hands over
 * nothing. A thing keeps the task for which it was put in first.
 */
package java.util.concurrent;

import java.util.Iterator;
import java.util.concurrent.RbinderTasks.State;
import java.util.function.Function;
import java.util.stream.Stream;
import jdk.internal.vm.annotation.Hidden;

public final class RbinderQueues {
    private static final long NONE = 0;
    private static final long UNKNOWN = -1;
    private static final String POOLED = "reactor.pool."; /* waits there for a connection; its own rules look after it */
    private static final int MOST_HELD = 64;
    private static final int MOST_FRAMES = 14; /* of a loop, of a thread's beginning and of ours */
    private static final StackWalker WALKER = StackWalker.getInstance();
    private static final Bottom BOTTOM = new Bottom();

    static final class Item extends RbinderIdentity {
        volatile long task; /* for which it was put in first; UNKNOWN: for several */

        Item(Object object, long task) {
            super(object);
            this.task = task;
        }
    }

    /** What is known of a queue. */
    static final class Queue extends RbinderIdentity {
        volatile boolean owned; /* by a pool that is known */
        volatile boolean lends; /* things come back to it, or are fetched by who serves a request: it hands over nothing */
        volatile boolean returned; /* somebody put back what he had taken */
        volatile boolean kept; /* somebody took twice, and put nothing back */

        Queue(Object queue) {
            super(queue);
        }

        /** Tools, and nothing else. */
        boolean holdsTools() {
            return returned && !kept;
        }
    }

    /** What a thread has taken. */
    static final class Taker {
        Queue from; /* where its work comes from */
        Item last; /* what it took last */
        Queue lastFrom; /* from where, if it hasn't put it back */
        long adopted; /* the task it took on with that */
        private final long[] held = new long[MOST_HELD]; /* tasks it took on before, and may not have done */
        private int count;

        /** It takes on another task. Has it done, or passed on, all that it took before? */
        boolean isFree(long task, boolean used) {
            if (adopted != NONE && !used)
                hold(adopted);
            int kept = 0;
            for (int i = 0; i < count; i++)
                if (held[i] != task && isOpen(held[i]))
                    held[kept++] = held[i];
            count = kept;
            adopted = task;
            if (count > 0)
                hold(task);
            return count == 0;
        }

        private void hold(long task) {
            if (count < MOST_HELD)
                held[count++] = task;
        }
    }

    private static final RbinderIdentity.Table<Item> ITEMS = new RbinderIdentity.Table<>();
    private static final RbinderIdentity.Table<Queue> QUEUES = new RbinderIdentity.Table<>();

    private RbinderQueues() {}

    /** Whether the request isn't answered yet. The agent knows. */
    private static native boolean open(long task);

    private static boolean isOpen(long task) {
        return task == UNKNOWN || task != NONE && open(task);
    }

    /** Whether the thread is at the bottom of what it does: in a loop that takes one piece of work after the other. What is taken
     * further up may be kept for others, or be put elsewhere, by a library that the thread has called. */
    private static boolean isAtBottom() {
        return WALKER.walk(BOTTOM);
    }

    private static final class Bottom implements Function<Stream<StackWalker.StackFrame>, Boolean> {
        @Override
        public Boolean apply(Stream<StackWalker.StackFrame> frames) {
            Iterator<StackWalker.StackFrame> each = frames.iterator();
            for (int i = 0; i < MOST_FRAMES && each.hasNext(); i++)
                each.next();
            return !each.hasNext();
        }
    }

    private static boolean isWork(Object object) {
        return object instanceof Runnable || object instanceof Callable;
    }

    private static Queue known(Object queue) {
        Queue found = QUEUES.get(queue);
        return found != null ? found : QUEUES.add(new Queue(queue));
    }

    private static Taker taker(State state) {
        if (state.taker == null)
            state.taker = new Taker();
        return state.taker;
    }

    // -- putting in

    /** Something is put into a queue that threads wait for. */
    @Hidden
    public static void puts(Object object, Object queue) {
        if (!RbinderTasks.used || object == null)
            return;
        State state = RbinderTasks.state();
        Taker taker = state.taker;
        if (taker != null && taker.lastFrom != null && taker.lastFrom.get() == queue) {
            if (taker.last != null && taker.last.get() == object)
                taker.lastFrom.returned = taker.lastFrom.lends = true;
            taker.lastFrom = null;
        }
        Queue known = QUEUES.get(queue);
        if (known == null || !known.owned)
            tag(object, state);
    }

    /** Something is put into a list that may be a queue: only what can be run is looked at. */
    @Hidden
    public static void adds(Object object) {
        if (RbinderTasks.used && isWork(object))
            tag(object, RbinderTasks.state());
    }

    private static void tag(Object object, State state) {
        Item item = ITEMS.get(object);
        if (item == null) {
            if (state.task == NONE)
                return;
            ITEMS.put(new Item(object, state.task));
        } else if (item.task != state.task && !isAgain(item, state)) {
            item.task = UNKNOWN;
        }
    }

    /** A worker puts in again what it took, or took once. */
    private static boolean isAgain(Item item, State state) {
        return state.taker != null && (state.taker.last == item || state.taker.from != null);
    }

    /** For whom a thing is that this thread took last; NONE: it is another. */
    static long tookFor(Object object, State state) {
        Item last = state.taker == null ? null : state.taker.last;
        return last != null && last.get() == object ? last.task : NONE;
    }

    // -- taking

    /** A thread asks a queue for something, and may wait for it: what it took there before is done. */
    @Hidden
    public static void asks(Object queue) {
        if (!RbinderTasks.used)
            return;
        State state = RbinderTasks.state();
        Queue known = known(queue);
        if (state.waits) {
            known.owned = true;
            return;
        }
        if (isFrom(state, queue)) {
            state.task = NONE;
        } else if (state.own && state.task != NONE) {
            if (isOpen(state.task))
                known.lends = true;
            else
                state.begin(NONE, false);
        } else if (state.inherited && !known.lends) { /* a pool's thread, whoever made the pool grow */
            state.inherited = false;
            state.task = NONE;
        }
    }

    /** A list is asked: that ends what was taken there, and says nothing of others. */
    private static void looks(Object queue, State state) {
        if (isFrom(state, queue))
            state.task = NONE;
    }

    private static boolean isFrom(State state, Object queue) {
        return state.taker != null && state.taker.from != null && state.taker.from.get() == queue;
    }

    /** All that is in there is taken at once. */
    @Hidden
    public static void drains(Object queue) {
        if (!RbinderTasks.used)
            return;
        State state = RbinderTasks.state();
        Queue known = known(queue);
        known.kept = known.lends = true;
        if (!state.waits)
            state.task = isFrom(state, queue) ? NONE : state.reads || state.task == NONE ? state.task : UNKNOWN;
    }

    @Hidden
    public static void taken(Object object, Object queue) {
        if (!RbinderTasks.used || object == null)
            return;
        State state = RbinderTasks.state();
        if (state.waits) /* a pool's own: it will say so itself */
            return;
        Item item = ITEMS.get(object);
        Queue known = known(queue);
        Taker taker = taker(state);
        boolean again = taker.lastFrom == known;
        if (again)
            known.kept = true;
        taker.last = item;
        taker.lastFrom = known;
        takes(state, known, item == null ? NONE : item.task, isWork(object), isWork(object) || known.kept);
    }

    /** Of what is taken from a list only what can be run is looked at. */
    @Hidden
    public static void removed(Object object, Object queue) {
        if (!RbinderTasks.used)
            return;
        Item item = isWork(object) ? ITEMS.get(object) : null;
        State state = RbinderTasks.state();
        if (item == null || state.waits || object.getClass().getName().contains(POOLED)) {
            looks(queue, state);
            return;
        }
        taker(state).last = item;
        takes(state, known(queue), item.task, true, !state.managed);
    }

    private static void takes(State state, Queue queue, long task, boolean runs, boolean work) {
        Taker taker = state.taker;
        if (taker.from == queue) {
            state.task = queue.lends ? NONE : isAtBottom() ? adopted(state, taker, task) : UNKNOWN;
        } else if (state.task == NONE) {
            if (task == NONE || !work || queue.lends || !isAtBottom())
                return;
            taker.from = queue;
            state.own = false;
            state.task = adopted(state, taker, task);
        } else if (state.inherited && work && task == state.task && !queue.lends && isAtBottom()) {
            state.inherited = false;
            taker.from = queue;
            state.own = false;
            taker.isFree(task, true);
        } else if (task != NONE && task != state.task && (runs || !state.reads && !queue.holdsTools()) && isOpen(task)) {
            state.task = UNKNOWN;
            if (state.inherited && work && !queue.lends && isAtBottom()) {
                state.inherited = false;
                taker.from = queue;
                taker.hold(task);
            }
        }
    }

    private static long adopted(State state, Taker taker, long task) {
        boolean free = taker.isFree(task, state.passed);
        state.passed = false;
        return free ? task : UNKNOWN;
    }

    /** A thread waits for a condition: one that was made while a request was served works for that no more. */
    @Hidden
    public static void awaits(Object condition) {
        if (!RbinderTasks.used)
            return;
        State state = RbinderTasks.state();
        if (state.inherited) {
            state.inherited = false;
            state.task = NONE;
        }
    }
}
