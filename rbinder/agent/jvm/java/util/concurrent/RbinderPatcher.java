/* Changes a class file so that it tells RbinderTasks of work that is handed over (JVMS 4). Two changes are enough: a call of
 * it at a method's beginning, PREFIX bytes long so that switches keep their padding; and a call of it in the place of another
 * with the same operands, which moves nothing. What it doesn't understand it leaves alone.
 */
package java.util.concurrent;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

final class RbinderPatcher {
    private static final String TASKS = "java/util/concurrent/RbinderTasks";
    private static final int PREFIX = 8;
    private static final int ALOAD = 0x19, INVOKEVIRTUAL = 0xb6, INVOKESPECIAL = 0xb7, INVOKESTATIC = 0xb8, INVOKEINTERFACE = 0xb9;
    private static final int TABLESWITCH = 0xaa, LOOKUPSWITCH = 0xab, WIDE = 0xc4, IINC = 0x84;

    /** Lengths of the instructions 0x00 to 0xc9, one digit each; 0: to be computed (JVMS 6.5). */
    private static final String LENGTHS =
            "1111111111111111" + "2323322222111111" + "1".repeat(16) + "1111112222211111" + "1".repeat(64) + "1111311111111111"
                    + "1".repeat(9) + "3333333" + "3333333332001111" + "1133333335532311" + "3311" + "0433" + "55";

    private final byte[] from;
    private final ByteBuffer in;
    private final String[][] rules;
    private int[] constants;
    private int constantCount;
    private int superclass;
    private final ByteArrayOutputStream added = new ByteArrayOutputStream();
    private boolean changed;

    private RbinderPatcher(String name, byte[] from) {
        this.from = from;
        this.in = ByteBuffer.wrap(from);
        this.rules = RbinderRules.of(name);
    }

    /** The class file as it is to be, or null: it stays as it is. */
    static byte[] patch(String name, byte[] from) {
        try {
            return new RbinderPatcher(name, from).patched();
        } catch (Throwable anything) {
            return null;
        }
    }

    /** The names of the classes that are changed, each ended by a line's end. */
    static byte[] classes() {
        return RbinderRules.classes().getBytes(StandardCharsets.UTF_8);
    }

    private byte[] patched() throws IOException {
        readConstants();
        int pool = in.position();
        in.position(pool + 4);
        superclass = u2();
        skip(2 * u2());
        ByteArrayOutputStream rest = new ByteArrayOutputStream(from.length);
        DataOutputStream out = new DataOutputStream(rest);
        for (int fields = u2(); fields > 0; fields--) {
            skip(6);
            skipAttributes();
        }
        int methods = u2();
        out.write(from, pool, in.position() - pool);
        for (; methods > 0; methods--)
            method(out);
        out.write(from, in.position(), from.length - in.position());
        return changed ? assembled(pool, rest) : null;
    }

    private byte[] assembled(int pool, ByteArrayOutputStream rest) throws IOException {
        ByteArrayOutputStream whole = new ByteArrayOutputStream(from.length + 512);
        DataOutputStream out = new DataOutputStream(whole);
        out.write(from, 0, 8);
        out.writeShort(constantCount);
        out.write(from, 10, pool - 10);
        added.writeTo(out);
        rest.writeTo(out);
        return whole.toByteArray();
    }

    // -- constants

    private void readConstants() {
        in.position(8);
        constantCount = u2();
        constants = new int[constantCount];
        for (int i = 1; i < constants.length; i++) {
            constants[i] = in.position();
            int tag = u1();
            if (tag == 1)
                skip(u2());
            else if (tag == 15)
                skip(3);
            else if (tag == 7 || tag == 8 || tag == 16 || tag == 19 || tag == 20)
                skip(2);
            else
                skip(tag == 5 || tag == 6 ? 8 : 4);
            if (tag == 5 || tag == 6)
                i++;
        }
    }

    private String text(int index) {
        int at = constants[index];
        return new String(from, at + 3, in.getShort(at + 1) & 0xffff, StandardCharsets.UTF_8);
    }

    /** The name of the method that a constant stands for. */
    private String callee(int index) {
        int nameAndType = constants[in.getShort(constants[index] + 3) & 0xffff];
        return text(in.getShort(nameAndType + 1) & 0xffff);
    }

    private int add(int tag, int one, int other) throws IOException {
        DataOutputStream out = new DataOutputStream(added);
        out.writeByte(tag);
        out.writeShort(one);
        if (other >= 0)
            out.writeShort(other);
        return next();
    }

    private int add(String text) throws IOException {
        DataOutputStream out = new DataOutputStream(added);
        out.writeByte(1);
        out.writeUTF(text);
        return next();
    }

    private int next() {
        if (constantCount >= 0xffff)
            throw new IllegalStateException();
        changed = true;
        return constantCount++;
    }

    private static String descriptor(String function) {
        switch (function) {
            case "run":
                return "(Ljava/lang/Runnable;)V";
            case "exec":
                return "(Ljava/util/concurrent/ForkJoinTask;)Z";
            case "tryFire":
                return "(Ljava/util/concurrent/CompletableFuture$Completion;I)Ljava/util/concurrent/CompletableFuture;";
            case "clear":
                return "()V";
            default:
                return "(Ljava/lang/Object;)V";
        }
    }

