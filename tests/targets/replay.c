/* Replays a script of system calls, byte by byte as told, and checks that each one kept the rules of its manual page.
 *
 *     replay SCRIPT DATA [DESCRIPTOR]        with a descriptor, slot 0 holds it from the start
 *
 * A line of the script is one step; connections are kept in numbered slots (S, T), bytes are ranges of DATA (at, size):
 *
 *     unix S path sndbuf | tcp S port sndbuf | nontcp S port     connect (sndbuf 0: as it is; nontcp: without waiting)
 *     listen S path | accept S T                     accept on S into T
 *     pair S T | dup S T | dup2 S T | close S | shut S | nonblock S on
 *     send S call at size splits                     send it all; after EAGAIN `sync` and go on
 *     once S call at size splits | rest S            one call, no more than that; what it left
 *     recv S call at size                            receive exactly this; "peek" looks first
 *     end S                                          the peer has closed
 *     sync n                                         say that step n is reached, wait until the test has done its part
 *     signals restart                                handle SIGUSR1, with SA_RESTART or without
 *     fork | thread | spawn  ... done                in a child, in a thread; `spawn` goes on, `join` waits
 *     helper S ... done | give S T                   a child that waits for a descriptor; pass it S, as its T
 *     exec script S                                  become another replay, with S
 *
 * Each sending call is told on stdout: "call size result errno". It ends with 0 if nothing was wrong.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 64, MOST_PIECES = 64, MOST_LINES = 1 << 17 };

static int slots[SLOTS];
static char *lines[MOST_LINES];
static int line_count;
static const char *data_path;
static char *data;
static size_t data_size;
static int data_file;
static int helper_socket = -1;
static pid_t helper_pid;
static pthread_t spawned;

static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "replay: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, " (errno %d)\n", errno);
    va_end(arguments);
    exit(1);
}

static void check(int good, const char *what) {
    if (!good)
        fail("%s", what);
}

#ifndef THROUGH_LIBRARY
/* A system call after which no register may be another but the result (and rcx, r11 on x86-64). */
__attribute__((unused)) static long call(long number, long a, long b, long c, long d, long e, long f) {
    long changed;
#if defined(__x86_64__)
    register long result asm("rax") = number;
    register long r0 asm("rdi") = a, r1 asm("rsi") = b, r2 asm("rdx") = c, r3 asm("r10") = d, r4 asm("r8") = e,
                     r5 asm("r9") = f;
    asm volatile("syscall"
                 : "+r"(result), "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3), "+r"(r4), "+r"(r5)::"rcx", "r11", "memory");
    changed = (r0 ^ a) | (r1 ^ b) | (r2 ^ c) | (r3 ^ d) | (r4 ^ e) | (r5 ^ f);
#elif defined(__aarch64__)
    register long nr asm("x8") = number;
    register long result asm("x0") = a;
    register long r1 asm("x1") = b, r2 asm("x2") = c, r3 asm("x3") = d, r4 asm("x4") = e, r5 asm("x5") = f;
    asm volatile("svc #0" : "+r"(result), "+r"(nr), "+r"(r1), "+r"(r2), "+r"(r3), "+r"(r4), "+r"(r5)::"memory");
    changed = (nr ^ number) | (r1 ^ b) | (r2 ^ c) | (r3 ^ d) | (r4 ^ e) | (r5 ^ f);
#endif
    check(!changed, "a system call changed a register");
    if (result < 0 && result >= -4095) {
        errno = (int)-result;
        return -1;
    }
    check(result >= 0, "a result that no kernel gives");
    return result;
}
#endif

#ifdef BY_LIBRARY /* the C library's functions: what an engine inside the program sees */
#define CALL(name, a, b, c, d, e, f) ((long)by_##name(a, b, c, d, e, f))
#define by_accept4(a, b, c, d, e, f) accept4(a, b, c, d)
#define by_close(a, b, c, d, e, f) close(a)
#define by_connect(a, b, c, d, e, f) connect(a, (const struct sockaddr *)(b), c)
#define by_read(a, b, c, d, e, f) read(a, b, c)
#define by_readv(a, b, c, d, e, f) readv(a, b, c)
#define by_recvfrom(a, b, c, d, e, f) recvfrom(a, b, c, d, NULL, NULL)
#define by_recvmmsg(a, b, c, d, e, f) recvmmsg(a, b, c, d, NULL)
#define by_recvmsg(a, b, c, d, e, f) recvmsg(a, b, c)
#define by_sendfile(a, b, c, d, e, f) sendfile(a, b, c, d)
#define by_sendmmsg(a, b, c, d, e, f) sendmmsg(a, b, c, d)
#define by_sendmsg(a, b, c, d, e, f) sendmsg(a, b, c)
#define by_sendto(a, b, c, d, e, f) sendto(a, b, c, d, NULL, 0)
#define by_splice(a, b, c, d, e, f) splice(a, NULL, c, NULL, e, f)
#define by_write(a, b, c, d, e, f) write(a, b, c)
#define by_writev(a, b, c, d, e, f) writev(a, b, c)
#else
#ifdef THROUGH_LIBRARY /* the C library's functions: what an engine inside the program sees */
static long library(long number, long a, long b, long c, long d, long e, long f) {
    int fd = (int)a;
    void *data = (void *)b;
    switch (number) {
    case SYS_read: return read(fd, data, (size_t)c);
    case SYS_readv: return readv(fd, data, (int)c);
    case SYS_recvfrom: return recvfrom(fd, data, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t *)f);
    case SYS_recvmsg: return recvmsg(fd, data, (int)c);
    case SYS_recvmmsg: return recvmmsg(fd, data, (unsigned)c, (int)d, (struct timespec *)e);
    case SYS_write: return write(fd, data, (size_t)c);
    case SYS_writev: return writev(fd, data, (int)c);
    case SYS_sendto: return sendto(fd, data, (size_t)c, (int)d, (struct sockaddr *)e, (socklen_t)f);
    case SYS_sendmsg: return sendmsg(fd, data, (int)c);
    case SYS_sendmmsg: return sendmmsg(fd, data, (unsigned)c, (int)d);
    case SYS_sendfile: return sendfile(fd, (int)b, (off_t *)c, (size_t)d);
    case SYS_splice: return splice(fd, data, (int)c, (off64_t *)d, (size_t)e, (unsigned)f);
    case SYS_accept4: return accept4(fd, data, (socklen_t *)c, (int)d);
    case SYS_connect: return connect(fd, data, (socklen_t)c);
    case SYS_close: return close(fd);
    }
    fail("no function for call %ld", number);
    return -1;
}
#define CALL(name, a, b, c, d, e, f) library(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#else
#define CALL(name, a, b, c, d, e, f) call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#endif
#endif

