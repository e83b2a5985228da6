// Does what a library in its process has to live with, and asks before and after. Usage: inside MODE PORT [ARGUMENT]
//
//   ask               asks once
//   forks             children of all kinds, with connections open; one goes on with its parent's
//   crowd             forks again and again while its threads ask
//   atfork PORT       a handler of fork asks in the child; then the child asks PORT
//   close HOW         closes every descriptor: loop, range, from
//   few               as many connections as there are descriptors, then asks on each
//   high [NUMBER]     on descriptors above that (65536)
//   errors            an errno of its own before each call that succeeds: does it stay?
//   stream            through a stream of stdio's
//   stale FILE        a descriptor that was closed behind the C library's back, and is a file now
//   drop DIRECTORY    changes its root, and its user
//   writes            single calls of read and write, then executes itself to show its environment
//   show              shows its environment

#define _GNU_SOURCE
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "asking.h"

enum { HIGHEST = 65536, STACK = 1 << 18, STRANGE = 0x5eed };

extern char **environ;
static char *self, *argument;

// -- children

static void ended_well(pid_t pid) {
    int status = -1;
    MUST(pid > 0 && waitpid(pid, &status, __WALL) == pid && status == 0);
}

static int ask_in_clone(void *unused) {
    (void)unused;
    _exit(!ask());
}

static int forks(void) {
    int kept = reached(), given = reached();
    MUST(ask_on(kept) && ask_on(given));
    pid_t pid = fork();
    if (pid == 0) _exit(!(ask_on(given) && ask()));
    close(given);
    MUST(ask_on(kept));
    ended_well(pid);
    char *arguments[] = {self, "ask", (char *)port, NULL};
    if ((pid = vfork()) == 0) {
        close(kept);
        execve(self, arguments, environ);
        _exit(126);
    }
    MUST(ask_on(kept));
    ended_well(pid);
    if ((pid = vfork()) == 0) _exit(0);
    ended_well(pid);
    MUST(ask_on(kept) && !posix_spawn(&pid, self, NULL, NULL, arguments, environ) && ask_on(kept));
    ended_well(pid);
    char *stack = malloc(STACK);
    pid = clone(ask_in_clone, stack + STACK, CLONE_VM | SIGCHLD, NULL);
    ended_well(pid);
    MUST(ask_on(kept) && ask());
    pid = clone(ask_in_clone, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    ended_well(pid);
    MUST(ask_on(kept) && ask());
    return 0;
}

static void *ask_often(void *unused) {
    int fd = reached();
    for (int i = 0; i < 500; i++) MUST(ask_on(fd));
    close(fd);
    return unused;
}

static int crowd(void) {
    enum { THREADS = 8, CHILDREN = 60 };
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) MUST(!pthread_create(&threads[i], NULL, ask_often, NULL));
    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(!(ask() && ask()));
        ended_well(pid);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return !ask();
}

static int early = -1;

static void ask_early(void) {
    early = reached();
    MUST(ask_on(early));
}

static int ask_at_fork(void) {
    pthread_atfork(NULL, NULL, ask_early);
    pid_t pid = fork();
    if (pid == 0) {
        port = argument;
        _exit(!(ask() && ask_on(early)));
    }
    ended_well(pid);
    return 0;
}

// -- descriptors

static int close_all(void) {
    int kept = reached();
    MUST(ask_on(kept));
    fflush(stdout);
    if (!strcmp(argument, "loop"))
        for (int fd = 0; fd < HIGHEST; fd++) close(fd);
#ifdef __GLIBC__
    else if (!strcmp(argument, "from")) closefrom(0);
    else if (!strcmp(argument, "range")) close_range(0, ~0u, 0);
#endif
    else syscall(SYS_close_range, 0, ~0u, 0);
    if (fcntl(kept, F_GETFD) != -1) return 3;
    return !(ask() && ask());
}

static int few(void) {
    enum { MOST = 64 };
    int fds[MOST], count = 0;
    while (count < MOST && (fds[count] = reached()) >= 0) count++;
    int error = errno;
    for (int i = 0; i < count; i++) MUST(ask_on(fds[i]));
    for (int i = 0; i < count; i++) close(fds[i]);
    MUST(ask());
    printf("%d at a time: %s\n", count, strerror(error));
    return 0;
}

