/* What the calls that move bytes have in common; the counterpart of the ptrace engine's transfer.py and exchange.py.
 *
 *     send_begin          lock: plan, edits                          unlock
 *     next sendmsg        [head before its blank line][ours][rest]            may sleep, be cancelled, be jumped out of
 *     send_end            lock: what was taken → what the program is told     unlock
 */
#include "transfer.h"

#include "tasks.h"

#include <linux/fcntl.h>

/* -- receiving */

static u64 total_of(const struct iovec *vectors, u32 count) {
    u64 total = 0;
    for (u32 i = 0; i < count; i++)
        total += MIN(vectors[i].iov_len, (size_t)MOST_AT_ONCE);
    return total;
}

static bool sending_abandoned(const struct sending *sending);
RARE static void give_up_writing(struct connection *connection);

/* The answer comes before the call that asked has returned, and its head is needed. That call may never return, its thread
 * being elsewhere by a jump: then its frame is gone, and what it was to send may be. */
static bool is_head_there(const struct connection *connection, const struct plan *plan) {
    const struct bytes *head = &plan->first_head.head.raw;
    if (!plan->head_count)
        return true; /* nor looked at */
    return !plan->complex && plan->generation == connection->dialogue.generation && is_still_readable(head->at, head->size);
}

/* Whether a call of ours that sends was left, by a jump (else this thread would not be here) or cancelled. */
static bool has_left_writing(const struct connection *connection) {
    const struct sending *sending = connection->sending;
    if (sending->tid == self.tid || sending->process != agent.pid)
        return true;
    return connection->dialogue.side != SERVER && (sending_abandoned(sending) || !is_head_there(connection, &sending->plan));
}

static void received_bytes(struct connection *connection, const struct source *source, u64 count) {
    struct thread *thread = own_thread();
    if (UNLIKELY(connection->sending && has_left_writing(connection)))
        give_up_writing(connection);
    if (UNLIKELY(connection->sending && connection->dialogue.opaque))
        return; /* what it sends isn't looked at any more */
    if (UNLIKELY(!thread)) {
        connection->untrusted = true;
        return;
    }
    u64 seen = connection->dialogue.seen, answered = UNLIKELY(runtime.resumes) ? runtime_answered(connection) : TASK_NONE;
    dialogue_received(&connection->dialogue, thread, source, count, monotonic());
    if (UNLIKELY(runtime.observes_read != NULL) && (connection->dialogue.seen != seen || runtime.resumes))
        runtime_reads(connection, answered);
}

RARE static void receive_failed(u64 entry) {
    int error = *errno_pointer();
    if (!error_type_of(error).size)
        return;
    struct connection *connection = enter_for(entry);
    if (connection) {
        connection_broken(connection, error, true, monotonic());
        leave();
    }
}

ssize_t received(u64 entry, const struct iovec *vectors, u32 count, ssize_t result) {
    if (result < 0) {
        receive_failed(entry);
        return result;
    }
    struct source source = {vectors, count, total_of(vectors, count)};
    if (!source.total)
        return result;
    struct connection *connection = enter_for(entry);
    if (!connection)
        return result;
    if (result)
        received_bytes(connection, &source, (u64)result);
    else
        connection_ended(connection, monotonic());
    leave();
    if (UNLIKELY(runtime.observes_read != NULL))
        runtime_has_read();
    return result;
}

ssize_t received_message(u64 entry, const struct msghdr *message, ssize_t result) {
    if (result < 0) /* the message itself may lead nowhere */
        return received(entry, NULL, 0, result);
    return received(entry, message->msg_iov, vector_count(message), result);
}

ssize_t moved(u64 entry, ssize_t result, bool inbound) {
    struct connection *connection = result > 0 ? enter_for(entry) : NULL;
    if (connection) {
        if (!inbound)
            sharing_sends(connection);
        dialogue_moved(&connection->dialogue, (u64)result, inbound, monotonic());
        if (!inbound)
            sharing_sent(connection);
        leave();
    }
    return result;
}

void hands_off(int descriptor) {
    u64 entry = look(descriptor);
    struct connection *connection = entry == BORING ? NULL : enter_for(entry);
    if (connection) {
        dialogue_give_up(&connection->dialogue, BYTES("_OTHER"), monotonic());
        leave();
    }
}

void passed(const struct msghdr *message) {
    struct msghdr view = *message;
    view.msg_controllen = (u32)view.msg_controllen;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(&view); part; part = CMSG_NXTHDR(&view, part)) {
        u64 size = (u32)part->cmsg_len;
        if (size < sizeof *part)
            return;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (u64 at = CMSG_LEN(0); at + sizeof(int) <= size; at += sizeof(int)) {
            int descriptor;
            memcpy(&descriptor, (u8 *)part + at, sizeof descriptor);
            descriptor_closed(descriptor);
        }
    }
}

/* -- sending */