static void sync_with_test(int step) {
    char text[32], answer;
    int size = snprintf(text, sizeof text, "%d\n", step);
    static int out = -1, in = -1;
    if (out < 0) {
        check((out = open(getenv("REPLAY_STEPS"), O_WRONLY)) >= 0, "steps");
        check((in = open(getenv("REPLAY_ANSWERS"), O_RDONLY)) >= 0, "answers");
    }
    check(write(out, text, size) == size, "telling a step");
    check(read(in, &answer, 1) == 1, "waiting for the test");
}

/* -- buffers */

static int split(struct iovec *pieces, char *at, size_t size, const char *splits) {
    int count = 0;
    while (*splits && *splits != '-' && count < MOST_PIECES - 1) {
        size_t piece = strtoul(splits, (char **)&splits, 10);
        piece = piece < size ? piece : size;
        pieces[count++] = (struct iovec){at, piece};
        at += piece;
        size -= piece;
        splits += *splits == ',';
    }
    pieces[count++] = (struct iovec){at, size};
    return count;
}

/* A page that can't be read follows the first `readable` bytes of what is returned. */
static char *before_a_hole(const char *at, size_t size, size_t readable) {
    size_t page = sysconf(_SC_PAGESIZE), room = (readable + page - 1) / page * page;
    char *area = mmap(NULL, room + (size + page) / page * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(area != MAP_FAILED && !mprotect(area, room, PROT_READ | PROT_WRITE), "mmap");
    memcpy(area + room - readable, at, readable);
    return area + room - readable;
}

static void add_control(struct msghdr *message, char *room, int family) {
    message->msg_control = room;
    struct cmsghdr *header = (struct cmsghdr *)room;
    if (family == AF_UNIX) {
        struct ucred self = {getpid(), getuid(), getgid()};
        *header =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof self), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
        memcpy(CMSG_DATA(header), &self, sizeof self);
        message->msg_controllen = CMSG_SPACE(sizeof self);
    } else {
        unsigned none = 0;
        *header =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof none), .cmsg_level = SOL_SOCKET, .cmsg_type = SO_TIMESTAMPING};
        memcpy(CMSG_DATA(header), &none, sizeof none);
        message->msg_controllen = CMSG_SPACE(sizeof none);
    }
}

