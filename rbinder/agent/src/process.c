/* The PROCESS record: JSON, made at the start, while /proc can be read (a program may change its user or its root). */
#include "process.h"

#include <asm/stat.h>
#include <linux/fcntl.h>

#include "text.h"
#include "report.h"
#include "state.h"

#define CHUNK 512u
#define LONGEST_PATH 2048u /* bytes of JSON */
#define LONGEST_COMMAND 8192u

/* JSON that is being written; `end` is where it has to stop for good. */
struct text {
    u8 *at, *end;
};

static void put(struct text *text, u8 byte) {
    if (text->at < text->end)
        *text->at++ = byte;
}

static void put_all(struct text *text, const char *bytes) {
    while (*bytes)
        put(text, (u8)*bytes++);
}

/* What json.dumps would escape; bytes that are no UTF-8 stay, and are told apart by the reader (surrogateescape). */
static void put_escaped(struct text *text, u8 byte) {
    static const char digits[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\') {
        put(text, '\\');
        put(text, byte);
    } else if (byte < 0x20) {
        put_all(text, "\\u00");
        put(text, (u8)digits[byte >> 4]);
        put(text, (u8)digits[byte & 15]);
    } else {
        put(text, byte);
    }
}

/* Room that is left for one string, its closing quote and what follows it. */
static struct text up_to(const struct text *text, u32 limit) {
    u64 left = (u64)(text->end - text->at);
    return (struct text){text->at, text->at + MIN(limit, left)};
}

static void put_string(struct text *text, const u8 *bytes, u64 size, u32 limit) {
    struct text part = up_to(text, limit);
    put(&part, '"');
    for (u64 i = 0; i < size && part.end - part.at > 6; i++)
        put_escaped(&part, bytes[i]);
    put(&part, '"');
    text->at = part.at;
}

static void put_link(struct text *text, const char *path) {
    u8 target[CHUNK];
    long size = raw_call(__NR_readlinkat, AT_FDCWD, (long)path, (long)target, sizeof target, 0, 0);
    put_string(text, target, size > 0 ? (u64)size : 0, LONGEST_PATH);
}

/* The arguments, each ended by a NUL in /proc. An empty list where it can't be read. */
static void put_arguments(struct text *text) {
    u8 chunk[CHUNK];
    long fd = raw_call(__NR_openat, AT_FDCWD, (long)"/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0, 0, 0), count = 0;
    struct text part = up_to(text, LONGEST_COMMAND);
    bool inside = false, any = false;
    put(&part, '[');
    while (fd >= 0 && part.end - part.at > 16 &&
           (count = raw_call(__NR_read, fd, (long)chunk, sizeof chunk, 0, 0, 0)) > 0) {
        for (long i = 0; i < count && part.end - part.at > 16; i++) {
            if (!inside)
                put_all(&part, any ? ",\"" : "\"");
            any = true;
            inside = chunk[i] != 0;
            if (inside)
                put_escaped(&part, chunk[i]);
            else
                put(&part, '"');
        }
    }
    if (inside)
        put(&part, '"');
    put(&part, ']');
    if (fd >= 0)
        raw_call(__NR_close, fd, 0, 0, 0, 0, 0);
    text->at = part.at;
}

void image_remember(void) {
    struct text text = {agent.image, agent.image + IMAGE_ROOM};
    put_all(&text, ",false,");
    put_link(&text, "/proc/self/exe");
    put(&text, ',');
    put_arguments(&text);
    put(&text, ',');
    put_link(&text, "/proc/self/cwd");
    put_all(&text, ",\"\"]");
    agent.image_size = (u32)(text.at - agent.image);
}

u32 process_number(bool made_up) {
    struct stat status;
    u64 expected = agent.shared->pid_namespace;
    if (expected && raw_call(__NR_newfstatat, AT_FDCWD, (long)"/proc/self/ns/pid", (long)&status, 0, 0, 0) == 0)
        made_up = status.st_ino != expected;
    u64 any;
    random_draw(&agent.random, &any, 1);
    return made_up ? MADE_UP | (u32)any : agent.pid;
}

void announce_process(u64 now) {
    char number[24] = "[", *end = append_number(number + 1, agent.parent);
    struct iovec pieces[] = {{number, (u64)(end - number)}, {agent.image, agent.image_size}};
    agent.told = report_put(PROCESS, now, 0, NULL, pieces, COUNT(pieces));
}
