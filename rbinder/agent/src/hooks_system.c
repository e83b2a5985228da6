/* Hooks of the calls that change the rules: system calls by number, filters of the program's own, libraries. */
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

#include "cpython.h"
#include "exec.h"
#include "forks.h"
#include "node.h"
#include "ring.h"
#include "ruby.h"
#include "transfer.h"

#define CAN_BE_READ 1  /* asm-generic/mman-common.h, PROT_READ */
#define DEEP_BINDING 8 /* dlfcn.h, RTLD_DEEPBIND: it would take the hooks away from what is loaded */

/* In strict mode any call but four kills; with a filter, any may. */
static void confines_itself(bool strict) {
    if (!started() || borrows_memory())
        return;
    thread_known();
    confined = ring_stays_quiet = true;
    if (strict)
        switch_off();
}

HOOKED int prctl(int option, ...) {
    unsigned long a[4];
    __builtin_va_list more;
    __builtin_va_start(more, option);
    for (u32 i = 0; i < COUNT(a); i++)
        a[i] = __builtin_va_arg(more, unsigned long);
    __builtin_va_end(more);
    if (option == PR_SET_SECCOMP)
        confines_itself(a[0] == SECCOMP_MODE_STRICT);
    else if (option == PR_SET_NAME && is_readable((const void *)a[0], 1))
        thread_named((const char *)a[0]);
    return NEXT(prctl)(option, a[0], a[1], a[2], a[3]);
}

/* A tail call: the loader looks at who called it, to find that one's own search path. */
HOOKED void *dlopen(const char *path, int flags) {
    cpython_loads(path);
    ruby_loads(path);
    return NEXT(dlopen)(path, flags & ~DEEP_BINDING);
}

/* -- memory that may not be read any more */

HOOKED int munmap(void *at, size_t size) {
    int result = NEXT(munmap)(at, size);
    if (result == 0)
        readable_forget(at, size);
    return result;
}

HOOKED int mprotect(void *at, size_t size, int protection) {
    int result = NEXT(mprotect)(at, size, protection);
    if (result == 0 && !(protection & CAN_BE_READ))
        readable_forget(at, size);
    return result;
}

/* -- by number */

typedef long arguments[6];

static long pass(long number, const long *a) {
    return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long make_process(long number, u64 flags, const long *a) {
    fork_before(flags);
    long result = pass(number, a);
    fork_after(flags, result);
    return result;
}

static void warn_of_rings(void) {
    static bool said;
    if (!said && !node_is_here()) /* libuv has rings for files and for epoll alone */
        note(BYTES("the program uses io_uring: what goes through its rings is not seen"));
    said = true;
}

#define POINTER(n) ((void *)a[n])

static long transfer_by_number(long number, const long *a) {
    switch (number) {
    case __NR_read:
        return read((int)a[0], POINTER(1), (size_t)a[2]);
    case __NR_readv:
        return readv((int)a[0], POINTER(1), (int)a[2]);
    case __NR_recvfrom:
        return recvfrom((int)a[0], POINTER(1), (size_t)a[2], (int)a[3], POINTER(4), POINTER(5));
    case __NR_recvmsg:
        return recvmsg((int)a[0], POINTER(1), (int)a[2]);
    case __NR_write:
        return write((int)a[0], POINTER(1), (size_t)a[2]);
    case __NR_writev:
        return writev((int)a[0], POINTER(1), (int)a[2]);
    case __NR_sendto:
        return sendto((int)a[0], POINTER(1), (size_t)a[2], (int)a[3], POINTER(4), (socklen_t)a[5]);
    case __NR_sendmsg:
        return sendmsg((int)a[0], POINTER(1), (int)a[2]);
    case __NR_sendfile:
        return sendfile((int)a[0], (int)a[1], POINTER(2), (size_t)a[3]);
    case __NR_splice:
        return splice((int)a[0], POINTER(1), (int)a[2], POINTER(3), (size_t)a[4], (unsigned)a[5]);
    case __NR_recvmmsg:
        return recvmmsg((int)a[0], POINTER(1), (unsigned)a[2], (int)a[3], POINTER(4));
    case __NR_sendmmsg:
        return sendmmsg((int)a[0], POINTER(1), (unsigned)a[2], (int)a[3]);
    case __NR_preadv2:
    case __NR_pwritev2:
        if (a[3] == -1) /* the offset */
            hands_off((int)a[0]);
        return pass(number, a);
    default:
        return pass(number, a);
    }
}

static long descriptor_by_number(long number, const long *a) {
    switch (number) {
    case __NR_close:
        return close((int)a[0]);
    case __NR_close_range:
        return close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
    case __NR_dup:
        return dup((int)a[0]);
    case __NR_dup3:
        return dup3((int)a[0], (int)a[1], (int)a[2]);
    case __NR_socket:
        return socket((int)a[0], (int)a[1], (int)a[2]);
    case __NR_socketpair:
        return socketpair((int)a[0], (int)a[1], (int)a[2], POINTER(3));
    case __NR_accept:
        return accept((int)a[0], POINTER(1), POINTER(2));
    case __NR_accept4:
        return accept4((int)a[0], POINTER(1), POINTER(2), (int)a[3]);
    case __NR_connect:
        return connect((int)a[0], POINTER(1), (socklen_t)a[2]);
    case __NR_getsockopt:
        return getsockopt((int)a[0], (int)a[1], (int)a[2], POINTER(3), POINTER(4));
    case __NR_shutdown:
        return shutdown((int)a[0], (int)a[1]);
    default:
        return transfer_by_number(number, a);
    }
}

static long by_number(long number, const long *a) {
    switch (number) {
    case __NR_execve:
    case __NR_execveat:
        return answered(exec_raw(number, a));
    case __NR_clone:
        return make_process(number, (u64)a[0], a);
    case __NR_clone3:
        return make_process(number, is_readable(POINTER(0), sizeof(u64)) ? *(const u64 *)a[0] : 0, a);
#ifdef __NR_fork
    case __NR_fork:
        return make_process(number, 0, a);
#endif
#ifdef __NR_dup2
    case __NR_dup2:
        return dup2((int)a[0], (int)a[1]);
#endif
    case __NR_prctl:
        return prctl((int)a[0], a[1], a[2], a[3], a[4]);
    case __NR_seccomp:
        if (a[0] == SECCOMP_SET_MODE_STRICT || a[0] == SECCOMP_SET_MODE_FILTER)
            confines_itself(a[0] == SECCOMP_SET_MODE_STRICT);
        return pass(number, a);
    case __NR_io_uring_setup:
        warn_of_rings();
        return pass(number, a);
    default:
        return descriptor_by_number(number, a);
    }
}

HOOKED long syscall(long number, ...) {
    arguments a;
    __builtin_va_list more;
    __builtin_va_start(more, number);
    for (u32 i = 0; i < COUNT(a); i++)
        a[i] = __builtin_va_arg(more, long);
    __builtin_va_end(more);
    return started() ? by_number(number, a) : pass(number, a);
}
