/* Changes a class file so that it tells RbinderTasks of work that is handed over (JVMS 4). Two kinds of changes are enough: a
 * call of it in the place of another with the same operands, which moves nothing; and calls of it where a method begins and
 * returns. Those come in multiples of four bytes, so that switches keep their padding. What it doesn't understand it leaves
 * alone.
 */
package java.util.concurrent;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

final class RbinderPatcher {
    private static final String TASKS = "java/util/concurrent/RbinderTasks";
    private static final String QUEUES = "java/util/concurrent/RbinderQueues";
    private static final String OF_QUEUES = " puts adds asks drains taken removed awaits "; /* its functions */
    private static final int ALOAD = 0x19, ALOAD_0 = 0x2a, DUP = 0x59, IRETURN = 0xac, ARETURN = 0xb0, RETURN = 0xb1;
    private static final int GOTO_W = 0xc8, JSR_W = 0xc9;
    private static final int INVOKEVIRTUAL = 0xb6, INVOKESPECIAL = 0xb7, INVOKESTATIC = 0xb8, INVOKEINTERFACE = 0xb9;
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
            case "start":
                return "(Ljava/lang/Runnable;)V";
            case "exec":
                return "(Ljava/util/concurrent/ForkJoinTask;)Z";
            case "tryFire":
                return "(Ljava/util/concurrent/CompletableFuture$Completion;I)Ljava/util/concurrent/CompletableFuture;";
            case "taken":
            case "removed":
            case "puts":
            case "fetched":
            case "given":
            case "next":
                return "(Ljava/lang/Object;Ljava/lang/Object;)V";
            default:
                return "(Ljava/lang/Object;)V";
        }
    }

    private int function(String name) throws IOException {
        int nameAndType = add(12, add(name), add(descriptor(name)));
        String owner = OF_QUEUES.contains(' ' + name + ' ') ? QUEUES : TASKS;
        return add(10, add(7, add(owner), -1), nameAndType);
    }

    // -- methods

    /** Whether a rule is for a method; its pattern is a name, or the beginning of a name and descriptor. */
    private static boolean fits(String[] rule, String name, String descriptor) {
        int last = rule[1].length() - 1;
        return rule[1].charAt(last) == '*' ? (name + descriptor).startsWith(rule[1].substring(0, last)) : rule[1].equals(name);
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
                any |= fits(rule, name, descriptor);
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
        Insertions insertions = new Insertions(code, name.equals("<init>") ? afterSuper(code) : 0);
        boolean touched = false;
        for (String[] rule : rules)
            if (fits(rule, name, descriptor) && rule[2].equals("call"))
                touched |= redirect(code, rule[3], rule[4]);
            else if (fits(rule, name, descriptor) && !rule[2].equals("result"))
                atEntry(insertions, rule, local(descriptor, isStatic, rule[rule.length - 1]));
        for (String[] rule : rules)
            if (fits(rule, name, descriptor))
                atReturns(insertions, rule, local(descriptor, isStatic, rule[rule.length - 1]));
        if (!touched && insertions.isEmpty())
            return null;
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(body);
        out.writeShort(stack + 2);
        out.writeShort(locals);
        byte[] made = insertions.applied();
        if (made.length > 0xffff)
            return null;
        out.writeInt(made.length);
        out.write(made);
        in.position(at + length);
        if (insertions.isEmpty())
            out.write(from, in.position(), start + in.getInt(start - 4) - in.position());
        else
            new Moved(insertions).rest(out);
        return body.toByteArray();
    }

    private void atEntry(Insertions insertions, String[] rule, int local) throws IOException {
        if (local >= 0 && local < 256)
            insertions.atEntry(call(rule[2].equals("during") ? "enter" : rule[3], ALOAD, local));
    }

    private void atReturns(Insertions insertions, String[] rule, int local) throws IOException {
        if (rule[2].equals("result"))
            insertions.atReturns(call(rule[3], DUP, 0), ARETURN, ARETURN);
        else if (rule[2].equals("during") && local >= 0 && local < 256)
            insertions.atReturns(call("leave", ALOAD, local), IRETURN, RETURN);
    }

    /** A call of a function, a multiple of four bytes: of a local, or of what is on the stack and `this`. */
    private byte[] call(String function, int load, int local) throws IOException {
        int at = 0, index = function(function);
        byte[] call = new byte[8];
        call[at++] = (byte) load;
        if (load == ALOAD)
            call[at++] = (byte) local;
        if (descriptor(function).startsWith("(Ljava/lang/Object;Ljava/lang/Object;)"))
            call[at++] = ALOAD_0;
        call[at++] = (byte) INVOKESTATIC;
        call[at++] = (byte) (index >> 8);
        call[at] = (byte) index;
        return call;
    }

    /** Which local holds the Nth object of the parameters; -1: there is none. */
    private static int local(String descriptor, boolean isStatic, String number) {
        int local = isStatic ? 0 : 1, wanted = "012".indexOf(number);
        if (wanted < 0)
            return -1;
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

    // -- putting instructions in

    /** What is put in before which instructions of a method. */
    private static final class Insertions {
        private final byte[] code;
        private final int entry; /* where the method begins: in a constructor, where `this` is one */
        private final java.util.TreeMap<Integer, byte[]> all = new java.util.TreeMap<>();
        private int entrySize;

        Insertions(byte[] code, int entry) {
            this.code = code;
            this.entry = entry;
        }

        boolean isEmpty() {
            return all.isEmpty();
        }

        void atEntry(byte[] call) {
            if (entry < 0)
                return;
            byte[] before = all.get(entry);
            all.put(entry, before == null ? call : joined(before, call));
            entrySize += call.length;
        }

        void atReturns(byte[] call, int first, int last) {
            for (int at = 0; at < code.length; at += length(code, at)) {
                int operation = code[at] & 0xff;
                byte[] before = all.get(at);
                if (operation >= first && operation <= last)
                    all.put(at, before == null ? call : joined(before, call));
            }
        }

        private static byte[] joined(byte[] one, byte[] other) {
            byte[] both = java.util.Arrays.copyOf(one, one.length + other.length);
            System.arraycopy(other, 0, both, one.length, other.length);
            return both;
        }

        /** Where what is put in before an instruction begins, or the instruction itself. */
        int start(int at) {
            int moved = at;
            for (byte[] call : all.headMap(at).values())
                moved += call.length;
            return moved;
        }

        /** Where the instruction is. */
        int instruction(int at) {
            byte[] call = all.get(at);
            return start(at) + (call == null ? 0 : call.length);
        }

        /** Where a branch to the instruction leads: a method begins once, but returns in many ways. */
        int target(int at) {
            return start(at) + (at == entry ? entrySize : 0);
        }

        byte[] applied() {
            if (all.isEmpty())
                return code;
            ByteArrayOutputStream out = new ByteArrayOutputStream(code.length + 64);
            for (int at = 0, size; at < code.length; at += size) {
                size = length(code, at);
                byte[] call = all.getOrDefault(at, new byte[0]);
                out.write(call, 0, call.length);
                byte[] instruction = java.util.Arrays.copyOfRange(code, at, at + size);
                branch(instruction, at);
                out.write(instruction, 0, size);
            }
            return out.toByteArray();
        }

        private void branch(byte[] instruction, int at) {
            int operation = instruction[0] & 0xff;
            ByteBuffer view = ByteBuffer.wrap(instruction);
            if (operation >= 0x99 && operation <= 0xa8 || operation == 0xc6 || operation == 0xc7) {
                int distance = target(at + view.getShort(1)) - instruction(at);
                if (distance != (short) distance)
                    throw new IllegalStateException();
                view.putShort(1, (short) distance);
            } else if (operation == GOTO_W || operation == JSR_W) {
                far(view, 1, at);
            } else if (operation == TABLESWITCH || operation == LOOKUPSWITCH) {
                int operands = (at & ~3) + 4 - at;
                far(view, operands, at);
                int step = operation == TABLESWITCH ? 4 : 8;
                for (int i = operands + 12; i < instruction.length; i += step)
                    far(view, i, at);
            }
        }

        private void far(ByteBuffer view, int place, int at) {
            view.putInt(place, target(at + view.getInt(place)) - instruction(at));
        }
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

    // -- what tells of places in the code

    private final class Moved {
        private final Insertions insertions;

        Moved(Insertions insertions) {
            this.insertions = insertions;
        }

        void rest(DataOutputStream out) throws IOException {
            int handlers = u2();
            out.writeShort(handlers);
            for (; handlers > 0; handlers--) {
                out.writeShort(insertions.target(u2()));
                out.writeShort(insertions.start(u2()));
                out.writeShort(insertions.target(u2()));
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
                to.writeShort(insertions.start(u2()));
                to.writeShort(u2());
            }
        }

        private void variables(DataOutputStream to) throws IOException {
            int count = u2();
            to.writeShort(count);
            for (; count > 0; count--) {
                int at = u2(), start = insertions.start(at), end = insertions.start(at + u2());
                to.writeShort(start);
                to.writeShort(end - start);
                for (int i = 0; i < 3; i++)
                    to.writeShort(u2());
            }
        }

        /** A frame says how far it is from the one before. */
        private void frames(DataOutputStream to) throws IOException {
            int count = u2(), at = -1, moved = -1;
            to.writeShort(count);
            for (; count > 0; count--) {
                int type = u1();
                at += 1 + (type < 64 ? type : type < 128 ? type - 64 : u2());
                int offset = insertions.target(at) - moved - 1;
                moved = insertions.target(at);
                if (type < 64) {
                    same(to, offset, 251, 0);
                } else if (type < 128) {
                    same(to, offset, 247, 64);
                    types(to, 1);
                } else {
                    to.writeByte(type);
                    to.writeShort(offset);
                    rest(to, type);
                }
            }
        }

        private void rest(DataOutputStream to, int type) throws IOException {
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
                else if (tag == 8) /* not yet initialised: made by the instruction there */
                    to.writeShort(insertions.instruction(u2()));
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
