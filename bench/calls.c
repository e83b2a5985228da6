// Makes the same calls over and over, so that the instructions each takes can be counted.
// Usage: calls boring|serve|call COUNT. `serve` and `call` exchange a request and its response with a child.

#include "../tests/targets/wire.h"

#include <fcntl.h>
#include <sys/wait.h>

static const char request[] = "GET /work?id=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: calls/1.0\r\n"
                              "Accept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                               "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: calls\r\n\r\n{}";

static void must(ssize_t result) {
    if (result <= 0) {
        perror("calls");
        exit(1);
    }
}

// A message always comes in one piece: it is small, and the next one waits for its answer.
static void serve_requests(int fd, long count) {
    char buffer[4096];
    while (count--) {
        must(read(fd, buffer, sizeof buffer));
        must(write(fd, response, sizeof response - 1));
    }
}

static void make_requests(int fd, long count) {
    char buffer[4096];
    while (count--) {
        must(write(fd, request, sizeof request - 1));
        must(read(fd, buffer, sizeof buffer));
    }
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    long times = atol(arguments[2]);
    if (!strcmp(arguments[1], "boring")) {
        int fd = open("/dev/null", O_WRONLY);
        while (times--) must(write(fd, request, 1));
        return 0;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), serves = !strcmp(arguments[1], "serve");
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1)) return 1;
    if (getsockname(listener, (struct sockaddr *)&address, &size)) return 1;
    pid_t child = fork();
    if ((child == 0) == serves) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address)) return 1;
        make_requests(fd, times);
    } else {
        serve_requests(accept(listener, NULL, NULL), times);
    }
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    return 0;
}
