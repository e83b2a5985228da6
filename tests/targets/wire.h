// What the C targets share: blocking sockets on loopback, one message read at a time, a thread for each connection.
#ifndef WIRE_H
#define WIRE_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_LIMIT = 65536 };

// A message as it came: `head` bytes up to and with the blank line, then the body; all of it ends with a NUL.
struct message {
    size_t head, size;
    char bytes[MESSAGE_LIMIT + 1];
};

static inline struct sockaddr_in loopback(const char *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline void send_all(int fd, const char *bytes, size_t size) {
    while (size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0) {
            perror("send");
            exit(1);
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

// The value of a header, or NULL. `name` comes with its colon.
static inline const char *header(const struct message *message, const char *name) {
    const char *line = message->bytes;
    while ((line = strstr(line, "\r\n")) && line < message->bytes + message->head - 4) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0) return line + strlen(name) + strspn(line + strlen(name), " ");
    }
    return NULL;
}

static inline size_t content_length(const struct message *message) {
    const char *value = header(message, "content-length:");
    return value ? (size_t)atol(value) : 0;
}

// Whether the client wants the connection closed after the answer.
static inline int is_last(const struct message *message) {
    const char *value = header(message, "connection:");
    return value && strncasecmp(value, "close", 5) == 0;
}

// Reads one message with a content-length body (or none). Returns 0 when the peer closed.
static inline int receive(int fd, struct message *message) {
    message->size = message->head = 0;
    while (message->head == 0 || message->size < message->head + content_length(message)) {
        ssize_t got = recv(fd, message->bytes + message->size, MESSAGE_LIMIT - message->size, 0);
        if (got <= 0) return 0;
        message->size += (size_t)got;
        message->bytes[message->size] = 0;
        char *end = strstr(message->bytes, "\r\n\r\n");
        if (end && message->head == 0) message->head = (size_t)(end + 4 - message->bytes);
    }
    return 1;
}

static inline void respond(int fd, const char *body) {
    char out[2 * MESSAGE_LIMIT];
    int size = snprintf(out, sizeof out,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(body), body);
    send_all(fd, out, (size_t)size);
}

static inline int listening(const char *port) {
    struct sockaddr_in address = loopback(port);
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 64)) {
        perror("listen");
        exit(1);
    }
    return listener;
}

static inline int connected(const char *port) {
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        exit(1);
    }
    return fd;
}

// Accepts for ever; each connection is served by its own thread, which gets the descriptor as its argument.
static inline void serve(const char *port, void *(*connection)(void *)) {
    int listener = listening(port);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, connection, (void *)(intptr_t)fd)) {
            perror("accept");
            exit(1);
        }
        pthread_detach(thread);
    }
}

#endif
