/* Our two strings in the environment: taken out at the start, put in again for whatever the program executes (exec.h). */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "text.h"
#include "exec.h"
#include "system.h"

#define AGENT "RBINDER_AGENT="
#define PRELOAD "LD_PRELOAD="
#define LISTS_LIBRARIES "LD_TRACE_LOADED_OBJECTS=" /* ldd: the loader says what it would load, and runs nothing */
#define AGENT_SIZE (sizeof AGENT - 1)
#define PRELOAD_SIZE (sizeof PRELOAD - 1)
#define NUMBERS_LIMIT 64u           /* bytes of keeper, descriptor and token, with their points */
#define MOST_ENTRIES (1u << 20)     /* of an environment; the kernel takes no more than 6 MiB of strings and pointers */
#define GO_BUILD_ID 4u              /* type of the note that Go's linker writes (cmd/internal/objfile) */

/* Written once, before the program's first thread: read without a lock ever after. */
static struct {
    bool active;
    u32 numbers_size;               /* of agent: up to the point before the path */
    u32 library_size;               /* the path's, without its NUL */
    char agent[AGENT_SIZE + NUMBERS_LIMIT + LIBRARY_LIMIT];
    char preload[PRELOAD_SIZE + LIBRARY_LIMIT];
} own;

bool environment_active(void) { return own.active; }

static bool separates(char byte) { return byte == ':' || byte == ' ' || byte == '\t' || byte == '\n'; }

/* -- what RBINDER_AGENT says */

/* A decimal number and the point after it; NULL: there is none. */
static const char *parse_number(const char *at, u32 *number) {
    u64 value = 0;
    const char *from = at;
    for (; *at >= '0' && *at <= '9' && at - from < 10; at++)
        value = value * 10 + (u64)(*at - '0');
    *number = (u32)value;
    return at > from && *at == '.' && value <= UINT32_MAX ? at + 1 : NULL;
}

static int hex_digit(char digit) {
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static const char *parse_token(const char *at, u8 *token) {
    for (u32 i = 0; i < 16; i++, at += 2) {
        int high = hex_digit(at[0]), low = high < 0 ? -1 : hex_digit(at[1]);
        if (low < 0)
            return NULL;
        token[i] = (u8)(high << 4 | low);
    }
    return *at == '.' ? at + 1 : NULL;
}

/* Fills in `own` too. False: the string isn't one of ours. */
static bool parse(const char *value, struct carried *carried, s64 *place) {
    const char *at = parse_number(value, &carried->keeper);
    at = at ? parse_number(at, &carried->fd) : NULL;
    at = at ? parse_token(at, carried->token) : NULL;
    if (!at)
        return false;
    u32 numbers = (u32)(at - value), index;
    const char *path = parse_number(at, &index);
    *place = path ? (s64)index : -1;
    path = path ? path : at;
    u32 size = length(path);
    if (*path != '/' || size >= LIBRARY_LIMIT || numbers > NUMBERS_LIMIT)
        return false;
    own.numbers_size = (u32)AGENT_SIZE + numbers;
    own.library_size = size;
    char *end = append(append(own.agent, AGENT, (u32)AGENT_SIZE), value, numbers);
    carried->library = end;
    append(end, path, size + 1);
    append(append(own.preload, PRELOAD, (u32)PRELOAD_SIZE), path, size + 1);
    return true;
}

/* -- at the start */

/* Go hands on the environment that the kernel gave it, by system calls of its own: what is in there must stay. Its cgo
 * programs are dynamically linked, and load us. */
static int find_go_note(struct dl_phdr_info *object, size_t size, void *found) {
    (void)size;
    for (u32 i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &object->dlpi_phdr[i];
        if (header->p_type != PT_NOTE)
            continue;
        const u8 *at = (const u8 *)(object->dlpi_addr + header->p_vaddr), *end = at + header->p_memsz;
        while (end - at >= (s64)sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *entry = (const void *)at;
            const u8 *name = at + sizeof *entry;
            if (entry->n_type == GO_BUILD_ID && entry->n_namesz == 4 && end - name >= 4 && !memcmp(name, "Go\0", 4))
                *(bool *)found = true;
            u64 step = sizeof *entry + ((entry->n_namesz + 3ull) & ~3ull) + ((entry->n_descsz + 3ull) & ~3ull);
            if (step > (u64)(end - at))
                break;
            at += step;
        }
    }
    return 1; /* the first object is the program: no further ones */
}

extern __typeof__(dl_iterate_phdr) dl_iterate_phdr __attribute__((weak));

static bool in_go_program(void) {
    bool found = false;
    if (dl_iterate_phdr)
        dl_iterate_phdr(find_go_note, &found);
    return found;
}

/* Takes our library out of the list in an LD_PRELOAD string, in place; bytes that are left over become NULs. False: the
 * list was ours alone. */
static bool cut_library(char *string) {
    const char *library = own.preload + PRELOAD_SIZE;
    char *value = string + PRELOAD_SIZE;
    u32 size = length(value);
    for (u32 from = 0, to; from < size; from = to + 1) {
        for (to = from; to < size && !separates(value[to]);)
            to++;
        if (to - from != own.library_size || memcmp(value + from, library, to - from))
            continue;
        if (!from && to == size)
            return false;
        if (from)
            from--;
        else
            to++;
        memmove(value + from, value + to, size - to);
        memset(value + from + (size - to), 0, to - from);
        break;
    }
    return true;
}

/* No string of the program's lies behind: so the bytes are at the end of what /proc/self/environ shows. */
static bool is_last(char **strings, const char *string, s64 one, s64 other) {
    for (s64 i = 0; strings[i]; i++)
        if (i != one && i != other && strings[i] > string)
            return false;
    return true;
}

static void take_out(char **strings, s64 index) {
    for (; strings[index]; index++)
        strings[index] = strings[index + 1];
}

/* Moves the program's own LD_PRELOAD to where it stood, if the environment is still that long. */
static void put_back(char **strings, s64 from, s64 to) {
    char *string = strings[from];
    s64 last = from;
    while (strings[last + 1])
        last++;
    if (to < 0 || to > last)
        return;
    for (; from < to; from++)
        strings[from] = strings[from + 1];
    for (; from > to; from--)
        strings[from] = strings[from - 1];
    strings[to] = string;
}

/* The auxiliary vector lies behind the array and is not moved: freed entries are NULLs. */
static void withdraw(char **strings, s64 preload, s64 agent, s64 place) {
    bool blank_agent = is_last(strings, strings[agent], agent, preload);
    bool theirs = preload >= 0 && cut_library(strings[preload]);
    if (preload >= 0 && !theirs && place >= 0) { /* the program's own is there, and empty */
        memset(strings[preload] + PRELOAD_SIZE, 0, own.library_size);
        theirs = true;
    }
    if (preload >= 0 && !theirs && is_last(strings, strings[preload], agent, preload))
        memset(strings[preload], 0, length(strings[preload]));
    if (blank_agent)
        memset(strings[agent], 0, length(strings[agent]));
    take_out(strings, agent);
    if (preload < 0)
        return;
    preload -= preload > agent;
    if (theirs)
        put_back(strings, preload, place);
    else
        take_out(strings, preload);
}

bool environment_start(struct carried *carried) {
    char ***pointer = environment_pointer();
    if (own.active || !pointer || !*pointer)
        return false;
    char **strings = *pointer;
    s64 agent = -1, preload = -1, place = -1;
    for (s64 i = 0; strings[i]; i++) {
        if (begins(strings[i], AGENT))
            agent = i;
        else if (begins(strings[i], PRELOAD))
            preload = i;
    }
    if (agent < 0 || !parse(strings[agent] + AGENT_SIZE, carried, &place) || in_go_program())
        return false;
    withdraw(strings, preload, agent, place);
    own.active = true;
    return true;
}

/* A program that isn't root's keeps none of our capabilities but the ambient ones. */
static bool readable_as_a_user(const char *path) {
#ifdef SYS_access
    long refused = raw_call(SYS_access, (long)path, R_OK, 0, 0, 0, 0);
#else
    long refused = raw_call(SYS_faccessat, AT_FDCWD, (long)path, R_OK, 0, 0, 0);
#endif
    return !refused || raw_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_DAC_READ_SEARCH, 0, 0, 0) == 1 ||
           raw_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_DAC_OVERRIDE, 0, 0, 0) == 1;
}

