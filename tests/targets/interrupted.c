// Leaves calls in the middle, and goes on asking. Usage: interrupted MODE PORT
//
//   cancel   cancels threads that wait in read, recv, accept and connect
//   at_once  cancels threads of the asynchronous type, wherever they are
//   read     jumps out of a handler that has interrupted a read that waits, again and again
//   send     the same with a send that waits for room
//   timer    jumps out of a handler wherever a timer finds it, again and again
//   handler  asks in a signal handler as well

#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "asking.h"

enum { JUMPS = 200, ALARMS = 300, BODY = 4 << 20, CANCELLED = 40 };

static const char unanswered[] = "GET /unanswered HTTP/1.1\r\nHost: a\r\n\r\n";
static const char unread[] = "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n";

// -- waiting until a thread waits

// Whether the kernel has it asleep (proc(5), stat: its state stands behind its name).
static int waits_in_call(int tid) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY);
    MUST(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strrchr(text, ')'));
    close(fd);
    return strrchr(text, ')')[2] == 'S';
}

// -- cancelled

struct cancelled {
    const char *call;
    int fd;
    atomic_int tid, cleaned;
};

static void clean(void *data) {
    struct cancelled *thread = data;
    close(thread->fd);
    thread->cleaned = 1;
}

// Takes no connection from its queue, which has no room.
static int full_port(void) {
    struct sockaddr_in address = loopback("0");
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    MUST(!bind(listener, (struct sockaddr *)&address, size) && !listen(listener, 0));
    MUST(!getsockname(listener, (struct sockaddr *)&address, &size));
    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fd, (struct sockaddr *)&address, size);
    }
    return ntohs(address.sin_port);
}

static void *wait_in_call(void *data) {
    struct cancelled *thread = data;
    char buffer[64], number[8];
    struct sockaddr_in address;
    if (!strcmp(thread->call, "accept")) thread->fd = listening("0");
    else if (!strcmp(thread->call, "connect")) {
        snprintf(number, sizeof number, "%d", full_port());
        address = loopback(number);
        thread->fd = socket(AF_INET, SOCK_STREAM, 0);
    } else {
        thread->fd = reached();
        MUST(put(thread->fd, unanswered, sizeof unanswered - 1));
    }
    pthread_cleanup_push(clean, thread);
    thread->tid = (int)syscall(SYS_gettid);
    if (!strcmp(thread->call, "read")) read(thread->fd, buffer, sizeof buffer);
    if (!strcmp(thread->call, "recv")) recv(thread->fd, buffer, sizeof buffer, 0);
    if (!strcmp(thread->call, "accept")) accept(thread->fd, NULL, NULL);
    if (!strcmp(thread->call, "connect")) connect(thread->fd, (struct sockaddr *)&address, sizeof address);
    pthread_cleanup_pop(0);
    return "returned";
}

static void cancel_in(const char *call) {
    struct cancelled thread = {.call = call};
    pthread_t id;
    void *result = NULL;
    MUST(!pthread_create(&id, NULL, wait_in_call, &thread));
    while (!thread.tid || !waits_in_call(thread.tid)) sched_yield();
    MUST(ask());
    MUST(!pthread_cancel(id) && !pthread_join(id, &result));
    MUST(ask());
    printf("%s: %s, %s\n", call, result == PTHREAD_CANCELED ? "cancelled" : "ended", thread.cleaned ? "cleaned" : "not cleaned");
}

static int cancel(void) {
    cancel_in("read");
    cancel_in("recv");
    cancel_in("accept");
    cancel_in("connect");
    return 0;
}

static void *ask_for_ever(void *data) {
    atomic_int *begun = data;
    int fd = reached();
    MUST(fd >= 0 && ask_on(fd));
    *begun = 1;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;) ask_on(fd);
}

static int cancel_at_once(void) {
    int good = 0;
    for (int i = 0; i < CANCELLED; i++) {
        atomic_int begun = 0;
        pthread_t id;
        void *result = NULL;
        MUST(!pthread_create(&id, NULL, ask_for_ever, &begun));
        while (!begun) sched_yield();
        MUST(ask());
        MUST(!pthread_cancel(id) && !pthread_join(id, &result));
        good += result == PTHREAD_CANCELED;
    }
    MUST(ask());
    printf("%d cancelled\n", good);
    return 0;
}

