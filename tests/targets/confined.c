// Confines or hides itself, then asks. Usage: confined MODE PORT
//
//   prctl, seccomp  installs a filter that kills it at any call but those it makes itself
//   traceme         lets its parent trace it, as programs do that want no debugger
//   raise           the same, then a signal that ends it
//   undumpable      is not dumpable: /proc/PID is root's
//   closed          closes every descriptor
//   ring            sets up an io_uring

#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "wire.h"

static const int allowed[] = {SYS_read,  SYS_write, SYS_close,      SYS_socket,
                              SYS_connect, SYS_exit,  SYS_exit_group, SYS_rt_sigreturn};

// if nr is one of `allowed`: allow, else kill the process
static int confine(int by_prctl) {
    enum { COUNT = sizeof allowed / sizeof *allowed };
    struct sock_filter code[2 * COUNT + 2], *next = code;
    *next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < COUNT; i++) {
        *next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)allowed[i], 0, 1);
        *next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    *next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {(unsigned short)(next - code), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return -1;
    if (by_prctl) return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

// Makes no call but socket, connect, write, read and close.
static int ask(const char *port, int out) {
    char request[128], answer[4096];
    int fd = connected(port);
    int size = snprintf(request, sizeof request, "GET /asked HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", port);
    if (write(fd, request, (size_t)size) != size) return 1;
    ssize_t got = read(fd, answer, sizeof answer - 1);
    if (got <= 0) return 1;
    close(fd);
    return out < 0 || write(out, answer, strcspn(answer, "\r")) > 0 ? 0 : 1;
}

static int ring(void) {
    char parameters[120] = {0};
    for (int i = 0; i < 3; i++) {
        long fd = syscall(SYS_io_uring_setup, 1, parameters);
        if (fd < 0) return errno;
        close((int)fd);
    }
    return 0;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const char *mode = arguments[1], *port = arguments[2];
    if (!strcmp(mode, "prctl") || !strcmp(mode, "seccomp")) {
        if (confine(!strcmp(mode, "prctl"))) return 3;
        return ask(port, 1);
    }
    if (!strcmp(mode, "traceme")) {
        long first = ptrace(PTRACE_TRACEME, 0, 0, 0), second = ptrace(PTRACE_TRACEME, 0, 0, 0);
        printf("%ld %ld\n", first, second);
        fflush(stdout);
        return ask(port, 1);
    }
    if (!strcmp(mode, "raise")) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        return raise(SIGUSR1);
    }
    if (!strcmp(mode, "undumpable")) return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) || ask(port, 1);
    if (!strcmp(mode, "closed")) {
        if (syscall(SYS_close_range, 0, ~0U, 0)) return 3;
        return ask(port, -1);
    }
    if (!strcmp(mode, "ring")) return ring();
    return 2;
}
