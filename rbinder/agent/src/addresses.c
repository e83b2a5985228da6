/* Socket addresses as text, as Python's inet_ntop writes them: numeric hosts, paths of Unix sockets, '@' and the name of
 * abstract ones. IPv4-mapped addresses are told as the IPv4 they are (RFC 4291, 2.5.5.2).
 */
#include <netinet/in.h>
#include <sys/un.h>

#include "sockets.h"

struct text {
    u8 *at, *end;
};

static void put(struct text *text, u8 byte) {
    if (text->at < text->end)
        *text->at++ = byte;
}

static void put_decimal(struct text *text, u32 number) {
    if (number >= 100)
        put(text, (u8)('0' + number / 100));
    if (number >= 10)
        put(text, (u8)('0' + number / 10 % 10));
    put(text, (u8)('0' + number % 10));
}

static void put_hexadecimal(struct text *text, u32 number) {
    bool begun = false;
    for (int shift = 12; shift >= 0; shift -= 4) {
        u32 digit = number >> shift & 15;
        if (digit || begun || !shift) {
            put(text, (u8)(digit < 10 ? '0' + digit : 'a' + digit - 10));
            begun = true;
        }
    }
}

static void put_ipv4(struct text *text, const u8 *raw) {
    for (u32 i = 0; i < 4; i++) {
        if (i)
            put(text, '.');
        put_decimal(text, raw[i]);
    }
}

struct run {
    u32 at, size;
};

/* The longest run of zero groups, the first of equals; of a single one nothing is left out (RFC 5952, 4.2). */
static struct run longest_zeros(const u16 *groups) {
    struct run best = {8, 1};
    for (u32 i = 0; i < 8; i++) {
        u32 size = 0;
        while (i + size < 8 && !groups[i + size])
            size++;
        if (size > best.size)
            best = (struct run){i, size};
    }
    return best;
}

static bool begins_with_zeros(const u16 *groups, u32 count) {
    for (u32 i = 0; i < count; i++)
        if (groups[i])
            return false;
    return true;
}

/* glibc writes the last two groups of ::a.b.c.d and ::ffff:a.b.c.d as IPv4. */
static void put_ipv6(struct text *text, const u8 *raw) {
    u16 groups[8];
    for (u32 i = 0; i < 8; i++)
        groups[i] = (u16)(raw[2 * i] << 8 | raw[2 * i + 1]);
    struct run zeros = longest_zeros(groups);
    bool mapped = begins_with_zeros(groups, 5) && groups[5] == 0xffff;
    if (mapped) {
        put_ipv4(text, raw + 12);
        return;
    }
    bool compatible = zeros.at == 0 && zeros.size == 6;
    for (u32 i = 0; i < 8; i++) {
        if (i >= zeros.at && i < zeros.at + zeros.size) {
            if (i == zeros.at)
                put(text, ':');
            continue;
        }
        if (i)
            put(text, ':');
        if (compatible && i == 6) {
            put_ipv4(text, raw + 12);
            return;
        }
        put_hexadecimal(text, groups[i]);
    }
    if (zeros.at + zeros.size == 8)
        put(text, ':');
}

static void put_path(struct text *text, const u8 *path, u64 size) {
    bool abstract = size && !path[0];
    if (abstract)
        put(text, '@');
    for (u64 i = abstract; i < size && (abstract || path[i]); i++)
        put(text, path[i]);
}

bool address_read(const void *sockaddr, u64 size, struct address *address) {
    const u8 *raw = sockaddr;
    struct text text = {address->text, address->text + sizeof address->text};
    sa_family_t family = AF_UNSPEC;
    address->port = 0;
    address->size = 0;
    if (!sockaddr || size < sizeof family || size > sizeof(struct sockaddr_storage))
        return false;
    memcpy(&family, raw, sizeof family);
    if (family == AF_INET && size >= 8) {
        address->port = (u16)(raw[2] << 8 | raw[3]);
        put_ipv4(&text, raw + 4);
    } else if (family == AF_INET6 && size >= 24) {
        address->port = (u16)(raw[2] << 8 | raw[3]);
        put_ipv6(&text, raw + 8);
    } else if (family == AF_UNIX) {
        put_path(&text, raw + sizeof family, MIN(size - sizeof family, sizeof(((struct sockaddr_un *)0)->sun_path)));
    }
    address->size = (u8)(text.at - address->text);
    return address->size;
}
