/* Runs the agent's scanners and reduce_head as told on stdin, for tests/unit/test_agent_http*.py.
 *
 * A command is a letter, the size of what follows as a u32, and that. Each is answered by one line.
 *   R 0|1   a new scanner (1: responses); tells how many held buffers the one before left behind
 *   F data  feed             B step u32, data  feed in pieces of `step` bytes
 *   S u64   skip             E  eof            X method  expect
 *   G  give up               U  resume         P u32     how many held buffers there are
 *   T  what follows is tried on a copy         C  commit it             A  abandon it
 *   H limit u32, raw         reduce_head       I size u32, raw          the fields, continued ones in `size` bytes
 *   M seed u32               the memory functions against plain ones
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

static u32 held_most = 1000, held_count;

u8 *held_take(void) {
    if (held_count >= held_most)
        return NULL;
    held_count++;
    return malloc(HELD_SIZE);
}

void held_give(u8 *held) {
    held_count--;
    memset(held, 0xdd, HELD_SIZE);
    free(held);
}

/* Heads told during a trial: what they point to must stay until it ends. */
struct told {
    struct head head;
    u64 hash;
};

static struct {
    struct scanner scanner, trial;
    bool tried;
    u8 *kept[4096]; /* data fed in a trial */
    u32 kept_count;
    struct told told[64];
    u32 told_count;
    u64 fed;
} now;

static struct scanner *current(void) { return now.tried ? &now.trial : &now.scanner; }

static void hex(struct bytes data) {
    static const char digits[] = "0123456789abcdef";
    putchar('=');
    for (u32 at = 0; at < data.size; at++) {
        putchar(digits[data.at[at] >> 4]);
        putchar(digits[data.at[at] & 15]);
    }
}

static u64 hash_head(const struct head *head) {
    return hash_bytes(hash_bytes(hash_bytes(HASH_START, head->raw), head->method), head->target);
}

/* Where its fields are known, a head is reduced to the same. */
static void compare_reduced(const struct head *head, u32 limit) {
    u8 *one = malloc(limit), *other = malloc(limit);
    u32 size = reduce_head(head->raw, one, limit);
    if (reduce_told(head, other, limit) != size || memcmp(one, other, size) != 0)
        abort();
    free(one);
    free(other);
}

static void tell_head(const struct head *head) {
    compare_reduced(head, 80 + head->raw.size % 300);
    compare_reduced(head, 16384);
    hex(head->raw);
    hex(head->method);
    hex(head->target);
    printf(" %u %u %u %u %d", head->status, head->minor, head->newline, head->present, head->has_length);
    printf(" %llu %d%d%d%d%d", (unsigned long long)head->content_length, head->chunked, head->interim,
           head->truncated, head->upgrade, head->ends_connection);
    if (now.tried && now.told_count < COUNT(now.told))
        now.told[now.told_count++] = (struct told){*head, hash_head(head)};
}

static void tell(const struct event *event, u64 base) {
    if (event->kind == EVENT_HEAD) {
        printf("head %llu %llu", (unsigned long long)(base + event->at), (unsigned long long)(base + event->insert_at));
        tell_head(&event->head);
    } else if (event->kind == EVENT_END) {
        printf("end %llu %llu", (unsigned long long)(base + event->at), (unsigned long long)event->body_size);
    } else {
        printf("opaque %llu", (unsigned long long)(base + event->at));
    }
    putchar(';');
}

/* The data lies at the end of memory of its own, so that no byte beyond it can be read unnoticed. */
static void feed(const u8 *data, u32 size, u64 base) {
    struct event event;
    u8 *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    for (u64 at = 0; scanner_next(current(), copy, size, &at, &event);) {
        if (at > size)
            abort();
        tell(&event, base);
    }
    now.fed += size;
    if (now.tried && now.kept_count < COUNT(now.kept))
        now.kept[now.kept_count++] = copy;
    else
        free(copy);
}

static void feed_pieces(const u8 *data, u32 size, u32 step) {
    for (u32 at = 0; at < size; at += step)
        feed(data + at, MIN(step, size - at), at);
}

static void trial_ends(bool keep) {
    for (u32 at = 0; at < now.told_count && now.fed < 32768; at++)
        if (hash_head(&now.told[at].head) != now.told[at].hash)
            printf("stale;");
    if (keep)
        scanner_commit(&now.scanner, &now.trial);
    else
        scanner_abandon_trial(&now.trial, &now.scanner);
    while (now.kept_count)
        free(now.kept[--now.kept_count]);
    now.tried = false;
}

static void trial_begins(void) {
    scanner_try(&now.trial, &now.scanner);
    now.tried = true;
    now.told_count = 0;
    now.fed = 0;
}

