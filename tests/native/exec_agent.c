/* An agent that does nothing but go with a program into what it executes: it writes a line about each start, and each
 * NOTE, to the keeper's descriptor. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <sys/syscall.h>

#include "exec.h"
#include "hooks.h"

static struct carried carried;
static long home;

bool borrows_memory(void) { return raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0) != home; }

static u32 put(char *to, u32 at, u32 room, const char *text, u32 size) {
    for (u32 i = 0; i < size && at < room; i++)
        to[at++] = text[i];
    return at;
}

static u32 put_number(char *to, u32 at, u32 room, u64 number) {
    char digits[20];
    u32 count = 0;
    do
        digits[sizeof digits - ++count] = (char)('0' + number % 10);
    while (number /= 10);
    return put(to, at, room, digits + sizeof digits - count, count);
}

/* "WORD TEXT\n" to the keeper's descriptor, in one write. */
static void tell(const char *word, u32 word_size, const char *text, u32 size) {
    char path[64], line[1024];
    u32 at = put(path, 0, sizeof path, "/proc/", 6);
    at = put_number(path, at, sizeof path, carried.keeper);
    at = put(path, at, sizeof path, "/fd/", 4);
    at = put_number(path, at, sizeof path, carried.fd);
    path[at] = 0;
    long fd = raw_call(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_APPEND | O_CLOEXEC, 0, 0, 0);
    if (fd < 0)
        return;
    at = put(line, 0, sizeof line, word, word_size);
    at = put(line, at, sizeof line - 1, text, size);
    line[at++] = '\n';
    raw_call(SYS_write, fd, (long)line, at, 0, 0, 0);
    raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

void note(struct bytes text) { tell("note ", 5, (const char *)text.at, text.size); }

static __attribute__((constructor)) void start(void) {
    char path[512];
    home = raw_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
    if (!environment_start(&carried))
        return;
    long size = raw_call(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)path, sizeof path, 0, 0);
    tell("start ", 6, path, size > 0 ? (u32)size : 0);
}
