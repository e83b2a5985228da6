// Front for counting: takes one connection and ends with it; one call for each message it receives or sends.
// Usage: front_calls recv|read|readv|recvmsg PORT BACKPORT.

#include <sys/uio.h>

#include "wire.h"

typedef ssize_t (*transfer)(int fd, char *bytes, size_t size);

static struct msghdr message_of(struct iovec *vector) {
    return (struct msghdr){.msg_iov = vector, .msg_iovlen = 1};
}

static ssize_t by_recv(int fd, char *bytes, size_t size) { return recv(fd, bytes, size, 0); }
static ssize_t by_send(int fd, char *bytes, size_t size) { return send(fd, bytes, size, MSG_NOSIGNAL); }
static ssize_t by_read(int fd, char *bytes, size_t size) { return read(fd, bytes, size); }
static ssize_t by_write(int fd, char *bytes, size_t size) { return write(fd, bytes, size); }

static ssize_t by_readv(int fd, char *bytes, size_t size) {
    struct iovec vectors[2] = {{bytes, 1}, {bytes + 1, size - 1}};
    return readv(fd, vectors, 2);
}

static ssize_t by_writev(int fd, char *bytes, size_t size) {
    struct iovec vectors[2] = {{bytes, 1}, {bytes + 1, size - 1}};
    return writev(fd, vectors, 2);
}

static ssize_t by_recvmsg(int fd, char *bytes, size_t size) {
    struct iovec vector = {bytes, size};
    struct msghdr message = message_of(&vector);
    return recvmsg(fd, &message, 0);
}

static ssize_t by_sendmsg(int fd, char *bytes, size_t size) {
    struct iovec vector = {bytes, size};
    struct msghdr message = message_of(&vector);
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static const struct way {
    const char *name;
    transfer in, out;
} ways[] = {
    {"recv", by_recv, by_send},
    {"read", by_read, by_write},
    {"readv", by_readv, by_writev},
    {"recvmsg", by_recvmsg, by_sendmsg},
};

static const struct way *find(const char *name) {
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, name) == 0) return &ways[i];
    exit(2);
}

static void send_whole(const struct way *way, int fd, char *bytes, int size) {
    if (way->out(fd, bytes, (size_t)size) != size) exit(3);
}

// One message by one call; 0 when the peer closed. Both peers send a message whole.
static size_t receive_whole(const struct way *way, int fd, char *bytes) {
    ssize_t size = way->in(fd, bytes, MESSAGE_LIMIT);
    if (size < 0) exit(4);
    bytes[size] = 0;
    return (size_t)size;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    const struct way *way = find(arguments[1]);
    static char in[MESSAGE_LIMIT + 1], out[2 * MESSAGE_LIMIT];
    int client = accept(listening(arguments[2]), NULL, NULL), back = connected(arguments[3]);
    while (receive_whole(way, client, in)) {
        char query[256];
        if (sscanf(in, "GET /work?%255[^ ]", query) != 1) return 5;
        send_whole(way, back, out, sprintf(out, "GET /leaf?%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", query));
        size_t size = receive_whole(way, back, in);
        if (!size) return 6;
        send_whole(way, client, in, (int)size);
    }
    return 0;
}