static bool sending_abandoned(const struct sending *sending) {
    if (sending->process != agent.pid)
        return true;
    if (sending->tid == self.tid)
        return frame_is_gone(sending->frame);
    return raw_call(__NR_tgkill, agent.pid, sending->tid, 0, 0, 0, 0) == -ESRCH;
}

static void forget_writing(struct connection *connection) {
    struct sending *sending = connection->sending;
    connection->sending = NULL;
    connection->dialogue.sending = NULL;
    plan_drop(&sending->plan);
    sending_give(sending);
}

bool writing_left(struct connection *connection) {
    if (connection->sending && sending_abandoned(connection->sending))
        forget_writing(connection);
    return !connection->sending;
}

/* A call that was planned is not over. It may be another thread's: two that write at once have no order to rely on. Or
 * ours, from before a jump out of it or below a signal handler. Either way nobody knows what is sent. */
static void give_up_writing(struct connection *connection) {
    writing_left(connection);
    dialogue_give_up(&connection->dialogue, BYTES("_OTHER"), monotonic());
}

/* Of threads that were cancelled, or that have jumped out and don't come back to that connection. */
void sendings_sweep(void) {
    struct sending *sending;
    for (u32 i = 0; (sending = sending_at(i)); i++) {
        struct connection *connection = sending->connection;
        if (connection->sending != sending || !sending_abandoned(sending))
            continue;
        give_up_writing(connection);
        if (connection->closed)
            connection_give(connection);
    }
}

/* Not in line: its frame is known by its place. */
__attribute__((noinline)) static struct sending *prepare(struct connection *connection, u64 entry) {
    struct sending *sending = sending_take();
    if (!sending)
        return NULL;
    sending->connection = connection;
    sending->entry = entry;
    sending->tid = self.tid;
    sending->process = agent.pid;
    sending->era = agent.era;
    sending->frame = (uintptr_t)__builtin_frame_address(0);
    return sending;
}

/* The program has a filter of its own, which might forbid the call that ours would be. */
RARE static void leave_unedited(struct plan *plan) {
    if (plan->desk) {
        desk_give(plan->desk);
        plan->desk = NULL;
    }
}

/* The source as far as it may be looked at: a call sends no more than that. */
static inline struct source source_of(const struct outgoing *outgoing, bool *has_hole) {
    struct source source = {outgoing->vectors, 0, 0};
    *has_hole = false;
    for (const struct iovec *vector = source.vectors; source.count < outgoing->count; vector++) {
        u64 size = readable_size(vector->iov_base, vector->iov_len);
        source.total += size;
        source.count++;
        if (UNLIKELY(size < vector->iov_len)) {
            *has_hole = source.total < MOST_AT_ONCE;
            break;
        }
    }
    return source;
}

/* A hole in a buffer that ends before a head does: what can't be read isn't understood. */
static bool ends_in_hole(const struct sending *sending, bool has_hole) {
    return UNLIKELY(has_hole) && !sending->plan.head_count;
}

static struct sending *plan(struct connection *connection, u64 entry, const struct source *source, bool has_hole) {
    struct thread *thread = own_thread();
    struct sending *sending = thread ? prepare(connection, entry) : NULL;
    if (!sending) {
        connection->untrusted = true;
        return NULL;
    }
    if (connection->connecting)
        connection_decided(connection, 0);
    sharing_sends(connection);
    struct dialogue *dialogue = &connection->dialogue;
    u64 now = monotonic();
    if (UNLIKELY(runtime.current != NULL))
        thread->asked = self.asked;
    dialogue_plan(dialogue, thread, source, now, &sending->plan);
    thread->asked = TASK_UNKNOWN;
    if (ends_in_hole(sending, has_hole))
        dialogue_untouched(dialogue, &sending->plan);
    else if (sending->plan.settled)
        dialogue_sent(dialogue, &sending->plan, (s64)source->total, now);
    if (sending->plan.settled || ends_in_hole(sending, has_hole)) {
        sending_give(sending);
        return NULL;
    }
    if (UNLIKELY(confined))
        leave_unedited(&sending->plan);
    connection->sending = sending;
    return sending;
}

bool has_vectors(const struct outgoing *outgoing) {
    return outgoing->count && outgoing->count <= MOST_PIECES &&
           is_readable(outgoing->vectors, outgoing->count * sizeof *outgoing->vectors);
}

/* Not in line: nothing of it is to be prepared for a call that isn't followed. */
__attribute__((noinline)) struct sending *send_begin(u64 entry, const struct outgoing *outgoing) {
    bool has_hole;
    struct source source = source_of(outgoing, &has_hole);
    if (!source.total)
        return NULL;
    if (UNLIKELY(runtime.current != NULL))
        runtime_asked(entry, outgoing->descriptor);
    struct connection *connection = enter_for(entry);
    if (!connection)
        return NULL;
    struct sending *sending = NULL;
    if (UNLIKELY(connection->sending != NULL))
        give_up_writing(connection);
    else if (UNLIKELY(source.total > MOST_AT_ONCE))
        dialogue_give_up(&connection->dialogue, BYTES("_OTHER"), monotonic());
    else
        sending = plan(connection, entry, &source, has_hole);
    leave();
    return sending;
}