    private int function(String name) throws IOException {
        int nameAndType = add(12, add(name), add(descriptor(name)));
        return add(10, add(7, add(TASKS), -1), nameAndType);
    }

    // -- methods

    private static boolean fits(String pattern, String name) {
        int last = pattern.length() - 1;
        return pattern.charAt(last) == '*' ? name.startsWith(pattern.substring(0, last)) : pattern.equals(name);
    }

    private void method(DataOutputStream out) throws IOException {
        int start = in.position();
        boolean isStatic = (u2() & 8) != 0;
        String name = text(u2()), descriptor = text(u2());
        int attributes = u2();
        out.write(from, start, 8);
        for (; attributes > 0; attributes--) {
            int at = in.position();
            boolean code = text(u2()).equals("Code");
            int size = in.getInt(), end = in.position() + size;
            boolean any = false;
            for (String[] rule : rules)
                any |= fits(rule[1], name);
            byte[] body = code && any ? code(name, descriptor, isStatic) : null;
            if (body == null) {
                out.write(from, at, end - at);
            } else {
                out.write(from, at, 2);
                out.writeInt(body.length);
                out.write(body);
            }
            in.position(end);
        }
    }

    /** A Code attribute's body with the rules' changes, or null. */
    private byte[] code(String name, String descriptor, boolean isStatic) throws IOException {
        int start = in.position(), stack = u2(), locals = u2(), length = in.getInt(), at = in.position();
        byte[] code = java.util.Arrays.copyOfRange(from, at, at + length);
        byte[] prefix = null;
        int place = name.equals("<init>") ? afterSuper(code) : 0;
        boolean touched = false;
        for (String[] rule : rules) {
            if (!fits(rule[1], name))
                continue;
            if (rule[2].equals("call"))
                touched |= redirect(code, rule[3], rule[4]);
            else if (prefix == null && place >= 0)
                prefix = prefix(rule[3], local(descriptor, isStatic, Integer.parseInt(rule[4])));
        }
        if (prefix == null && !touched)
            return null;
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(body);
        out.writeShort(Math.max(stack, 1));
        out.writeShort(locals);
        out.writeInt(length + (prefix == null ? 0 : PREFIX));
        if (prefix != null) {
            out.write(code, 0, place);
            out.write(prefix);
        }
        out.write(code, prefix == null ? 0 : place, length - (prefix == null ? 0 : place));
        in.position(at + length);
        if (prefix == null)
            out.write(from, in.position(), start + in.getInt(start - 4) - in.position());
        else
            new Shifted(place).rest(out);
        return length + PREFIX < 0xffff ? body.toByteArray() : null;
    }

    /** Which local holds the Nth object of the parameters; -1: there is none. */
    private static int local(String descriptor, boolean isStatic, int wanted) {
        int local = isStatic ? 0 : 1;
        if (wanted == 0)
            return isStatic ? -1 : 0;
        for (int at = 1; descriptor.charAt(at) != ')'; at++) {
            int start = at;
            while (descriptor.charAt(at) == '[')
                at++;
            boolean object = descriptor.charAt(at) == 'L' || at > start;
            if (descriptor.charAt(at) == 'L')
                at = descriptor.indexOf(';', at);
            if (object && --wanted == 0)
                return local;
            local += !object && "JD".indexOf(descriptor.charAt(at)) >= 0 ? 2 : 1;
        }
        return -1;
    }

    private byte[] prefix(String function, int local) throws IOException {
        if (local < 0 || local > 255)
            return null;
        byte[] prefix = new byte[PREFIX];
        int at = 0;
        if (!function.equals("clear")) {
            prefix[at++] = (byte) ALOAD;
            prefix[at++] = (byte) local;
        }
        int index = function(function);
        prefix[at++] = (byte) INVOKESTATIC;
        prefix[at++] = (byte) (index >> 8);
        prefix[at] = (byte) index;
        return prefix;
    }

    // -- instructions

    private boolean redirect(byte[] code, String name, String function) throws IOException {
        int index = 0;
        for (int at = 0; at < code.length; at += length(code, at)) {
            int operation = code[at] & 0xff;
            if (operation != INVOKEVIRTUAL && operation != INVOKEINTERFACE)
                continue;
            if (!callee((code[at + 1] & 0xff) << 8 | code[at + 2] & 0xff).equals(name))
                continue;
            if (index == 0)
                index = function(function);
            code[at] = (byte) INVOKESTATIC;
            code[at + 1] = (byte) (index >> 8);
            code[at + 2] = (byte) index;
            if (operation == INVOKEINTERFACE)
                code[at + 3] = code[at + 4] = 0;
        }
        return index != 0;
    }

