/* Recognises Ruby in the process and puts the adapter in when the program loads Ruby's sockets: of threads that wait for work
 * already the first piece would be missed. Where these are linked in, it is when the program begins to listen. */
#include "ruby.h"

#include "hooks.h"
#include "loader.h"
#include "ruby_parts.h"
#include "text.h"

struct ruby rb;
value ruby_nil, ruby_top;
ident ruby_mark;

static enum { NOT_LOOKED, ABSENT, PRESENT, IN_PLACE, OVER } state;

static const char *const names[] = {
#define API(result, name, parameters) #name,
#include "ruby.def"
#undef API
};
_Static_assert(sizeof rb == sizeof names && COUNT(names) <= API_NAMES, "one pointer each");

/* -- small things */

bool ruby_usable(void) {
    return state == IN_PLACE;
}

bool ruby_try(value (*function)(value), value argument) {
    int failed = 0;
    value before = rb.rb_errinfo();
    rb.rb_protect(function, argument, &failed);
    if (failed)
        rb.rb_set_errinfo(before);
    return !failed;
}

/* What would be loaded by asking for it stays as it is. */
value ruby_constant(value module, const char *name) {
    ident id = rb.rb_intern(name);
    if (!module || !rb.rb_const_defined_at(module, id) || is_true(rb.rb_autoload_p(module, id)))
        return 0;
    return rb.rb_const_get_at(module, id);
}

value ruby_call(value object, const char *name) {
    return rb.rb_funcallv(object, rb.rb_intern(name), 0, NULL);
}

/* -- in */

/* An OpenTelemetry SDK that makes spans in this program knows more than we do. What was replaced stays, idle. */
static bool gives_way(void) {
    value module = ruby_constant(ruby_top, "OpenTelemetry");
    if (!module || !ruby_constant(module, "SDK"))
        return false;
    state = OVER;
    runtime.current = NULL;
    runtime.observes_read = NULL;
    return true;
}

static value look_around(value unused) {
    if (!gives_way())
        ruby_libraries();
    return unused;
}

void ruby_look_again(void) {
    if (ruby_usable())
        ruby_try(look_around, 0);
}

static value begin(value unused) {
    ruby_mark = rb.rb_intern("binding"); /* a name that there is */
    ruby_top = rb.rb_path2class("Object");
    ruby_nil = rb.rb_attr_get(ruby_top, ruby_mark);
    if (gives_way() || !ruby_methods_known())
        return unused;
    ruby_works();
    ruby_queues();
    state = IN_PLACE;
    ruby_libraries();
    return unused;
}

static void *put_in(void *unused) {
    if (__atomic_exchange_n(&state, OVER, __ATOMIC_ACQ_REL) == PRESENT)
        ruby_try(begin, 0);
    return unused;
}

/* Threads of Ruby's that the kernel's threads take in turn: what is known of the one says nothing of the other. */
static bool has_light_threads(void) {
    return NEXT(getenv) && next.getenv("RUBY_MN_THREADS");
}

/* Ruby's own threads alone may have, or take, the interpreter's lock; who accepts waits for it next anyway. */
void ruby_listens(void) {
    if (LIKELY(state != NOT_LOOKED && state != PRESENT))
        return;
    if (!agent.runtime_hooks || agent.status != ACTIVE || borrows_memory())
        return;
    int kept = errno_kept();
    if (state == NOT_LOOKED)
        state = find_api(names, NULL, COUNT(names), (void **)&rb) && !has_light_threads() ? PRESENT : ABSENT;
    if (state == PRESENT && rb.ruby_native_thread_p()) {
        if (rb.ruby_thread_has_gvl_p())
            put_in(NULL);
        else
            rb.rb_thread_call_with_gvl(put_in, NULL);
    }
    errno_back(kept);
}

void ruby_loads(const char *path) {
    static const char wanted[] = "/socket.so";
    u32 size = path && LIKELY(state == NOT_LOOKED) ? length(path) : 0;
    if (size >= sizeof wanted && begins(path + size - (sizeof wanted - 1), wanted))
        ruby_listens();
}
