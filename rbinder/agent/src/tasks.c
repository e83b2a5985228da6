/* What language runtimes say about tasks, on its way to the rules. */
#include "tasks.h"

#include "table.h"

struct runtime runtime;

/* -- what is known of a connection */

static struct connection *enter_descriptor(int descriptor) {
    int kept = errno_kept();
    u64 entry = look(descriptor);
    struct connection *connection = entry == BORING ? NULL : enter_for(entry);
    errno_back(kept);
    return connection;
}

static u64 task_of(const struct turn *turn) {
    return turn && turn->request ? request_task(turn->request) : TASK_NONE;
}

u64 task_serving(int descriptor) {
    struct connection *connection = enter_descriptor(descriptor);
    if (!connection)
        return TASK_NONE;
    const struct dialogue *dialogue = &connection->dialogue;
    u64 task = dialogue->side == SERVER ? task_of(dialogue->newest) : TASK_NONE;
    leave();
    return task;
}

u64 task_begun(int descriptor) {
    struct connection *connection = enter_descriptor(descriptor);
    if (!connection)
        return TASK_NONE;
    struct turn *turn = connection->dialogue.side == SERVER ? connection->dialogue.turns : NULL;
    while (turn && turn->named)
        turn = turn->next;
    if (turn)
        turn->named = true;
    u64 task = task_of(turn);
    leave();
    return task;
}

u64 task_by_rules(void) {
    u64 task = TASK_UNKNOWN;
    if (enter() != ENTERED)
        return task;
    struct thread *thread = own_thread();
    struct request *request = thread ? thread_cause(thread, 0, 0) : NULL;
    if (request)
        task = request_task(request);
    leave();
    return task;
}

bool task_open(u64 task) {
    if (enter() != ENTERED)
        return true;
    struct thread *thread = own_thread();
    bool open = !thread || thread_named_request(thread, task);
    leave();
    return open;
}

/* -- what is said */

void task_bind(int descriptor, u64 task) {
    struct connection *connection = enter_descriptor(descriptor);
    if (!connection)
        return;
    if (connection->dialogue.side != SERVER)
        connection->dialogue.task = task;
    leave();
}

/* A thread's place is changed by itself alone. */
static struct thread *thread_here(void) {
    struct thread *thread = known_thread();
    if (thread || enter() != ENTERED)
        return thread;
    thread = own_thread();
    leave();
    return thread;
}

void task_thread(u64 task) {
    struct thread *thread = task == TASK_UNKNOWN ? known_thread() : thread_here();
    if (thread)
        thread->task = task;
}

void task_told(bool told) {
    struct thread *thread = thread_here();
    if (thread)
        thread->told = told;
}

/* -- what is asked, and told */

/* Read without the lock: what it says may be out of date where two threads use the connection at once, and then the rules
 * decide. A body isn't asked about. */
static bool may_send_head(u64 entry) {
    const struct connection *connection = connection_known(entry);
    if (!connection || connection->dialogue.side == SERVER || connection->dialogue.opaque)
        return false;
    return !scanner_skippable(&connection->dialogue.requests);
}

void runtime_asked(u64 entry, int descriptor) {
    int kept = errno_kept();
    self.asked = may_send_head(entry) ? runtime.current(descriptor) : TASK_UNKNOWN;
    errno_back(kept);
}

u64 runtime_answered(const struct connection *connection) {
    const struct turn *turn = connection->dialogue.side == CLIENT ? connection->dialogue.turns : NULL;
    if (!runtime.resumes || !turn)
        return TASK_NONE;
    return turn->request ? request_task(turn->request) : TASK_UNKNOWN;
}

void runtime_reads(const struct connection *connection, u64 answered) {
    self.read_task = connection->dialogue.side == SERVER ? task_of(connection->dialogue.newest) : answered;
    self.read_from = connection->descriptor;
}

void runtime_has_read(void) {
    u64 task = self.read_task;
    if (task == TASK_NONE)
        return;
    int kept = errno_kept();
    self.read_task = TASK_NONE;
    runtime.observes_read(self.read_from, task);
    errno_back(kept);
}