static int family_of(int fd) {
    int family;
    socklen_t size = sizeof family;
    check(!getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size), "SO_DOMAIN");
    return family;
}

/* -- sending */

static long send_messages(int fd, struct iovec *pieces, int count) {
    struct mmsghdr messages[MOST_PIECES];
    memset(messages, 0xee, sizeof messages);
    for (int i = 0; i < count; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = pieces + i, .msg_iovlen = 1};
    long sent = CALL(sendmmsg, fd, messages, count, MSG_NOSIGNAL, 0, 0), total = 0;
    check(sent <= count, "more messages sent than there are");
    for (int i = 0; i < sent; i++) {
        check(messages[i].msg_len <= pieces[i].iov_len, "more of a message sent than it has");
        check(i == sent - 1 || messages[i].msg_len == pieces[i].iov_len, "a gap between messages");
        total += messages[i].msg_len;
    }
    for (int i = 0; i < count; i++)
        check(messages[i].msg_hdr.msg_iov == pieces + i && messages[i].msg_hdr.msg_iovlen == 1, "msghdr changed");
    return sent < 0 ? sent : total;
}

static long splice_from_pipe(int fd, char *at, size_t size) {
    int ends[2];
    check(!pipe(ends), "pipe");
    size_t part = size < 32768 ? size : 32768;
    check(write(ends[1], at, part) == (ssize_t)part, "filling a pipe");
    size_t sent = 0;
    while (sent < part) {
        long result = CALL(splice, ends[0], 0, fd, 0, part - sent, 0);
        check(result > 0, "splice");
        sent += result;
    }
    close(ends[0]);
    close(ends[1]);
    return (long)sent;
}

static long send_once(int fd, const char *how, char *at, size_t size, const char *splits) {
    struct iovec pieces[MOST_PIECES], before[MOST_PIECES];
    char control[64] __attribute__((aligned(8)));
    int count = split(pieces, at, size, splits);
    memcpy(before, pieces, sizeof before);
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count}, kept;
    long result;
    if (!strcmp(how, "control"))
        add_control(&message, control, family_of(fd));
    kept = message;
    if (!strcmp(how, "write"))
        result = CALL(write, fd, at, size, 0, 0, 0);
    else if (!strcmp(how, "writev"))
        result = CALL(writev, fd, pieces, count, 0, 0, 0);
    else if (!strcmp(how, "send") || !strcmp(how, "sendto"))
        result = CALL(sendto, fd, at, size, MSG_NOSIGNAL, 0, 0);
    else if (!strcmp(how, "dontwait"))
        result = CALL(sendto, fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0);
    else if (!strcmp(how, "more"))
        result = CALL(sendto, fd, at, size, MSG_MORE, 0, 0);
    else if (!strcmp(how, "urgent"))
        result = CALL(sendto, fd, at, size, MSG_OOB, 0, 0);
    else if (!strcmp(how, "sendmsg") || !strcmp(how, "control"))
        result = CALL(sendmsg, fd, &message, MSG_NOSIGNAL, 0, 0, 0);
    else if (!strcmp(how, "sendmmsg"))
        result = send_messages(fd, pieces, count);
    else if (!strcmp(how, "sendfile")) {
        off_t offset = at - data;
        result = CALL(sendfile, fd, data_file, &offset, size, 0, 0);
    } else if (!strcmp(how, "splice"))
        result = splice_from_pipe(fd, at, size);
    else if (!strcmp(how, "hole"))
        result = CALL(write, fd, before_a_hole(at, size, strtoul(splits, NULL, 10)), size, 0, 0, 0);
    else
        return fail("no such way to send: %s", how), 0;
    int error = errno;
    check(result <= (long)size, "more sent than there was");
    check(result != 0 || size == 0 || pieces[0].iov_len == 0, "a send of nothing");
    check(!memcmp(pieces, before, sizeof pieces) && !memcmp(&message, &kept, sizeof message), "arguments changed");
    dprintf(1, "%s %zu %ld %d\n", how, size, result, result < 0 ? error : 0);
    errno = error;
    return result;
}

