/* Names: when one was looked up and which addresses that gave, so that a connect can tell its look-up's times. */
#include <netinet/in.h>

#include "hooks.h"
#include "sockets.h"

#define MOST_ANSWERS 64u
#define REMEMBERED 5000000000u /* ns: a connect that comes later doesn't wait for this look-up */

/* netdb.h's, which all C libraries have alike. */
struct addrinfo {
    int flags, family, type, protocol;
    socklen_t size;
    struct sockaddr *address;
    char *name;
    struct addrinfo *next;
};

static struct {
    u64 hash, start, end;
} answers[MOST_ANSWERS];
static u32 newest;

static u64 hash_of(const struct address *address) {
    return hash_bytes(HASH_START, (struct bytes){address->text, address->size});
}

static void remember(const struct address *address, u64 start, u64 end) {
    u64 hash = hash_of(address);
    for (u32 i = 0; i < MOST_ANSWERS; i++)
        if (answers[i].hash == hash)
            answers[i].hash = 0;
    u32 place = newest++ % MOST_ANSWERS;
    answers[place].start = start;
    answers[place].end = end;
    answers[place].hash = hash;
}

void lookup_take(const struct address *address, u64 now, u64 *start, u64 *end) {
    u64 hash = hash_of(address);
    *start = *end = 0;
    for (u32 i = 0; i < MOST_ANSWERS; i++) {
        if (answers[i].hash != hash)
            continue;
        answers[i].hash = 0;
        if (now - answers[i].end < REMEMBERED)
            *start = answers[i].start, *end = answers[i].end;
        return;
    }
}

/* Only a name server's answer counts: not a number, nor what stands for this host. */
static bool is_looked_up(const char *node, const struct address *address) {
    struct bytes text = {address->text, address->size};
    if (text.size >= 4 && memcmp(text.at, "127.", 4) == 0)
        return false;
    if (equal(text, BYTES("::1")))
        return false;
    u32 size = 0;
    while (size < text.size && node[size] == (char)text.at[size])
        size++;
    return size != text.size || node[size];
}

HOOKED int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    if (!node || !started())
        return NEXT(getaddrinfo)(node, service, hints, found);
    u64 begun = monotonic();
    int result = NEXT(getaddrinfo)(node, service, hints, found);
    if (result != 0 || !found)
        return result;
    u64 ended = monotonic();
    if (enter() != ENTERED)
        return result;
    u32 left = 16;
    for (const struct addrinfo *each = *found; each && left; each = each->next, left--) {
        struct address address;
        if (address_read(each->address, each->size, &address) && is_looked_up(node, &address))
            remember(&address, begun, ended);
    }
    leave();
    return result;
}
