/* Feeds the stencils records that were spoilt at random. Usage: fuzz_stencil SECONDS [SEED] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stencil.h"

enum { ROOM = 1 << 20, PASSED = 3 << 20, RECORDS = 200 };

static u64 state;

static u32 below(u32 limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (u32)(state >> 33) % limit;
}

static const char *const TEXTS[] = {
    "GET /work?id=1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "POST /x? HTTP/1.0\r\n\r\n", "GET  HTTP/1.1", "", " ", "  HTTP/",
};

static u8 *put(u8 *out, u16 kind, u32 number, u32 connection, const void *payload, u32 size) {
    struct record record = {.size = (u32)sizeof record + size, .kind = kind, .version = RECORD_VERSION, .time = number,
                            .pid = 1 + connection % 3, .connection = connection};
    u64 exchange = 1 + number;
    memcpy(record.exchange, &exchange, sizeof exchange);
    memcpy(out, &record, sizeof record);
    memcpy(out + sizeof record, payload, size);
    return out + record.size;
}

static u8 *exchange(u8 *out, u32 number) {
    u8 payload[2048] = {0};
    u32 connection = below(6);
    const char *text = TEXTS[below(COUNT(TEXTS))];
    struct request_payload request = {.side = (u8)(1 + below(2)), .flags = 0x103, .started = number, .trace_id = {1}};
    memcpy(payload, &request, sizeof request);
    memcpy(payload + sizeof request, text, strlen(text));
    out = put(out, REQUEST_HEAD, number, connection, payload, (u32)(sizeof request + strlen(text)));
    payload[0] = request.side;
    memcpy(payload + 1, "HTTP/1.1 200 OK\r\n\r\n", 19);
    out = put(out, RESPONSE_HEAD, number, connection, payload, 20);
    struct end_payload end = {request.side, 1, 5};
    return put(out, MESSAGE_END, number, connection, &end, sizeof end);
}

static u8 *connection(u8 *out, u32 number) {
    u8 payload[256] = {0};
    struct connection_payload told = {.side = (u8)(1 + below(2)), .peer_port = (u16)below(65536), .local_port = 80};
    told.connect_start = below(2) ? number : 0, told.lookup_end = below(2) ? number : 0;
    memcpy(payload, &told, sizeof told);
    memcpy(payload + sizeof told, "10.0.0.1", 8);
    u8 *end = put(out, CONNECTION, number, 1 + below(5), payload, (u32)sizeof told + below((u32)(sizeof payload - sizeof told)));
    memset(out + offsetof(struct record, exchange), 0, 8);
    return end;
}

static u64 stream(u8 *out) {
    u8 *at = out;
    u8 payload[64] = {0};
    for (u32 index = 0; index < RECORDS; index++) {
        if (!below(8))
            at = connection(at, index);
        else if (below(10))
            at = exchange(at, index);
        else
            at = put(at, (u16)(below(8) ? NOTE : 1 + below(12)), index, below(6), payload, below(sizeof payload));
    }
    u64 size = (u64)(at - out);
    for (u32 spoilt = below(4) ? 0 : below(20); spoilt; spoilt--)
        out[below((u32)size)] = (u8)below(256);
    return size;
}

static const u8 STENCIL[] = {2, 0, 'n', 'k', 0, 1, 0, 'l', 1, 2, 0, 'p', 'a', 2, 1, 0, 'q', 0, 1, 0, 's'};
static const u8 ANYWHERE[] = {2, 0, 'n', 'k', 1, 2, 0, 'p', 'a', 4, 1, 0, 'c', 4, 1, 0, 'd', 5, 1, 0, 'e', 8, 1, 0, 'f', 0, 1, 0, 's'};
static const u8 FULL[] = {1, 0, 'n', 3, 1, 0, 'k', 2, 0, 'h', ':', 0, 0, 0};

static void fill(struct weave *weave, const u8 *passed, u64 size) {
    for (u64 at = 0; size - at >= sizeof(struct record);) {
        struct record record;
        memcpy(&record, passed + at, sizeof record);
        if (stencils_want(weave, record.exchange)) {
            static const u8 *const texts[] = {STENCIL, FULL, ANYWHERE};
            static const u64 sizes[] = {sizeof STENCIL, sizeof FULL, sizeof ANYWHERE};
            u8 text[64];
            u32 which = below(3);
            const u8 *from = texts[which];
            u64 length = sizes[which];
            memcpy(text, from, length);
            if (!below(3))
                text[below((u32)length)] = (u8)below(256);
            stencils_fill(weave, record.exchange, below(40), text, length);
        }
        at += record.size;
    }
}

static void check(const struct weave *weave) {
    for (u32 index = 0; index < weave->segment_count; index++) {
        const struct segment *segment = &weave->segments[index];
        if (segment->at + segment->size > weave->spans_room || !segment->count || segment->count > weave->most)
            abort();
    }
}

int main(int count, char **words) {
    time_t end = time(NULL) + (count > 1 ? atoi(words[1]) : 1);
    state = count > 2 ? strtoull(words[2], NULL, 10) : (u64)time(NULL);
    printf("seed %llu\n", (unsigned long long)state);
    u64 made = 0;
    do {
        u8 *passed = malloc(PASSED), *spans = malloc(ROOM);
        struct weave *weave = calloc(1, sizeof *weave);
        weave->passed = passed, weave->passed_room = PASSED, weave->spans = spans, weave->spans_room = ROOM;
        weave->most = 1 + below(600);
        weave->stencils = calloc(1, stencils_size());
        for (u32 round = 0; round < 20; round++) {
            static u8 room[ROOM];
            u64 size = stream(room);
            u8 *data = malloc(size);
            memcpy(data, room, size);
            for (u64 at = 0, taken; (taken = stencils_feed(weave, data + at, size - at)); at += taken) {
                check(weave);
                for (u32 index = 0; index < weave->segment_count; index++)
                    made += weave->segments[index].count;
                fill(weave, passed, weave->passed_size);
            }
            if (!below(5))
                stencils_release(weave, below(4));
            free(data);
        }
        free(weave->stencils), free(weave), free(passed), free(spans);
    } while (time(NULL) < end);
    printf("%llu spans\n", (unsigned long long)made);
    return made ? 0 : 1;
}
