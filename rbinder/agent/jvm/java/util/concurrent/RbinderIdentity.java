/* A thing that the program may let go of, found by its identity; the queue tells when it has gone. The file's name comes before
 * those of what extends it: in that order classes are defined.
 */
package java.util.concurrent;

import java.lang.ref.ReferenceQueue;
import java.lang.ref.WeakReference;

class RbinderIdentity extends WeakReference<Object> {
    private final int hash;

    RbinderIdentity(Object object, ReferenceQueue<Object> gone) {
        super(object, gone);
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

    /** Asks for one, without a reference that the collector would have to look after. */
    static final class Asked {
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