    private static int length(byte[] code, int at) {
        int operation = code[at] & 0xff, length = LENGTHS.charAt(operation) - '0';
        if (length > 0)
            return length;
        if (operation == WIDE)
            return (code[at + 1] & 0xff) == IINC ? 6 : 4;
        ByteBuffer view = ByteBuffer.wrap(code);
        int operands = (at & ~3) + 4;
        if (operation == LOOKUPSWITCH)
            return operands + 8 + 8 * view.getInt(operands + 4) - at;
        return operands + 12 + 4 * (view.getInt(operands + 8) - view.getInt(operands + 4) + 1) - at;
    }

    /** Where `this` is initialised: no branch crosses that place. -1: it isn't found. */
    private int afterSuper(byte[] code) {
        for (int at = 0; at < code.length; at += length(code, at)) {
            if ((code[at] & 0xff) != INVOKESPECIAL)
                continue;
            int method = (code[at + 1] & 0xff) << 8 | code[at + 2] & 0xff;
            if (callee(method).equals("<init>") && (in.getShort(constants[method] + 1) & 0xffff) == superclass)
                return at + 3;
        }
        return -1;
    }

    // -- what counts in bytes of code: it moves if it lies behind the place where PREFIX bytes were put in

    private final class Shifted {
        private final int place;

        Shifted(int place) {
            this.place = place;
        }

        private int moved(int at) {
            return at < place || at == 0 ? at : at + PREFIX;
        }

        void rest(DataOutputStream out) throws IOException {
            int handlers = u2();
            out.writeShort(handlers);
            for (; handlers > 0; handlers--) {
                for (int i = 0; i < 3; i++) {
                    int at = u2();
                    out.writeShort(at < place ? at : at + PREFIX);
                }
                out.writeShort(u2());
            }
            int attributes = u2(), kept = 0;
            ByteArrayOutputStream all = new ByteArrayOutputStream();
            for (; attributes > 0; attributes--)
                kept += attribute(new DataOutputStream(all)) ? 1 : 0;
            out.writeShort(kept);
            all.writeTo(out);
        }

        /** False: an attribute that is left out; it says nothing that is needed to run. */
        private boolean attribute(DataOutputStream out) throws IOException {
            int name = u2(), size = in.getInt(), end = in.position() + size;
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            DataOutputStream to = new DataOutputStream(body);
            switch (text(name)) {
                case "LineNumberTable":
                    lines(to);
                    break;
                case "LocalVariableTable":
                case "LocalVariableTypeTable":
                    variables(to);
                    break;
                case "StackMapTable":
                    frames(to);
                    break;
                default:
                    in.position(end);
                    return false;
            }
            in.position(end);
            out.writeShort(name);
            out.writeInt(body.size());
            body.writeTo(out);
            return true;
        }

        private void lines(DataOutputStream to) throws IOException {
            int count = u2();
            to.writeShort(count);
            for (; count > 0; count--) {
                to.writeShort(moved(u2()));
                to.writeShort(u2());
            }
        }

        private void variables(DataOutputStream to) throws IOException {
            int count = u2();
            to.writeShort(count);
            for (; count > 0; count--) {
                int at = u2(), length = u2(), end = at + length;
                to.writeShort(moved(at));
                to.writeShort((end < place ? end : end + PREFIX) - moved(at));
                for (int i = 0; i < 3; i++)
                    to.writeShort(u2());
            }
        }

        /** A frame says how far it is from the one before: the first behind the place has moved away from it. */
        private void frames(DataOutputStream to) throws IOException {
            int count = u2(), at = -1;
            boolean behind = false;
            to.writeShort(count);
            for (int left = count; left > 0; left--) {
                int type = u1(), delta = type < 64 ? type : type < 128 ? type - 64 : u2();
                at += delta + 1;
                int more = !behind && at >= place ? PREFIX : 0;
                behind |= more > 0;
                if (type < 64) {
                    same(to, type + more, 251, 0);
                } else if (type < 128) {
                    same(to, delta + more, 247, 64);
                    types(to, 1);
                } else {
                    to.writeByte(type);
                    to.writeShort(delta + more);
                    if (type == 247)
                        types(to, 1);
                    else if (type > 251 && type < 255)
                        types(to, type - 251);
                    else if (type == 255)
                        for (int part = 0; part < 2; part++) {
                            int types = u2();
                            to.writeShort(types);
                            types(to, types);
                        }
                }
            }
        }

        private void same(DataOutputStream to, int offset, int extended, int base) throws IOException {
            if (offset < 64) {
                to.writeByte(base + offset);
            } else {
                to.writeByte(extended);
                to.writeShort(offset);
            }
        }

        private void types(DataOutputStream to, int count) throws IOException {
            for (; count > 0; count--) {
                int tag = u1();
                to.writeByte(tag);
                if (tag == 7)
                    to.writeShort(u2());
                else if (tag == 8) { /* not yet initialised: made by the instruction there */
                    int at = u2();
                    to.writeShort(at < place ? at : at + PREFIX);
                }
            }
        }
    }

    // -- reading

    private int u1() {
        return in.get() & 0xff;
    }

    private int u2() {
        return in.getShort() & 0xffff;
    }

    private void skip(int bytes) {
        in.position(in.position() + bytes);
    }

    private void skipAttributes() {
        for (int count = u2(); count > 0; count--) {
            skip(2);
            skip(in.getInt());
        }
    }
}