/* In another era nothing is left that the result would matter to; the program's own count does. */
static ssize_t translated(struct sending *sending, ssize_t result) {
    if (result <= 0 || !sending->plan.desk)
        return result;
    u64 program = translate(sending->plan.desk, (u64)result).program;
    return program ? (ssize_t)program : -EAGAIN;
}

static ssize_t ended(struct sending *sending, ssize_t result) {
    struct connection *connection = sending->connection;
    u64 now = monotonic();
    used(connection);
    ssize_t told = dialogue_sent(&connection->dialogue, &sending->plan, result, now);
    sharing_sent(connection);
    if (result < 0)
        connection_broken(connection, (int)-result, false, now);
    if (connection->sending == sending)
        connection->sending = NULL;
    if (connection->closed)
        connection_give(connection);
    sending_give(sending);
    return told;
}

/* A call made while the lock could not be had: it stays planned for ever, and its connection is left alone. */
static ssize_t ended_unseen(struct sending *sending, ssize_t result) {
    sending->connection->untrusted = true;
    return translated(sending, result);
}

ssize_t send_end(struct sending *sending, ssize_t result) {
    if (!sending)
        return result;
    ssize_t outcome = result < 0 ? -*errno_pointer() : result, told;
    if (enter() == ENTERED) {
        if (LIKELY(sending->era == agent.era))
            told = ended(sending, outcome);
        else
            told = translated(sending, outcome);
        leave();
    } else {
        told = ended_unseen(sending, outcome);
    }
    if (told >= 0)
        return told;
    *errno_pointer() = (int)-told;
    return -1;
}

/* struct sigaction as the kernel has it. */
struct action {
    uintptr_t handler;
    unsigned long flags;
    u64 rest[2];
};

/* A call that waits ends early because of a signal, and its handler may want it to fail rather than to go on. Which signal
 * it was isn't known: any handler that doesn't ask for a restart will do. */
RARE static bool is_interrupted(void) {
    enum { LAST = 64, OF_THREADS = 32, RESTART = 0x10000000, MASK_SIZE = 8 };
    for (int number = 1; number <= LAST; number++) {
        struct action action = {0, 0, {0}};
        if (number >= OF_THREADS && number <= OF_THREADS + 2)
            continue; /* the C library's own */
        raw_call(__NR_rt_sigaction, number, 0, (long)&action, MASK_SIZE, 0, 0);
        if (action.handler > 1 && !(action.flags & RESTART))
            return true;
    }
    return false;
}

static bool waits(const struct outgoing *outgoing) {
    if (!outgoing->waits)
        return false;
    long flags = raw_call(__NR_fcntl, outgoing->descriptor, F_GETFL, 0, 0, 0, 0);
    return flags >= 0 && !(flags & O_NONBLOCK);
}

RARE static void not_edited(struct sending *sending) {
    if (enter() != ENTERED)
        return;
    if (sending->era == agent.era) {
        struct connection *connection = sending->connection;
        dialogue_untouched(&connection->dialogue, &sending->plan);
        if (connection->sending == sending)
            connection->sending = NULL;
        if (connection->closed)
            connection_give(connection);
        sending_give(sending);
    }
    leave();
}

/* True: `*result` is the call's. */
static bool send_pieces(struct sending *sending, const struct outgoing *outgoing, ssize_t *result) {
    u32 count = lay_out(sending->plan.desk, &sending->plan.source);
    if (!count)
        return false;
    struct msghdr message = {0};
    if (outgoing->message) {
        message = *outgoing->message;
        message.msg_controllen = (u32)message.msg_controllen;
    }
    message.msg_iov = sending->plan.desk->pieces;
    message.msg_iovlen = count;
    *result = NEXT(sendmsg)(outgoing->descriptor, &message, outgoing->flags);
    return *result >= 0 || *errno_pointer() != ENOTSOCK;
}

ssize_t send_edited(struct sending **sending, const struct outgoing *outgoing) {
    u64 entry = 0;
    while (*sending && (*sending)->plan.desk) {
        ssize_t result;
        entry = (*sending)->entry;
        if (!send_pieces(*sending, outgoing, &result)) {
            not_edited(*sending);
            *sending = NULL;
            if (socket_type(outgoing->descriptor) == -ENOTSOCK)
                descriptor_closed(outgoing->descriptor); /* behind our back it was closed, and is another file's now */
            return UNTOUCHED;
        }
        ssize_t told = send_end(*sending, result);
        *sending = NULL;
        if (told >= 0 || result <= 0 || !waits(outgoing))
            return told;
        if (is_interrupted()) {
            *errno_pointer() = EINTR;
            return -1;
        }
        *sending = send_begin(entry, outgoing); /* of what is the program's nothing was sent yet: it waits on */
    }
    return UNTOUCHED;
}