// -- jumped out of

static sigjmp_buf place;
static volatile sig_atomic_t armed, jumped;

static void jump(int number) {
    (void)number;
    if (!armed) return;
    armed = 0;
    siglongjmp(place, 1);
}

static void handle(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler};
    MUST(!sigaction(number, &action, NULL));
}

static atomic_int looked_at, over;  // the thread to be interrupted, once; the end

static void *interrupt_who_waits(void *unused) {
    while (!over) {
        int tid = looked_at;
        if (tid && waits_in_call(tid)) {
            looked_at = 0;
            syscall(SYS_tgkill, getpid(), tid, SIGUSR1);
        }
        sched_yield();
    }
    return unused;
}

// What is sent has to wait soon, and is forgotten at the close.
static int little_room(int fd) {
    struct linger at_once = {1, 0};
    int size = 65536;
    return !setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) &&
           !setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static int jump_out(int sends) {
    static char body[sizeof unread - 1 + BODY];
    memcpy(body, unread, sizeof unread - 1);
    int steady = reached();
    pthread_t id;
    handle(SIGUSR1, jump);
    MUST(!pthread_create(&id, NULL, interrupt_who_waits, NULL));
    for (jumped = 0; jumped < JUMPS; jumped++) {
        int fd = reached();
        MUST(fd >= 0 && (sends ? little_room(fd) : put(fd, unanswered, sizeof unanswered - 1)));
        if (!sigsetjmp(place, 1)) {
            armed = 1;
            looked_at = (int)syscall(SYS_gettid);
            if (sends) put(fd, body, sizeof body);
            else read(fd, body + sizeof unread, 1);
            MUST(!"the call returned");
        }
        close(fd);
        MUST(ask_on(steady));
    }
    over = 1;
    pthread_join(id, NULL);
    for (int i = 0; i < 10; i++) MUST(ask());
    printf("%d jumps\n", (int)jumped);
    return 0;
}

static void run_timer(int signal_number, void (*handler)(int), int microseconds) {
    struct itimerval timer = {{0, microseconds}, {0, microseconds}};
    handle(signal_number, handler);
    MUST(!setitimer(ITIMER_REAL, &timer, NULL));
}

static int jump_at_any_time(void) {
    int steady = reached();
    MUST(ask_on(steady));
    run_timer(SIGALRM, jump, 300);
    for (jumped = 0; jumped < ALARMS;) {
        int fd = reached();
        MUST(fd >= 0);
        if (sigsetjmp(place, 1)) {
            jumped++;
        } else {
            armed = 1;
            for (int i = 0; i < 20 && ask_on(fd); i++) continue;
            armed = 0;
        }
        close(fd);
        MUST(ask_on(steady));
    }
    for (int i = 0; i < 10; i++) MUST(ask());
    printf("%d jumps\n", (int)jumped);
    return 0;
}

// -- asking in a handler

static volatile sig_atomic_t by_handler, failed;

static void ask_here(int number) {
    (void)number;
    int error = errno;
    if (by_handler < ALARMS) ask() ? by_handler++ : failed++;
    errno = error;
}

static int ask_in_handler(void) {
    int steady = reached();
    run_timer(SIGALRM, ask_here, 2000);
    while (by_handler < ALARMS) MUST(ask_on(steady) && ask() && !failed);
    printf("%d by the handler\n", (int)by_handler);
    return 0;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const char *mode = arguments[1];
    port = arguments[2];
    if (!strcmp(mode, "cancel")) return cancel();
    if (!strcmp(mode, "at_once")) return cancel_at_once();
    if (!strcmp(mode, "read")) return jump_out(0);
    if (!strcmp(mode, "send")) return jump_out(1);
    if (!strcmp(mode, "timer")) return jump_at_any_time();
    if (!strcmp(mode, "handler")) return ask_in_handler();
    return 2;
}
