/* What libraries hand over by other means than the language's queues: an array and a condition variable.
 *
 *     Puma              a worker's handle_request(client, ...): for the request that has come on the client's connection
 *     concurrent-ruby   post(&task), and a worker's run_task(pool, task, ...): for whom it was posted
 */
#include "ruby_parts.h"

/* -- Puma */

struct question {
    value client;
    int descriptor; /* the answer */
};

static value ask_descriptor(value at) {
    struct question *question = (struct question *)at;
    value io = ruby_call(question->client, "io");
    if (rb.rb_respond_to(io, rb.rb_intern("to_io")))
        io = ruby_call(io, "to_io");
    if (rb.rb_respond_to(io, rb.rb_intern("fileno")))
        question->descriptor = (int)rb.rb_num2long(ruby_call(io, "fileno"));
    return ruby_nil;
}

/* What else is raised is meant for the program: another thread has raised it in this one. */
static int descriptor_of(value client) {
    int failed = 0;
    struct question question = {client, -1};
    value before = rb.rb_errinfo();
    if (!rb.rb_respond_to(client, rb.rb_intern("io")))
        return -1;
    rb.rb_protect(ask_descriptor, (value)&question, &failed);
    if (!failed)
        return question.descriptor;
    if (!is_true(rb.rb_obj_is_kind_of(rb.rb_errinfo(), rb.rb_path2class("IOError"))))
        rb.rb_jump_tag(failed);
    rb.rb_set_errinfo(before);
    return -1;
}

static void handles(value server, value client) {
    (void)server;
    int descriptor = descriptor_of(client);
    ruby_called_for(HANDLES, descriptor < 0 ? TASK_NONE : task_begun(descriptor));
}

/* -- concurrent-ruby: what is posted again before it has run, for another request, is nobody's from then on */

static void posts(value executor, value task) {
    (void)executor;
    if (!is_true(task))
        return;
    u64 whose = ruby_task();
    value mark = rb.rb_attr_get(task, ruby_mark);
    bool differs = is_true(mark) && rb.rb_num2ull(mark) != whose;
    ruby_is_for(task, differs || whose == TASK_UNKNOWN ? TASK_NONE : whose);
}

/* It stays marked: a task that is posted again is made anew, or is one of several requests. */
static void runs(value worker, value task) {
    (void)worker;
    value mark = is_true(task) ? rb.rb_attr_get(task, ruby_mark) : ruby_nil;
    ruby_called_for(HIRED, is_true(mark) ? rb.rb_num2ull(mark) : TASK_NONE);
}

static void ignore(value self) {
    (void)self;
}

/* -- */

static struct followed all[] = {
    {{"Puma", "Server"}, "handle_request", handles, ruby_left, 0, 0, false},
    {{"Concurrent", "RubyThreadPoolExecutor", "Worker"}, "run_task", runs, ruby_left, 1, 0, false},
    {{"Concurrent", "RubyExecutorService"}, "post", posts, ignore, 1, 0, false},
};

static value class_at(const char *const *path) {
    value found = ruby_top;
    for (u32 i = 0; i < 4 && path[i] && found; i++)
        found = ruby_constant(found, path[i]);
    return found;
}

static value follow(value at) {
    struct followed *followed = (struct followed *)at;
    ruby_follow(class_at(followed->path), followed);
    return ruby_nil;
}

void ruby_libraries(void) {
    ruby_locks();
    for (u32 i = 0; i < COUNT(all); i++) {
        if (all[i].done || !class_at(all[i].path))
            continue;
        all[i].done = true; /* or it can't be done */
        ruby_try(follow, (value)&all[i]);
    }
}
