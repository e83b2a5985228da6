// Executes a program in each of the ways there are. Usage: exec_ways WAY TARGET [ARGUMENT]...
//
//   show      tells the arguments and the environment that it got, from `environ` and from the kernel; TARGET is its status
//   others    see WAYS; those that replace the program tell the error if they fail, the others their child's status,
//             and whether `environ` is what it was
//
// LIBRARY in the environment: the LD_PRELOAD in an environment made here. MANY: how many variables it has.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char **given, **arguments;
static char *target;

static void make_given(void) {
    const char *many = getenv("MANY"), *library = getenv("LIBRARY");
    int count = many ? atoi(many) : 2, at = 0;
    given = calloc((size_t)count + 3, sizeof *given);
    for (int i = 0; i < count; i++) asprintf(&given[at++], "GIVEN_%d=%d", i, i);
    if (library) {
        given[at++] = given[0];
        asprintf(&given[0], "LD_PRELOAD=%s", library);
    }
}

static int compare(const void *one, const void *other) { return strcmp(*(char **)one, *(char **)other); }

// In alphabetical order: the program's own LD_PRELOAD may have moved.
static void print_sorted(const char *what, char **lines) {
    size_t count = 0;
    while (lines[count]) count++;
    char **sorted = memcpy(malloc(count * sizeof *lines + 1), lines, count * sizeof *lines);
    qsort(sorted, count, sizeof *lines, compare);
    for (size_t i = 0; i < count; i++) printf("%s %s\n", what, sorted[i]);
    free(sorted);
}

static int show(int count, char **all) {
    static char block[1 << 20], *lines[1 << 16];
    for (int i = 0; i < count; i++) printf("argument %s\n", all[i]);
    for (char **entry = environ; *entry; entry++) printf("has %s\n", *entry);
    int fd = open("/proc/self/environ", O_RDONLY);
    ssize_t size = 0, got, found = 0;
    while ((got = read(fd, block + size, sizeof block - (size_t)size)) > 0) size += got;
    for (char *at = block; at < block + size; at += strlen(at) + 1)
        if (*at) lines[found++] = at;
    print_sorted("began with", lines);
    return atoi(all[2]);
}

static void by_execl(void) { execl(target, arguments[0], arguments[1], arguments[2], NULL); }
static void by_execlp(void) { execlp(target, arguments[0], arguments[1], arguments[2], NULL); }
static void by_execle(void) { execle(target, arguments[0], arguments[1], arguments[2], NULL, given); }
static void by_execv(void) { execv(target, arguments); }
static void by_execvp(void) { execvp(target, arguments); }
static void by_execve(void) { execve(target, arguments, given); }
static void by_execvpe(void) { execvpe(target, arguments, given); }
static void by_nothing(void) { execve(target, arguments, NULL); }
static void by_cleared(void) { clearenv(), execv(target, arguments); }

static void by_fexecve(void) {
    int fd = open(target, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) fexecve(fd, arguments, given);
}

#ifdef __GLIBC__
static void by_execveat(void) { execveat(AT_FDCWD, target, arguments, given, 0); }
#else
static void by_execveat(void) { by_execve(); }
#endif

static void *in_thread(void *unused) {
    (void)unused;
    by_execve();
    return NULL;
}

static void by_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, in_thread, NULL);
    pthread_join(thread, NULL);
}

static void on_signal(int number) {
    (void)number;
    execve(target, arguments, given);
}

static void by_signal(void) {
    static char stack[16384];
    sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, NULL);
    raise(SIGUSR1);
}

static int ended(pid_t pid) {
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static int by_fork(void) {
    pid_t pid = fork();
    if (pid == 0) by_execve(), _exit(errno);
    return ended(pid);
}

static int by_vfork(void) {
    pid_t pid = vfork();
    if (pid == 0) execve(target, arguments, given), _exit(errno);
    return ended(pid);
}

static int by_vfork_search(void) {
    pid_t pid = vfork();
    if (pid == 0) execvp(target, arguments), _exit(errno);
    return ended(pid);
}

static int by_posix_spawn(void) {
    pid_t pid = 0;
    int error = posix_spawn(&pid, target, NULL, NULL, arguments, given);
    return error ? -error : ended(pid);
}

static int by_posix_spawnp(void) {
    pid_t pid = 0;
    int error = posix_spawnp(&pid, target, NULL, NULL, arguments, environ);
    return error ? -error : ended(pid);
}

static char *command(void) {
    char *text = NULL;
    asprintf(&text, "'%s' '%s' '%s'", target, arguments[1], arguments[2]);
    return text;
}

static int by_system(void) { return system(command()); }

static int by_popen(void) {
    char line[65536];
    FILE *pipe = popen(command(), "r");
    if (!pipe) return -errno;
    while (fgets(line, sizeof line, pipe)) fputs(line, stdout);
    return pclose(pipe);
}

static void *in_system(void *begun) {
    char *text;
    asprintf(&text, "echo >&%d; read line", *(int *)begun);
    system(text);
    return NULL;
}

// A setenv, an unsetenv and a putenv while system() runs in another thread: none may be lost. ARGUMENT 0: in place only.
static int by_changes(void) {
    pthread_t thread;
    char byte;
    int ends[2], begun[2], status;
    pipe(ends), pipe(begun);
    dup2(ends[0], 0);
    setenv("KEPT", "1", 1), setenv("CHANGED", "1", 1), setenv("REMOVED", "1", 1);
    pthread_create(&thread, NULL, in_system, &begun[1]);
    read(begun[0], &byte, 1);
    status = by_system();
    setenv("CHANGED", "2", 1), unsetenv("REMOVED");
    if (atoi(arguments[2])) setenv("ADDED", "1", 1), putenv("PUT=1");
    write(ends[1], "\n", 1);
    pthread_join(thread, NULL);
    print_sorted("ends with", environ);
    return status;
}

static const struct {
    const char *name;
    void (*replace)(void);
    int (*start)(void);
} WAYS[] = {
    {"execl", by_execl, NULL},           {"execlp", by_execlp, NULL},
    {"execle", by_execle, NULL},         {"execv", by_execv, NULL},
    {"execvp", by_execvp, NULL},         {"execve", by_execve, NULL},
    {"execvpe", by_execvpe, NULL},       {"nothing", by_nothing, NULL},
    {"cleared", by_cleared, NULL},       {"fexecve", by_fexecve, NULL},
    {"execveat", by_execveat, NULL},     {"thread", by_thread, NULL},
    {"signal", by_signal, NULL},         {"fork", NULL, by_fork},
    {"vfork", NULL, by_vfork},           {"vfork_search", NULL, by_vfork_search},
    {"posix_spawn", NULL, by_posix_spawn}, {"posix_spawnp", NULL, by_posix_spawnp},
    {"system", NULL, by_system},         {"popen", NULL, by_popen},
    {"changes", NULL, by_changes},
};

int main(int count, char **all) {
    if (count < 3) return 2;
    if (!strcmp(all[1], "show")) return show(count, all);
    setvbuf(stdout, NULL, _IOLBF, 0);
    target = all[2];
    arguments = all + 2;
    make_given();
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
        if (strcmp(WAYS[i].name, all[1])) continue;
        if (WAYS[i].replace) {
            WAYS[i].replace();
            printf("%s: %s\n", all[1], strerror(errno));
            return 1;
        }
        char **before = environ;
        int status = WAYS[i].start();
        printf("%s: %d, environ %s\n", all[1], status, environ == before ? "as before" : "moved");
        return 0;
    }
    return 2;
}