bool library_reachable(void) {
    const char *library = own.preload + PRELOAD_SIZE;
    long fd = raw_call(SYS_openat, AT_FDCWD, (long)library, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd >= 0)
        raw_call(SYS_close, fd, 0, 0, 0, 0, 0);
    else if (fd != -EMFILE && fd != -ENFILE) /* no descriptor to spare here says nothing of there */
        return false;
    return raw_call(SYS_getuid, 0, 0, 0, 0, 0, 0) == 0 || readable_as_a_user(library);
}

/* -- for what the program executes */

bool environment_needs(char *const *given, struct needs *needs) {
    *needs = (struct needs){.entries = 3, .preload = -1};
    if (!own.active)
        return false;
    for (s64 i = 0; given; i++) {
        if (!is_readable(&given[i], sizeof *given)) /* EFAULT, says the kernel */
            return false;
        if (!given[i])
            break;
        if (!is_readable(given[i], 1))
            return false;
        if (i >= (s64)MOST_ENTRIES || begins(given[i], AGENT) || begins(given[i], LISTS_LIBRARIES))
            return false;
        if (begins(given[i], PRELOAD))
            needs->preload = i, needs->preload_value = given[i] + PRELOAD_SIZE; /* of several, glibc takes the last */
        needs->entries++;
    }
    if (needs->preload < 0)
        return true;
    needs->preload_size = length(needs->preload_value);
    needs->text = (u32)PRELOAD_SIZE + needs->preload_size + own.library_size + 2;
    needs->text += own.numbers_size + PLACE_LIMIT + own.library_size + 1;
    return true;
}

void environment_extend(char *const *given, const struct needs *needs, char **entries, char *text) {
    const char *library = own.preload + PRELOAD_SIZE;
    for (s64 i = 0; i < (s64)needs->entries - 3 && given[i]; i++) /* another thread's setenv may have made it longer */
        if (needs->preload < 0 || !begins(given[i], PRELOAD))
            *entries++ = given[i];
    *entries++ = needs->preload < 0 ? own.preload : text;
    if (needs->preload >= 0) {
        text = append(append(text, PRELOAD, (u32)PRELOAD_SIZE), needs->preload_value, needs->preload_size);
        *text++ = ':';
        text = append(text, library, own.library_size + 1);
    }
    *entries++ = needs->preload < 0 ? own.agent : text;
    if (needs->preload >= 0) {
        text = append(text, own.agent, own.numbers_size);
        text = append_number(text, (u64)needs->preload);
        *text++ = '.';
        append(text, library, own.library_size + 1);
    }
    *entries = NULL;
}
