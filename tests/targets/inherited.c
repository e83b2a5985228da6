// Writes to FILE what a program inherits: descriptors, environment, signals, limits and the rest. Usage: inherited FILE

#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void descriptors(FILE *out, int own) {
    for (int fd = 0; fd < 256; fd++) {
        char link[64], target[4096];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, target, sizeof target - 1);
        if (size < 0 || fd == own) continue;
        target[size] = 0;
        fprintf(out, "descriptor %d %s flags %o\n", fd, target, fcntl(fd, F_GETFL));
    }
}

static void signals(FILE *out) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if ((!strncmp(line, "Sig", 3) && line[3] != 'Q') || !strncmp(line, "ShdPnd", 6) || !strncmp(line, "Cap", 3)) fputs(line, out);
    if (status) fclose(status);
}

static void limits(FILE *out) {
    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit limit;
        getrlimit(resource, &limit);
        fprintf(out, "limit %d %llu %llu\n", resource, (unsigned long long)limit.rlim_cur,
                (unsigned long long)limit.rlim_max);
    }
}

int main(int count, char **arguments) {
    if (count < 2) return 2;
    char directory[4096];
    cpu_set_t processors;
    int low = open(arguments[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int own = fcntl(low, F_DUPFD_CLOEXEC, 10);  // above what a test opens: the lowest one may be a closed stdin's
    close(low);
    FILE *out = fdopen(own, "w");
    if (!out) return 3;
    fprintf(out, "directory %s\n", getcwd(directory, sizeof directory));
    mode_t mask = umask(0);
    fprintf(out, "umask %o\n", mask);
    fprintf(out, "nice %d\n", getpriority(PRIO_PROCESS, 0));
    sched_getaffinity(0, sizeof processors, &processors);
    fprintf(out, "processors %d policy %d\n", CPU_COUNT(&processors), sched_getscheduler(0));
    fprintf(out, "group %d session %d\n", getpgrp(), getsid(0));
    for (int i = 0; i < count; i++) fprintf(out, "argument %s\n", arguments[i]);
    for (char **variable = environ; *variable; variable++) fprintf(out, "variable %s\n", *variable);
    descriptors(out, own);
    signals(out);
    limits(out);
    return fclose(out) ? 4 : 0;
}