static void send_all(int fd, const char *how, size_t at, size_t size, const char *splits) {
    check(at + size <= data_size, "a range beyond the data");
    while (size) {
        long result = send_once(fd, how, data + at, size, splits);
        int refused = result < 0 && errno == EFAULT && !strcmp(how, "hole");
        how = strcmp(how, "hole") ? how : "write";
        if (refused || (result < 0 && errno == EINTR))
            continue;
        if (result < 0 && errno == EAGAIN) {
            sync_with_test(-1);
            continue;
        }
        check(result >= 0, how);
        at += result;
        size -= result;
        splits = "-";
    }
}

static size_t left_at, left_size;

static void send_part(int fd, const char *how, size_t at, size_t size, const char *splits) {
    long result = send_once(fd, how, data + at, size, splits);
    left_at = at + (result > 0 ? result : 0);
    left_size = at + size - left_at;
}

/* -- receiving */

static long receive_once(int fd, const char *how, char *at, size_t size) {
    struct iovec pieces[3] = {{at, size / 3}, {at + size / 3, size / 3}, {at + size / 3 * 2, size - size / 3 * 2}};
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 3};
    if (!strcmp(how, "read"))
        return CALL(read, fd, at, size, 0, 0, 0);
    if (!strcmp(how, "readv"))
        return CALL(readv, fd, pieces, 3, 0, 0, 0);
    if (!strcmp(how, "recv"))
        return CALL(recvfrom, fd, at, size, 0, 0, 0);
    if (!strcmp(how, "all"))
        return CALL(recvfrom, fd, at, size, MSG_WAITALL, 0, 0);
    if (!strcmp(how, "recvmsg"))
        return CALL(recvmsg, fd, &message, 0, 0, 0, 0);
    if (!strcmp(how, "recvmmsg")) {
        struct mmsghdr messages[2] = {{.msg_hdr = message}};
        long got = CALL(recvmmsg, fd, messages, 1, MSG_WAITFORONE, 0, 0);
        return got > 0 ? (long)messages[0].msg_len : got;
    }
    if (!strcmp(how, "peek")) {
        static char seen[1 << 16];
        long peeked = CALL(recvfrom, fd, seen, size < sizeof seen ? size : sizeof seen, MSG_PEEK, 0, 0);
        if (peeked <= 0)
            return peeked;
        long got = CALL(recvmsg, fd, &message, 0, 0, 0, 0);
        check(got >= peeked && !memcmp(seen, at, peeked), "peeked at other bytes than were read");
        return got;
    }
    if (!strcmp(how, "drop"))
        return CALL(recvfrom, fd, at, size, MSG_TRUNC, 0, 0);
    return fail("no such way to receive: %s", how), 0;
}

static void receive_all(int fd, const char *how, size_t at, size_t size) {
    check(at + size <= data_size, "a range beyond the data");
    char *buffer = malloc(size + 16);
    memset(buffer, 0xee, size + 16);
    for (size_t got = 0; got < size;) {
        long result = receive_once(fd, how, buffer + got, size - got);
        if (result < 0 && errno == EAGAIN) {
            struct pollfd readable = {.fd = fd, .events = POLLIN};
            poll(&readable, 1, -1);
            continue;
        }
        check(result > 0 && got + result <= size, how);
        got += result;
    }
    check(!strcmp(how, "drop") || !memcmp(buffer, data + at, size), "other bytes received than were sent");
    for (int i = 0; i < 16; i++)
        check(buffer[size + i] == (char)0xee, "written beyond a buffer");
    free(buffer);
}

/* -- connections */

static void set_size(int fd, int bytes) {
    if (bytes)
        check(!setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), "SO_SNDBUF");
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static int connect_unix(const char *path, int size) {
    struct sockaddr_un address = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    set_size(fd, size);
    check(!CALL(connect, fd, &address, sizeof address, 0, 0, 0), "connect to a path");
    return fd;
}

