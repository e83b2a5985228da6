/* What the agent does for every head and every record, over and over: called from test_micro.py. Each returns how many it
 * has done well. */
#include "http.h"
#include "ring.h"

static u8 held[HELD_SIZE];

u8 *held_take(void) { return held; }
void held_give(u8 *given) { (void)given; }

static long heads_in(const u8 *data, u64 size) {
    struct scanner scanner;
    struct event event;
    long found = 0;
    scanner_init(&scanner, false);
    for (u64 at = 0; scanner_next(&scanner, data, size, &at, &event);) found += event.kind == EVENT_HEAD;
    return found;
}

long parse_heads(const u8 *data, u64 size, long count) {
    long found = 0;
    for (long i = 0; i < count; i++) found += heads_in(data, size);
    return found;
}

/* As the agent writes them and the collector's thread takes them, here in turns. */
long pass_records(struct reader *reader, u8 *out, u64 room, u32 size, long count) {
    static u8 payload[4096];
    struct iovec piece = {payload, MIN(size, sizeof payload)};
    long taken = 0, at_once = 64;
    for (long i = 0; i < count; i++) {
        struct record record = {.kind = MESSAGE_END, .pid = 1};
        if (!ring_put(reader->shared, &record, &piece, 1)) return -1;
        if (i % at_once == at_once - 1 || i == count - 1) taken += reader_drain(reader, out, room, 1, 1u << 30);
    }
    return taken / (long)(sizeof(struct record) + piece.iov_len);
}
