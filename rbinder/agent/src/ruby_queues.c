/* Thread::Queue and Thread::SizedQueue: whose item is it?
 *
 * Beside each queue's items, which leave it in the order they came in, runs a line of the requests they were pushed for.
 * Who pops works for the request of what it got, until it pops again. Nothing is handed over
 *
 *     by a queue from which somebody takes who serves a request: that one is a pool, or brings answers
 *     by what a thread puts back that has taken from that queue: it may be somebody else's, or a pool's
 *     to a thread that gets its work in another way, too: what it takes from queues may be what it needs for that
 *     by any but the first queue a thread takes from: likewise
 *     by several items of different requests that are taken one after the other, before a request is sent
 */
#include "ruby_parts.h"

#define FIRST_ROOM 16u
#define MOST_ROOM 65536u

/* In a string that is the queue's, and nobody sees. */
struct row {
    u64 number;
    u64 unknown; /* so many items of nobody's come before those that are known */
    u32 room, first, count;
    u32 shared;  /* a thread that serves a request takes from it */
    u64 tasks[];
};

static value sized_queue;

static struct row *line_of(value queue) {
    volatile value text = rb.rb_attr_get(queue, ruby_mark);
    return is_true(text) ? (struct row *)(void *)rb.rb_string_value_ptr(&text) : NULL;
}

static struct row *new_line(value queue, u32 room) {
    u64 size = sizeof(struct row) + room * sizeof(u64);
    volatile value text = rb.rb_obj_hide(rb.rb_str_new(NULL, (long)size));
    struct row *line = (struct row *)(void *)rb.rb_string_value_ptr(&text), *old = line_of(queue);
    memset(line, 0, sizeof *line);
    if (old) {
        *line = *old;
        for (u32 i = 0; i < old->count; i++)
            line->tasks[i] = old->tasks[(old->first + i) & (old->room - 1)];
        line->first = 0;
    } else {
        line->number = ruby_number();
    }
    line->room = room;
    rb.rb_ivar_set(queue, ruby_mark, text);
    return line;
}

static struct row *own_line(value queue) {
    struct row *line = line_of(queue);
    return line ? line : new_line(queue, FIRST_ROOM);
}

/* A SizedQueue is no kind of Queue to these functions. */
static u64 length_of(value queue) {
    enum method_number which = is_true(rb.rb_obj_is_kind_of(queue, sized_queue)) ? SIZED_LENGTH : QUEUE_LENGTH;
    return number_of(in_c[which](queue, 0, 0));
}

static void forget_items(struct row *line, u64 left) {
    line->unknown = left;
    line->first = line->count = 0;
}

static void add(value queue, struct row *line, u64 task) {
    if (line->count == line->room) {
        if (line->room == MOST_ROOM) {
            forget_items(line, line->unknown + line->count + 1);
            return;
        }
        line = new_line(queue, 2 * line->room);
    }
    line->tasks[(line->first + line->count++) & (line->room - 1)] = task;
}

static u64 take(struct row *line) {
    if (line->unknown) {
        line->unknown--;
        return TASK_UNKNOWN;
    }
    u64 task = line->tasks[line->first];
    line->first = (line->first + 1) & (line->room - 1);
    line->count--;
    return task;
}

/* -- queues that this thread has taken from */

static bool has_taken_from(u64 queue) {
    for (u32 i = 0; i < COUNT(mine.taken); i++)
        if (mine.taken[i] == queue)
            return true;
    return false;
}

static void note_taking(u64 queue) {
    if (!has_taken_from(queue))
        mine.taken[mine.takings++ % COUNT(mine.taken)] = queue;
}

static bool can_follow(value queue) {
    mine.begun = true;
    return ruby_usable() && !is_true(rb.rb_obj_frozen_p(queue));
}

/* Items that came unseen may be anywhere; those that left unseen were the oldest. `length`: so many there should be. */
static void correct(struct row *line, u64 length) {
    if (line->unknown + line->count < length)
        forget_items(line, length);
    while (line->unknown + line->count > length)
        take(line);
}

/* -- push: after it, and before another thread can run */

static void has_pushed(value queue) {
    if (!can_follow(queue))
        return;
    u64 task = ruby_task(), length = length_of(queue);
    struct row *line = own_line(queue);
    if (has_taken_from(line->number) || line->shared)
        task = TASK_UNKNOWN;
    if (!length)
        return;
    correct(line, length - 1);
    add(queue, line, task);
}

/* -- pop */

struct taking {
    u64 task; /* for which this thread worked before; TASK_UNKNOWN: for none that a queue said */
    bool changes;
};