static int high(void) {
    int highest = *argument ? atoi(argument) : HIGHEST;
    struct rlimit limit;
    MUST(!getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = (rlim_t)highest + 100;
    if (limit.rlim_max < limit.rlim_cur) limit.rlim_max = limit.rlim_cur;
    if (setrlimit(RLIMIT_NOFILE, &limit)) return 77;
    int fd = reached(), above = fcntl(fd, F_DUPFD, highest + 10);
    MUST(above == highest + 10 && ask_on(above) && ask_on(fd));
    close(fd);
    MUST(ask_on(above) && dup2(above, highest + 20) == highest + 20);
    close(above);
    int below = dup(highest + 20);
    MUST(ask_on(highest + 20) && below < highest && ask_on(below));
    close(highest + 20);
    close(below);
    return !ask();
}

static int stream(void) {
    int fd = reached();
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    char line[128];
    for (int i = 0; i < 3; i++) {
        MUST(fputs(asked, out) >= 0 && !fflush(out) && fgets(line, sizeof line, in) && !strncmp(line, "HTTP/1.1 200", 12));
        while (fgets(line, sizeof line, in) && line[0] != '\r') continue;
        MUST(fread(line, 1, 2, in) == 2 && !memcmp(line, "ok", 2));
    }
    fclose(in);
    fclose(out);
    return !ask();
}

// Past every library.
static void close_unseen(int fd) {
#if defined(__x86_64__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(SYS_close), "D"(fd) : "rcx", "r11", "memory");
#else
    register long number __asm__("x8") = SYS_close, first __asm__("x0") = fd;
    __asm__ volatile("svc 0" : "+r"(first) : "r"(number) : "memory");
#endif
}

static int stale(void) {
    int fd = reached();
    MUST(ask_on(fd));
    close_unseen(fd);
    MUST(open(argument, O_RDWR | O_CREAT | O_TRUNC, 0600) == fd);
    struct iovec halves[] = {{(char *)asked, 10}, {(char *)asked + 10, sizeof asked - 11}};
    MUST(put(fd, asked, sizeof asked - 1) && writev(fd, halves, 2) == sizeof asked - 1 && put(fd, asked, sizeof asked - 1));
    MUST(send(fd, asked, sizeof asked - 1, 0) == -1 && errno == ENOTSOCK);
    char buffer[sizeof asked];
    MUST(lseek(fd, 0, SEEK_SET) == 0 && read(fd, buffer, sizeof asked - 1) == sizeof asked - 1);
    MUST(!memcmp(buffer, asked, sizeof asked - 1));
    close(fd);
    int again = reached(), ends[2];
    MUST(again == fd && ask_on(again));
    close_unseen(again);
    MUST(!pipe(ends) && ends[0] == again && close(ends[0]) == 0 && dup2(ends[1], again) == again);
    close(ends[1]);
    close(again);
    return !ask();
}

// -- errno

static void tell(const char *call, long result) {
    int error = errno;
    printf("%s %s %d\n", call, result < 0 ? "failed" : "done", error);
}
#define TRY(call) (errno = STRANGE, tell(#call, (long)(call)))

static char *volatile nowhere;
static void *nothing(void *unused) { return unused; }
static int end(void *unused) { return unused != NULL; }

static int errors(void) {
    static char buffer[4096], stack[STACK] __attribute__((aligned(16)));
    struct iovec piece = {(char *)asked, sizeof asked - 1}, room = {buffer, sizeof buffer};
    struct msghdr out = {.msg_iov = &piece, .msg_iovlen = 1}, in = {.msg_iov = &room, .msg_iovlen = 1};
    struct mmsghdr several = {.msg_hdr = out}, taken = {.msg_hdr = in};
    struct sockaddr_in address = loopback(port), own = loopback("0");
    socklen_t size = sizeof own;
    pthread_t thread;
    struct addrinfo *found;
    int fd, error, ends[2], pair[2], copy, client;
    char *text;
    size_t length;
    TRY(fd = socket(AF_INET, SOCK_STREAM, 0));
    TRY(connect(fd, (struct sockaddr *)&address, sizeof address));
    size = sizeof error;
    TRY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
    TRY(write(fd, asked, sizeof asked - 1));
    TRY(read(fd, buffer, sizeof buffer));
    TRY(writev(fd, &piece, 1));
    TRY(readv(fd, &room, 1));
    TRY(send(fd, asked, sizeof asked - 1, 0));
    TRY(recv(fd, buffer, sizeof buffer, MSG_PEEK));
    TRY(recv(fd, buffer, sizeof buffer, 0));
    TRY(sendto(fd, asked, sizeof asked - 1, 0, NULL, 0));
    TRY(recvfrom(fd, buffer, sizeof buffer, 0, NULL, NULL));
    TRY(sendmsg(fd, &out, 0));
    TRY(recvmsg(fd, &in, 0));
    TRY(sendmmsg(fd, &several, 1, 0));
    TRY(recvmmsg(fd, &taken, 1, 0, NULL));
    TRY(dup(fd));
    TRY(copy = dup2(fd, 40));
    TRY(dup3(fd, 41, O_CLOEXEC));
    TRY(fcntl(fd, F_DUPFD, 42));
    TRY(fcntl(fd, F_GETFL));
    TRY(close(copy));
    FILE *memory = open_memstream(&text, &length);
    TRY(fclose(memory));
    int file = open("/proc/self/exe", O_RDONLY);
    TRY(sendfile(fd, file, NULL, 10));
    MUST(!pipe(ends) && write(ends[1], asked, 10) == 10);
    TRY(splice(ends[0], NULL, fd, NULL, 10, 0));
    TRY(shutdown(fd, SHUT_RDWR));
    TRY(close(fd));
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    TRY(write(pair[0], asked, sizeof asked - 1));
    TRY(read(pair[1], buffer, sizeof buffer));
    int listener = listening("0");
    size = sizeof own;
    MUST(!getsockname(listener, (struct sockaddr *)&own, &size));
    for (int i = 0; i < 2; i++) {
        client = socket(AF_INET, SOCK_STREAM, 0);
        TRY(connect(client, (struct sockaddr *)&own, sizeof own));
    }
    TRY(accept(listener, NULL, NULL));
    TRY(accept4(listener, (struct sockaddr *)&own, &size, SOCK_CLOEXEC));
    TRY(close(listener));
    TRY(syscall(SYS_getpid));
    TRY(prctl(PR_SET_NAME, "another"));
    TRY(pthread_setname_np(pthread_self(), "name"));
    TRY(pthread_create(&thread, NULL, nothing, NULL));
    pthread_join(thread, NULL);
    TRY(getaddrinfo("127.0.0.1", "80", NULL, &found));
    fflush(stdout);
    pid_t pid = 0;
    errno = STRANGE;
    if ((pid = fork()) == 0) _exit(errno == STRANGE ? 0 : 1);
    tell("fork", pid);
    ended_well(pid);
    errno = STRANGE;
    if ((pid = vfork()) == 0) _exit(errno == STRANGE ? 0 : 1);
    tell("vfork", pid);
    ended_well(pid);
    TRY(pid = clone(end, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
    ended_well(pid);
    char *arguments[] = {"true", NULL};
    TRY(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ));
    ended_well(pid);
    TRY(execve("/none", arguments, environ));
    TRY(read(-1, buffer, 1));
    TRY(write(ends[1], nowhere, 1));
#ifdef __GLIBC__
    TRY(close_range(30, 50, 0));
    errno = STRANGE, closefrom(30), tell("closefrom", 0);
#endif
    return 0;
}

// -- other

static int drop(void) {
    int fd = reached();
    MUST(ask_on(fd) && ask());
    MUST(!chroot(argument) && !chdir("/"));
    MUST(ask_on(fd) && ask());
    MUST(!setgid(65534) && !setuid(65534));
    MUST(ask_on(fd) && ask());
    pid_t pid = fork();
    if (pid == 0) _exit(!(ask_on(fd) && ask()));
    ended_well(pid);
    return !ask();
}

static int writes(void) {
    int fd = reached();
    for (int i = 0; i < 5; i++) MUST(ask_on(fd));
    close(fd);
    char *arguments[] = {self, "show", (char *)port, NULL};
    fflush(stdout);
    execvp(self, arguments);
    return 126;
}

static int show(void) {
    for (char **variable = environ; *variable; variable++) puts(*variable);
    return 0;
}

int main(int count, char **arguments) {
    static const struct {
        const char *name;
        int (*run)(void);
    } modes[] = {{"forks", forks}, {"crowd", crowd}, {"atfork", ask_at_fork}, {"close", close_all}, {"few", few},   {"high", high},
                 {"errors", errors}, {"stream", stream},    {"stale", stale},     {"drop", drop}, {"writes", writes}, {"show", show}};
    if (count < 3) return 2;
    self = arguments[0];
    port = arguments[2];
    argument = count > 3 ? arguments[3] : "";
    if (!strcmp(arguments[1], "ask")) return !ask();
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(arguments[1], modes[i].name)) return modes[i].run();
    return 2;
}
