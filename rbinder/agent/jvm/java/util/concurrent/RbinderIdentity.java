/* A thing that the program may let go of, found by its identity. The file's name comes before those of what extends it: in that
 * order classes are defined.
 */
package java.util.concurrent;

import java.lang.ref.WeakReference;
import java.util.Collections;
import java.util.Iterator;
import java.util.concurrent.atomic.AtomicBoolean;

class RbinderIdentity extends WeakReference<Object> {
    private final int hash;

    RbinderIdentity(Object object) {
        super(object);
        hash = System.identityHashCode(object);
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
        return mine != null && other instanceof RbinderIdentity && ((RbinderIdentity) other).get() == mine;
    }

    /** Such things. What has gone is taken out, a few with each that is put in. A queue of references would tell, but it has a
     * lock: a virtual thread that is woken to have it runs never, if all carriers wait for that lock under threads that are
     * pinned (JDK 21). Nothing here parks. */
    static final class Table<T extends RbinderIdentity> {
        private static final int STEP = 8;
        private static final int PAUSE = 4096; /* things put in from the beginning of a round to that of the next one */

        private final ConcurrentHashMap<Object, T> things = new ConcurrentHashMap<>();
        private final AtomicBoolean busy = new AtomicBoolean();
        private Iterator<T> hand = Collections.emptyIterator();
        private int since;

        T get(Object object) {
            return things.get(new Asked(object));
        }

        void remove(Object object) {
            things.remove(new Asked(object));
        }

        /** In the place of what there is of the same object. */
        void put(T thing) {
            things.remove(thing);
            things.put(thing, thing);
            sweep();
        }

        /** Returns what there is of the same object then. */
        T add(T thing) {
            T found = things.putIfAbsent(thing, thing);
            sweep();
            return found == null ? thing : found;
        }

        private void sweep() {
            if (!busy.compareAndSet(false, true))
                return;
            try {
                if (++since >= PAUSE && !hand.hasNext()) {
                    hand = things.values().iterator();
                    since = 0;
                }
                for (int i = 0; i < STEP && hand.hasNext(); i++)
                    if (hand.next().get() == null)
                        hand.remove();
            } finally {
                busy.set(false);
            }
        }
    }

    /** Asks for one, without a reference that the collector would have to look after. */
    private static final class Asked {
        private final Object object;

        Asked(Object object) {
            this.object = object;
        }

        @Override
        public int hashCode() {
            return System.identityHashCode(object);
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof RbinderIdentity && ((RbinderIdentity) other).get() == object;
        }
    }
}
