/* What lies in queues, by identity: for whom an item was put there, and which queues hold resources rather than work. All
 * of it is changed with the interpreter's lock alone; pools are asked for without it as well.
 */
#include "cpython.h"

#define SETS 4096u /* a power of two */
#define WAYS 4u

/* One too many takes the place of an older one: what that was for isn't known any more. */
struct item {
    struct object *object; /* not counted: it is in the queue. NULL: free */
    void *queue;
    u64 task;
    u32 times; /* how often it is in there */
};
static struct item items[SETS][WAYS];
static void *pools[SETS][WAYS];

static u32 set_of(const void *pointer) {
    return (u32)(((uintptr_t)pointer >> 4) * 0x9e3779b1u >> 8) & (SETS - 1);
}

static u32 next_turn(void) {
    static u32 turn;
    return turn++ % WAYS;
}

static struct item *find_item(const void *queue, const struct object *object) {
    struct item *set = items[set_of(object)];
    for (u32 way = 0; way < WAYS; way++)
        if (set[way].object == object && set[way].queue == queue)
            return &set[way];
    return NULL;
}

static struct item *new_item(const struct object *object) {
    struct item *set = items[set_of(object)];
    for (u32 way = 0; way < WAYS; way++)
        if (!set[way].object)
            return &set[way];
    return &set[next_turn()];
}

void item_put(void *queue, struct object *object, u64 task) {
    struct item *item = find_item(queue, object);
    if (item) {
        item->task = item->task == task ? task : TASK_NONE;
        item->times++;
    } else if (is_task(task)) {
        *new_item(object) = (struct item){object, queue, task, 1};
    }
}

u64 item_taken(void *queue, struct object *object) {
    struct item *item = find_item(queue, object);
    if (!item)
        return TASK_UNKNOWN;
    u64 task = item->task;
    if (--item->times == 0)
        item->object = NULL;
    return is_task(task) ? task : TASK_UNKNOWN;
}

static void **find_pool(const void *queue) {
    void **set = pools[set_of(queue)];
    for (u32 way = 0; way < WAYS; way++)
        if (__atomic_load_n(&set[way], __ATOMIC_RELAXED) == queue)
            return &set[way];
    return NULL;
}

bool pool_marked(const void *queue) {
    return queue && find_pool(queue);
}

void pool_mark(void *queue, bool is) {
    void **place = find_pool(queue);
    if (!!place == is)
        return;
    if (is) {
        void **set = pools[set_of(queue)];
        place = &set[next_turn()];
        for (u32 way = 0; way < WAYS; way++)
            if (!set[way])
                place = &set[way];
    }
    __atomic_store_n(place, is ? queue : NULL, __ATOMIC_RELAXED);
}
