/* How Ruby's methods are followed. Of one in C the function is replaced where the interpreter finds it for each call; where
 * that is differs between versions, and is learned of two methods whose functions have names:
 *
 *     Array#clear → rb_ary_clear, String#<< → rb_str_concat
 *
 *     UnboundMethod ──▶ METHOD ──▶ method entry ──▶ definition { type, function, invoker, argc }
 *
 * One in Ruby gets a TracePoint that has it alone for its target: all other code runs as fast as before.
 */
#include "ruby_parts.h"

#define WORD sizeof(value)
#define CALL 0x8u    /* RUBY_EVENT_CALL, _RETURN */
#define RETURN 0x10u
#define KIND 0xfu    /* of a definition's first word: which type of method */

function *in_c[METHODS];

/* Offsets in words: from an object to METHOD (0: that lies in it), to the method entry, the definition, the function. */
static struct way {
    u32 method, entry, definition, function;
} way;
static u64 kind_in_c;

static value word_at(value at, u32 index) {
    value word = 0;
    const void *place = (const void *)(at + index * WORD);
    if (at && at % WORD == 0 && is_readable(place, sizeof word))
        memcpy(&word, place, sizeof word);
    return word;
}

static value method_of(value class, const char *name) {
    value symbol = rb.rb_id2sym(rb.rb_intern(name));
    return rb.rb_funcallv(class, rb.rb_intern("instance_method"), 1, &symbol);
}

static value definition_of(value method, const struct way *taken) {
    value at = taken->method ? word_at(method, taken->method) : method;
    return word_at(word_at(at, taken->entry), taken->definition);
}

static int arguments_of(value definition, const struct way *taken) {
    return (int)word_at(definition, taken->function + 2);
}

static bool leads_to(value method, const struct way *taken, const void *known, int count) {
    value definition = definition_of(method, taken);
    return definition && word_at(definition, taken->function) == (value)known && arguments_of(definition, taken) == count;
}

static bool next_way(struct way *taken) {
    enum { FARTHEST = 10 };
    if (++taken->function <= 4)
        return true;
    taken->function = 1;
    if (++taken->definition <= 5)
        return true;
    taken->definition = 1;
    if (++taken->entry <= FARTHEST)
        return true;
    taken->entry = 1;
    return ++taken->method <= 5;
}

bool ruby_methods_known(void) {
    value clear = method_of(rb.rb_path2class("Array"), "clear"), concat = method_of(rb.rb_path2class("String"), "<<");
    struct way taken = {0, 1, 1, 1};
    do {
        if (!leads_to(clear, &taken, (const void *)rb.rb_ary_clear, 0) ||
            !leads_to(concat, &taken, (const void *)rb.rb_str_concat, 1))
            continue;
        way = taken;
        kind_in_c = word_at(definition_of(clear, &way), 0) & KIND;
        return kind_in_c == (word_at(definition_of(concat, &way), 0) & KIND);
    } while (next_way(&taken));
    return false;
}

/* The heap, where definitions are, is writable. */
bool ruby_replace(value class, const char *name, int count, enum method_number number, function *ours) {
    value definition = definition_of(method_of(class, name), &way);
    if (!definition || (word_at(definition, 0) & KIND) != kind_in_c || arguments_of(definition, &way) != count)
        return false;
    function **place = (function **)(definition + way.function * WORD);
    if (in_c[number] && *place != in_c[number])
        return *place == ours;
    in_c[number] = *place;
    if (ours)
        __atomic_store_n(place, ours, __ATOMIC_RELEASE);
    return true;
}

/* -- methods in Ruby */

static value argument_in(void *event, const struct followed *followed) {
    if (!followed->argument)
        return ruby_nil;
    value symbol = rb.rb_id2sym(followed->argument), binding = rb.rb_tracearg_binding(event);
    return rb.rb_funcallv(binding, rb.rb_intern("local_variable_get"), 1, &symbol);
}

static void happens(value point, void *data) {
    const struct followed *followed = data;
    if (!ruby_usable())
        return;
    void *event = rb.rb_tracearg_from_tracepoint(point);
    value self = rb.rb_tracearg_self(event);
    if (rb.rb_tracearg_event_flag(event) == CALL)
        followed->called(self, argument_in(event, followed));
    else
        followed->left(self);
}

/* [[:req, :client], [:block, :task]] → :client, :task */
static ident name_of_argument(value method, u32 index) {
    value parameter = rb.rb_ary_entry(ruby_call(method, "parameters"), index);
    value symbol = is_true(parameter) ? rb.rb_ary_entry(parameter, 1) : ruby_nil;
    return is_true(symbol) ? rb.rb_sym2id(symbol) : 0;
}

bool ruby_follow(value class, struct followed *followed) {
    enum { KEYWORDS = 1 };
    value method = method_of(class, followed->method), options = rb.rb_hash_new();
    if (followed->index != NO_ARGUMENT) {
        followed->argument = name_of_argument(method, followed->index);
        if (!followed->argument)
            return false;
    }
    value point = rb.rb_tracepoint_new(0, CALL | RETURN, happens, followed);
    rb.rb_gc_register_mark_object(point);
    rb.rb_hash_aset(options, rb.rb_id2sym(rb.rb_intern("target")), method);
    rb.rb_funcallv_kw(point, rb.rb_intern("enable"), 1, &options, KEYWORDS);
    return true;
}
