/* Drives environment.c and images.c under sanitizers. Usage:
 *
 *   exec_driver images          a line with a path in, "1 note" or "0 note" out, for each file that would be executed
 *   exec_driver round SEED N    N environments made at random go through an exec and a start: what comes out must be
 *                               what went in, and the bytes behind it zeros; tells "N" */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../rbinder/agent/src/environment.c"

#define FAIL(what) (printf("round %u: %s\n", round, what), exit(1))

static char **current;
static char said[1024];

char ***environment_pointer(void) { return &current; }
int *errno_pointer(void) { return &errno; }

/* By functions that a sanitizer watches. */
long raw_call(long number, long a, long b, long c, long d, long e, long f) {
    long result = number == SYS_pread64 ? pread((int)a, (void *)b, (size_t)c, d) : syscall(number, a, b, c, d, e, f);
    return result < 0 ? -errno : result;
}

void note(struct bytes text) { snprintf(said, sizeof said, "%.*s", (int)text.size, (const char *)text.at); }

static void images(void) {
    static char path[4096];
    own.active = true;
    strcpy(own.preload, "LD_PRELOAD=/dev/null");
    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = 0;
        said[0] = 0;
        bool carries = image_carries(AT_FDCWD, path, 0);
        printf("%d %s\n", carries, said);
        fflush(stdout);
    }
}

static u32 below(u32 limit) { return (u32)rand() % limit; }

/* One variable: now and then one that looks like ours. */
static char *variable(u32 index) {
    static const char *const NAMES[] = {"LD_PRELOAD_NOT=", "RBINDER_AGEN=", "LD_PRELOA", "RBINDER_AGENTS=1", "", "="};
    char *text = NULL;
    if (!below(8))
        return strdup(NAMES[below(COUNT(NAMES))]);
    if (asprintf(&text, "V%u=%.*s", index, (int)below(40), "0123456789012345678901234567890123456789") < 0)
        abort();
    return text;
}

static char *own_list(void) {
    static const char *const LISTS[] = {"", "/a.so", "/a.so:/b.so", " /a.so\t/b.so", ":", "/lib/agent.sox", "x:/lib/agent.so.1"};
    char *text = NULL;
    if (asprintf(&text, "LD_PRELOAD=%s", LISTS[below(COUNT(LISTS))]) < 0)
        abort();
    return text;
}

/* As a keeper writes it; with a place, the program has a list of its own, which is empty. */
static void start_with(const char *agent, const char *left, u32 round) {
    struct carried carried;
    char list[] = "LD_PRELOAD=/lib/agent.so", *strings[] = {list, strdup(agent), NULL}, *text = strings[1];
    own.active = false;
    current = strings;
    if (!environment_start(&carried) || (left ? !current[0] || strcmp(current[0], left) : !!current[0]))
        FAIL("not started");
    if (carried.keeper != 4294967295u || carried.fd != 17 || carried.token[15] != 0xff)
        FAIL("not understood");
    if (strcmp(carried.library, "/lib/agent.so"))
        FAIL("not found");
    free(text);
}

/* As the kernel lays them out: back to back, exactly as long as they are. */
static char *lay_out(char **strings, u32 count, char **laid, u32 *size) {
    *size = 0;
    for (u32 i = 0; i < count; i++)
        *size += (u32)strlen(strings[i]) + 1;
    char *block = malloc(*size + 1), *at = block;
    for (u32 i = 0; i < count; i++) {
        laid[i] = at;
        at = stpcpy(at, strings[i]) + 1;
    }
    laid[count] = NULL;
    return block;
}

static int compare(const void *one, const void *other) { return strcmp(*(char *const *)one, *(char *const *)other); }

/* What a shell that carries us unknowingly makes of an environment: any order. */
static void shuffle(char **strings, u32 count) {
    for (u32 i = count; i > 1; i--) {
        u32 other = below(i);
        char *string = strings[i - 1];
        strings[i - 1] = strings[other];
        strings[other] = string;
    }
}

static void go_round(u32 round) {
    u32 count = below(below(10) ? 8 : 200), size;
    char **given = calloc(count + 1, sizeof *given);
    for (u32 i = 0; i < count; i++)
        given[i] = variable(i);
    u32 preload = below(count * 2 + 1);
    if (preload < count)
        free(given[preload]), given[preload] = own_list();
    struct needs needs;
    if (!environment_needs(count || below(2) ? given : NULL, &needs))
        FAIL("needs nothing");
    char **entries = malloc(needs.entries * sizeof *entries), *text = malloc(needs.text + 1);
    char **laid = malloc(needs.entries * sizeof *laid);
    environment_extend(given, &needs, entries, text);
    u32 made = needs.entries - 1 - (needs.preload >= 0);
    if (entries[made])
        FAIL("not ended");
    bool in_order = below(4);
    if (!in_order)
        shuffle(entries, made);
    char *block = lay_out(entries, made, laid, &size);
    struct carried carried;
    own.active = false;
    current = laid;
    if (!environment_start(&carried))
        FAIL("not started");
    if (!in_order) {
        qsort(given, count, sizeof *given, compare);
        for (made = 0; laid[made];)
            made++;
        qsort(laid, made, sizeof *laid, compare);
    }
    u64 shown = 0;
    for (u32 i = 0; i < count; i++) {
        if (!laid[i] || strcmp(laid[i], given[i]))
            FAIL("changed");
        shown += strlen(given[i]) + 1;
    }
    if (laid[count])
        FAIL("longer");
    for (u64 at = shown; in_order && at < size; at++)
        if (block[at])
            FAIL("seen");
    for (u32 i = 0; i < count; i++)
        free(given[i]);
    free(given), free(entries), free(text), free(laid), free(block);
}

int main(int count, char **arguments) {
    if (count == 2 && !strcmp(arguments[1], "images"))
        return images(), 0;
    u32 rounds = count == 4 ? (u32)atoi(arguments[3]) : 0;
    if (rounds)
        srand((u32)atoi(arguments[2]));
    for (u32 round = 0; round < rounds; round++) {
        if (!(round % 100)) {
            start_with("RBINDER_AGENT=4294967295.17.000000000000000000000000000000ff.0./lib/agent.so", "LD_PRELOAD=", round);
            start_with("RBINDER_AGENT=4294967295.17.000000000000000000000000000000ff./lib/agent.so", NULL, round);
        }
        go_round(round);
    }
    printf("%u\n", rounds);
    return 0;
}