static void renew(bool responses) {
    if (now.tried)
        trial_ends(false);
    if (now.scanner.self)
        scanner_give_up(&now.scanner);
    printf("%u;", held_count);
    scanner_init(&now.scanner, responses);
}

static void reduce(const u8 *raw, u32 size, u32 limit) {
    u8 *out = malloc(limit), *copy = malloc(size ? size : 1);
    memcpy(copy, raw, size);
    u32 written = reduce_head((struct bytes){copy, size}, out, limit);
    hex((struct bytes){out, written});
    free(copy);
    free(out);
}

static void fields(const u8 *raw, u32 size, u32 fold_size) {
    u8 *fold = malloc(fold_size ? fold_size : 1), *copy = malloc(size ? size : 1);
    struct bytes name, value;
    memcpy(copy, raw, size);
    for (u32 at = 0; next_field((struct bytes){copy, size}, &at, &name, &value, fold, fold_size);) {
        hex(name);
        hex(value);
    }
    free(copy);
    free(fold);
}

/* memory.c's own, under names that are no sanitizer's. */
void *agent_memcpy(void *restrict to, const void *restrict from, size_t size);
void *agent_memmove(void *to, const void *from, size_t size);
void *agent_memset(void *to, int byte, size_t size);
int agent_memcmp(const void *one, const void *other, size_t size);

static int sign(int number) { return (number > 0) - (number < 0); }

static void memory(u32 seed) {
    u8 room[3][300], *from, *to;
    srand(seed);
    for (u32 round = 0; round < 2000; round++) {
        for (u32 at = 0; at < sizeof room[0]; at++)
            room[0][at] = room[1][at] = (u8)rand();
        u32 size = (u32)rand() % 100, one = (u32)rand() % 200, other = (u32)rand() % 200;
        from = room[0] + one, to = room[0] + other;
        bool same = agent_memmove(to, from, size) == to;
        memmove(room[1] + other, room[1] + one, size);
        same = same && !memcmp(room[0], room[1], sizeof room[0]);
        same = same && agent_memcpy(room[2], from, size) == room[2] && !memcmp(room[2], from, size);
        same = same && !agent_memcmp(room[2], from, size);
        if (size)
            room[2][(u32)rand() % size]++;
        same = same && sign(agent_memcmp(room[2], from, size)) == sign(memcmp(room[2], from, size));
        agent_memset(to, (int)seed, size);
        memset(room[1] + other, (int)seed, size);
        same = same && !memcmp(room[0], room[1], sizeof room[0]);
        const u8 *found = find_byte(from, from + size, (u8)seed);
        same = same && found == (size ? memchr(from, (u8)seed, size) : NULL);
        if (!same)
            printf("differs;");
    }
}

static u32 number(const u8 *at) {
    u32 value;
    memcpy(&value, at, sizeof value);
    return value;
}

static void obey(char command, const u8 *data, u32 size) {
    struct event event;
    u64 count;
    switch (command) {
    case 'R': renew(data[0] == '1'); break;
    case 'F': feed(data, size, 0); break;
    case 'B': feed_pieces(data + 4, size - 4, number(data)); break;
    case 'S':
        memcpy(&count, data, sizeof count);
        if (scanner_skip(current(), count, &event))
            tell(&event, 0);
        break;
    case 'E':
        if (scanner_eof(current(), &event))
            tell(&event, 0);
        break;
    case 'X': scanner_expect(current(), (struct bytes){data, size}); break;
    case 'G': scanner_give_up(current()); break;
    case 'U': scanner_resume(current()); break;
    case 'P': held_most = number(data); break;
    case 'T': trial_begins(); break;
    case 'C': trial_ends(true); break;
    case 'A': trial_ends(false); break;
    case 'H': reduce(data + 4, size - 4, number(data)); return;
    case 'I': fields(data + 4, size - 4, number(data)); return;
    case 'M': memory(number(data)); return;
    default: abort();
    }
    const struct scanner *scanner = current();
    printf("%d%d %llu", scanner_opaque(scanner), scanner_idle(scanner),
           (unsigned long long)scanner_skippable(scanner));
}

int main(void) {
    u8 begin[5];
    while (fread(begin, 1, sizeof begin, stdin) == sizeof begin) {
        u32 size = number(begin + 1);
        u8 *data = malloc(size + 1);
        if (fread(data, 1, size, stdin) != size)
            return 2;
        obey((char)begin[0], data, size);
        free(data);
        putchar('\n');
        fflush(stdout);
    }
    if (now.scanner.self)
        renew(false);
    return held_count != 0;
}
