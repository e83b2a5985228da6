/* Threads: where each keeps what is known of it, and what one takes over from the thread that made it. */
#include "forks.h"
#include "hooks.h"
#include "loader.h"
#include "state.h"
#include "text.h"

static bool has_place(void) {
    const struct place *place = self.place;
    return place && self.era == agent.era && place->tid == self.tid && place->process == agent.pid;
}

static void sit(struct place *place) {
    self.place = place;
    self.era = agent.era;
}

struct thread *own_thread(void) {
    if (UNLIKELY(!has_place())) {
        struct place *place = place_take(self.tid);
        if (!place)
            return NULL;
        sit(place);
    }
    return &self.place->thread;
}

struct thread *known_thread(void) {
    return has_place() ? &self.place->thread : NULL;
}

/* -- births: only a thread that works for a request provably hands it on */

static struct place *prepare(void *(*routine)(void *), void *argument) {
    if (!agent.covered || !has_place() || !self.place->thread.current || enter() != ENTERED)
        return NULL;
    struct place *place = place_take(self.tid);
    if (place) {
        thread_inherit(&place->thread, own_thread(), false);
        if (place->thread.borrowed) {
            place->routine = routine;
            place->argument = argument;
            place->era = agent.era;
        } else {
            place_give(place);
            place = NULL;
        }
    }
    leave();
    return place;
}

static void forget(struct place *place) {
    if (enter() != ENTERED)
        return; /* it stays taken */
    place->routine = NULL;
    if (place->era == agent.era)
        place_give(place);
    leave();
}

static void *born(void *data) {
    struct place *place = data;
    void *(*routine)(void *) = place->routine;
    void *argument = place->argument;
    self.tid = (u32)raw_call(__NR_gettid, 0, 0, 0, 0, 0, 0);
    if (place->era == agent.era)
        sit(place);
    place->tid = self.tid;
    __atomic_store_n(&place->routine, NULL, __ATOMIC_RELEASE); /* from now on it is looked after like any other */
    return routine(argument);
}

HOOKED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*routine)(void *), void *argument) {
    struct place *place = prepare(routine, argument);
    if (LIKELY(!place))
        return NEXT(pthread_create)(thread, attributes, routine, argument);
    int result = NEXT(pthread_create)(thread, attributes, born, place);
    if (result != 0)
        forget(place);
    return result;
}

/* -- runtimes that pass tasks around among threads, and can't be asked (rules.py, rule 4). They are known by the names of
 * their threads, of which the kernel keeps 15 bytes, or by what they export.
 */

static void tasks_migrate(void) {
    if (enter() != ENTERED)
        return;
    agent.group->migrates = true;
    leave();
}

void thread_named(const char *name) {
    static const char *const workers[] = {"tokio-runtime-w", ".NET ", "SGen worker"}; /* the last one is Mono's */
    if (!agent.covered || !name)
        return;
    for (u32 i = 0; i < COUNT(workers); i++)
        if (begins(name, workers[i]))
            tasks_migrate();
}

/* .NET before version 6 gives its threads no names; and one that is inside a program may have named them before we looked. */
void migrating_runtime_serves(void) {
    struct wanted wanted[] = {{.name = "coreclr_initialize"}, {.name = "mono_get_root_domain"}};
    definitions(wanted, COUNT(wanted));
    if (wanted[0].found || wanted[1].found)
        tasks_migrate();
}

HOOKED int pthread_setname_np(pthread_t thread, const char *name) {
    thread_named(name);
    return NEXT(pthread_setname_np)(thread, name);
}