static int connect_tcp(int port, int size, int wait) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | (wait ? 0 : SOCK_NONBLOCK), 0);
    set_size(fd, size);
    long result = CALL(connect, fd, &address, sizeof address, 0, 0, 0);
    if (wait)
        return check(!result, "connect"), fd;
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    check(!result || errno == EINPROGRESS, "connect without waiting");
    check(poll(&writable, 1, -1) == 1, "poll");
    int error = -1;
    socklen_t length = sizeof error;
    check(!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) && !error, "SO_ERROR");
    return fd;
}

static int listen_unix(const char *path) {
    struct sockaddr_un address = unix_address(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    check(!bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 64), "listen");
    return fd;
}

static void pass(int through, int fd) {
    char control[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))) = {0}, byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &fd, sizeof fd);
    check(sendmsg(through, &message, 0) == 1, "passing a descriptor");
}

static int take(int through) {
    int fd;
    char control[CMSG_SPACE(sizeof fd)] __attribute__((aligned(8))), byte;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    check(recvmsg(through, &message, 0) == 1 && CMSG_FIRSTHDR(&message), "taking a descriptor");
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

/* -- the script */

static void run(int from, int to);

struct range {
    int from, to;
};

static void *run_range(void *argument) {
    struct range range = *(struct range *)argument;
    free(argument);
    run(range.from, range.to);
    return NULL;
}

static int block_end(int line) {
    for (int depth = 1;;) {
        char word[32] = "";
        check(++line < line_count, "a block without its end");
        sscanf(lines[line], "%31s", word);
        depth += !strcmp(word, "fork") || !strcmp(word, "thread") || !strcmp(word, "spawn") || !strcmp(word, "helper");
        if (!strcmp(word, "done") && !--depth)
            return line;
    }
}

static void wait_for(pid_t child) {
    int status;
    check(waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status), "a child failed");
}

static void run_child(int from, int to) {
    run(from, to);
    _exit(0);
}

static int run_block(int line, const char *word, int slot) {
    int end = block_end(line);
    struct range *range = malloc(sizeof *range);
    *range = (struct range){line + 1, end};
    pthread_t thread;
    int ends[2];
    if (!strcmp(word, "fork")) {
        pid_t child = fork();
        if (!child)
            run_child(line + 1, end);
        wait_for(child);
    } else if (!strcmp(word, "helper")) {
        check(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), "socketpair");
        if (!(helper_pid = fork())) {
            close(ends[0]);
            slots[slot] = take(ends[1]);
            run_child(line + 1, end);
        }
        close(ends[1]);
        helper_socket = ends[0];
    } else if (!strcmp(word, "thread")) {
        check(!pthread_create(&thread, NULL, run_range, range) && !pthread_join(thread, NULL), "a thread");
    } else {
        check(!pthread_create(&spawned, NULL, run_range, range), "a thread");
    }
    return end;
}

static void ignore(int number) { (void)number; }

static void shutdown_or_exec(const char *line) {
    char text[256], number[16];
    int s;
    if (sscanf(line, "shut %d", &s) == 1) {
        check(!shutdown(slots[s], SHUT_WR), "shutdown");
    } else {
        check(sscanf(line, "exec %255s %d", text, &s) == 2, line);
        snprintf(number, sizeof number, "%d", slots[s]);
        execl("/proc/self/exe", "replay", text, data_path, number, (char *)NULL);
        fail("exec");
    }
}

