/* A libFuzzer target: the agent's scanners and reduce_head on any bytes.
 *
 * The first bytes say which direction it is, how the others are cut and tried; then the stream comes whole and in pieces.
 * Both must tell the same, as far as neither keeps hands off; every offset and pointer must be where it may be.
 */
#include <stdlib.h>
#include <string.h>

#include "http.h"

#define MOST_EVENTS 256
#define CHECK(condition)                                                                                               \
    if (!(condition))                                                                                                  \
    __builtin_trap()

static u32 held_count;

u8 *held_take(void) {
    held_count++;
    return malloc(HELD_SIZE);
}

void held_give(u8 *held) {
    held_count--;
    free(held);
}

struct story {
    u32 count;
    struct {
        enum event_kind kind;
        u64 place, head;
    } told[MOST_EVENTS];
};

static void check_head(const struct head *head) {
    static u8 out[400], other[400];
    u8 fold[16];
    struct bytes name, value;
    u32 limit = 80 + head->raw.size % 300, size = reduce_head(head->raw, out, limit);
    CHECK(size <= limit);
    CHECK(reduce_told(head, other, limit) == size && memcmp(out, other, size) == 0);
    CHECK(!size || (out[size - 1] == '\n' && out[size - 2] == '\r'));
    for (u32 at = 0; next_field(head->raw, &at, &name, &value, fold, sizeof fold);)
        CHECK(name.size && name.at >= head->raw.at && name.at + name.size <= head->raw.at + head->raw.size);
    CHECK(head->raw.size && head->raw.size <= KEPT + 2);
}

static u64 hash_head(const struct head *head) {
    return hash_bytes(hash_bytes(hash_bytes(HASH_START, head->raw), head->method), head->target) ^ head->present;
}

static void feed(struct scanner *scanner, const u8 *data, u64 size, u64 base, struct story *story) {
    struct event event;
    u64 before = 0;
    u8 *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    for (u64 at = 0; scanner_next(scanner, copy, size, &at, &event);) {
        CHECK(event.at >= before && event.at <= at && at <= size);
        before = event.at;
        if (event.kind == EVENT_HEAD) {
            CHECK(event.insert_at < event.at);
            check_head(&event.head);
        }
        if (story && story->count < MOST_EVENTS) {
            u32 number = story->count++;
            story->told[number].kind = event.kind;
            story->told[number].place = base + event.insert_at;
            story->told[number].head = event.kind == EVENT_HEAD ? hash_head(&event.head) : event.body_size;
        }
    }
    free(copy);
}

static void begin(struct scanner *scanner, u8 how) {
    scanner_init(scanner, how & 1);
    for (u8 left = how >> 4; how & 1 && left; left--)
        scanner_expect(scanner, left & 4 ? BYTES("HEAD") : left == 9 ? BYTES("CONNECT") : BYTES("GET"));
}

static void compare(const struct story *one, const struct story *other) {
    for (u32 at = 0; at < MIN(one->count, other->count); at++) {
        if (one->told[at].kind == EVENT_OPAQUE || other->told[at].kind == EVENT_OPAQUE)
            return;
        CHECK(one->told[at].kind == other->told[at].kind);
        CHECK(one->told[at].place == other->told[at].place);
        CHECK(one->told[at].head == other->told[at].head);
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size) {
    static struct story whole, pieces;
    struct scanner scanner, trial;
    if (size < 4)
        return 0;
    u8 how = data[0], step = data[1], tried = data[2];
    data += 3;
    size -= 3;
    whole.count = pieces.count = 0;
    begin(&scanner, how);
    feed(&scanner, data, size, 0, &whole);
    scanner_give_up(&scanner);
    begin(&scanner, how);
    for (u64 at = 0; at < size;) {
        u64 count = MIN(1 + (u64)step, size - at);
        bool trying = tried & 1 && (at ^ tried) & 6;
        if (trying) {
            scanner_try(&trial, &scanner);
            feed(&trial, data + at, count, at, (at & 8) ? &pieces : NULL);
            if (at & 8)
                scanner_commit(&scanner, &trial);
            else
                scanner_abandon_trial(&trial, &scanner);
        }
        if (!trying || !(at & 8))
            feed(&scanner, data + at, count, at, &pieces);
        at += count;
        step = (u8)(step * 5 + how);
    }
    compare(&whole, &pieces);
    scanner_give_up(&scanner);
    CHECK(!held_count);
    return 0;
}