static struct taking will_pop(value queue) {
    struct taking taking = {mine.work.kind == HIRED ? mine.work.number : TASK_UNKNOWN, false};
    if (!can_follow(queue))
        return taking;
    struct row *line = own_line(queue);
    note_taking(line->number);
    if (ruby_serves()) {
        line->shared = true;
        return taking;
    }
    taking.changes = true;
    if (!mine.work.queue)
        mine.work.queue = line->number;
    if (mine.work.queue == line->number) /* what it was at is done */
        ruby_say(HIRED, TASK_NONE);
    return taking;
}

/* False: nothing was taken. Of those that have left since, ours was the last. */
static bool took(value queue, struct row *line, u64 *task) {
    u64 length = length_of(queue);
    *task = TASK_UNKNOWN;
    if (line->unknown + line->count <= length)
        return false;
    correct(line, length + 1);
    *task = line->shared ? (take(line), TASK_UNKNOWN) : take(line);
    return true;
}

static u64 task_taken(u64 task, const struct row *line, u64 before) {
    const struct work *work = &mine.work;
    bool alone = work->queue == line->number && (!work->has_taken || work->has_sent);
    if (work->elsewhere || task == TASK_UNKNOWN)
        return TASK_NONE;
    return alone || task == before ? task : TASK_NONE;
}

static void has_popped(value queue, struct taking taking) {
    u64 task;
    struct row *line = can_follow(queue) ? line_of(queue) : NULL;
    if (!line || !took(queue, line, &task) || !taking.changes)
        return;
    ruby_say(HIRED, task_taken(task, line, taking.task));
    mine.work.has_taken = true;
    if (mine.work.queue == line->number)
        mine.work.has_sent = false;
}

/* -- both kinds of queues, as functions of C's */

static value pushing(value self, value item, value c) {
    value result = in_c[QUEUE_PUSH](self, item, c);
    has_pushed(self);
    return result;
}

static value pushing_sized(value count, value arguments, value self) {
    value result = in_c[SIZED_PUSH](count, arguments, self);
    has_pushed(self);
    return result;
}

static value popping(value count, value arguments, value self) {
    struct taking taking = will_pop(self);
    value item = in_c[QUEUE_POP](count, arguments, self);
    has_popped(self, taking);
    return item;
}

static value popping_sized(value count, value arguments, value self) {
    struct taking taking = will_pop(self);
    value item = in_c[SIZED_POP](count, arguments, self);
    has_popped(self, taking);
    return item;
}

/* -- the same in Ruby, since 3.2. What is kept between call and return is the thread's: fibers may take turns meanwhile. */

static _Thread_local struct taking under_way;

static void pop_called(value self, value argument) {
    (void)argument;
    under_way = will_pop(self);
}

static void pop_left(value self) {
    if (mine.fiber)
        under_way.task = TASK_UNKNOWN;
    has_popped(self, under_way);
}

static void push_called(value self, value argument) {
    (void)self, (void)argument;
}

static struct followed in_ruby[] = {
    {.method = "pop", .called = pop_called, .left = pop_left, .index = NO_ARGUMENT},
    {.method = "pop", .called = pop_called, .left = pop_left, .index = NO_ARGUMENT},
    {.method = "push", .called = push_called, .left = has_pushed, .index = NO_ARGUMENT},
};

/* -- putting it in */

static bool replace_all(value class, const char *const *names, int count, enum method_number number, function *ours) {
    bool first = ruby_replace(class, names[0], count, number, ours);
    for (names++; first && *names; names++)
        ruby_replace(class, *names, count, number, ours);
    return first;
}

/* Where what takes isn't followed nothing is to be followed: what one thread took would be taken for another's. */
void ruby_queues(void) {
    static const char *const pushes[] = {"push", "<<", "enq", NULL}, *const pops[] = {"pop", "shift", "deq", NULL};
    value queue = ruby_constant(ruby_top, "Queue"), sized = ruby_constant(ruby_top, "SizedQueue");
    if (!queue || !sized || !ruby_replace(queue, "length", 0, QUEUE_LENGTH, NULL) ||
        !ruby_replace(sized, "length", 0, SIZED_LENGTH, NULL))
        return;
    sized_queue = sized;
    rb.rb_gc_register_mark_object(sized);
    if (!replace_all(queue, pops, -1, QUEUE_POP, popping) && !ruby_follow(queue, &in_ruby[0]))
        return;
    if (!replace_all(sized, pops, -1, SIZED_POP, popping_sized) && !ruby_follow(sized, &in_ruby[1]))
        return;
    replace_all(queue, pushes, 1, QUEUE_PUSH, pushing);
    if (!replace_all(sized, pushes, -1, SIZED_PUSH, pushing_sized))
        ruby_follow(sized, &in_ruby[2]);
}