static void open_slot(const char *word, const char *line) {
    char text[256];
    int s, t, ends[2];
    size_t port;
    if (sscanf(line, "unix %d %255s %d", &s, text, &t) == 3)
        slots[s] = connect_unix(text, t);
    else if (sscanf(line, "tcp %d %zu %d", &s, &port, &t) == 3)
        slots[s] = connect_tcp((int)port, t, 1);
    else if (sscanf(line, "nontcp %d %zu", &s, &port) == 2)
        slots[s] = connect_tcp((int)port, 0, 0);
    else if (sscanf(line, "listen %d %255s", &s, text) == 2)
        slots[s] = listen_unix(text);
    else if (sscanf(line, "accept %d %d", &s, &t) == 2)
        check((slots[t] = (int)CALL(accept4, slots[s], 0, 0, 0, 0, 0)) >= 0, "accept");
    else if (sscanf(line, "pair %d %d", &s, &t) == 2) {
        check(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
        slots[s] = ends[0], slots[t] = ends[1];
    } else if (!strcmp(word, "dup") && sscanf(line, "dup %d %d", &s, &t) == 2)
        check((slots[t] = dup(slots[s])) >= 0, "dup");
    else if (sscanf(line, "dup2 %d %d", &s, &t) == 2)
        check(dup2(slots[s], slots[t]) == slots[t], "dup2");
    else
        shutdown_or_exec(line);
}

static void step(const char *line) {
    char word[32] = "", text[256] = "", splits[256] = "-";
    int s = 0, on = 0;
    size_t at = 0, size = 0;
    sscanf(line, "%31s", word);
    if (sscanf(line, "send %d %255s %zu %zu %255s", &s, text, &at, &size, splits) >= 4)
        send_all(slots[s], text, at, size, splits);
    else if (sscanf(line, "once %d %255s %zu %zu %255s", &s, text, &at, &size, splits) >= 4)
        send_part(slots[s], text, at, size, splits);
    else if (sscanf(line, "rest %d", &s) == 1)
        send_all(slots[s], "write", left_at, left_size, "-");
    else if (sscanf(line, "recv %d %255s %zu %zu", &s, text, &at, &size) == 4)
        receive_all(slots[s], text, at, size);
    else if (sscanf(line, "sync %d", &s) == 1)
        sync_with_test(s);
    else if (sscanf(line, "close %d", &s) == 1)
        check(!CALL(close, slots[s], 0, 0, 0, 0, 0), "close");
    else if (sscanf(line, "nonblock %d %d", &s, &on) == 2)
        check(!fcntl(slots[s], F_SETFL, on ? O_NONBLOCK : 0), "O_NONBLOCK");
    else if (sscanf(line, "end %d", &s) == 1)
        check(read(slots[s], text, 1) == 0, "the peer's end");
    else if (sscanf(line, "signals %d", &s) == 1) {
        struct sigaction action = {.sa_handler = ignore, .sa_flags = s ? SA_RESTART : 0};
        check(!sigaction(SIGUSR1, &action, NULL), "sigaction");
    } else if (sscanf(line, "give %d", &s) == 1) {
        pass(helper_socket, slots[s]);
        close(slots[s]);
        close(helper_socket);
        wait_for(helper_pid);
    } else if (!strcmp(word, "join"))
        check(!pthread_join(spawned, NULL), "join");
    else
        open_slot(word, line);
}

static void run(int from, int to) {
    for (int line = from; line < to; line++) {
        char word[32] = "";
        int slot = 0;
        sscanf(lines[line], "%31s %d", word, &slot);
        if (!strcmp(word, "fork") || !strcmp(word, "thread") || !strcmp(word, "spawn") || !strcmp(word, "helper"))
            line = run_block(line, word, slot);
        else
            step(lines[line]);
    }
}

static char *load(const char *path, size_t *size) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    check(fd >= 0 && !fstat(fd, &status), path);
    char *bytes = malloc(status.st_size + 1);
    for (*size = 0; *size < (size_t)status.st_size;) {
        ssize_t got = read(fd, bytes + *size, status.st_size - *size);
        check(got > 0, path);
        *size += got;
    }
    bytes[*size] = 0;
    close(fd);
    return bytes;
}

int main(int count, char **arguments) {
    size_t size;
    check(count >= 3, "usage: replay SCRIPT DATA [DESCRIPTOR]");
    slots[0] = count > 3 ? atoi(arguments[3]) : -1;
    data_path = arguments[2];
    data = load(data_path, &data_size);
    check((data_file = open(data_path, O_RDONLY)) >= 0, "the data");
    for (char *line = strtok(load(arguments[1], &size), "\n"); line; line = strtok(NULL, "\n")) {
        check(line_count < MOST_LINES, "a script that is too long");
        lines[line_count++] = line;
    }
    run(0, line_count);
    check(!memcmp(data, load(data_path, &size), data_size), "the program's memory was changed");
    return 0;
}
