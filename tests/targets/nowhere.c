// Makes calls whose arguments lead nowhere or are beyond all bounds, and says what each answers: on a TCP connection to
// itself, of which an engine looks at what is sent and received.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SAY(call)                                                                                                           \
    do {                                                                                                                    \
        errno = 0;                                                                                                          \
        long result = (long)(call);                                                                                         \
        printf("%s: %ld, errno %d\n", #call, result, errno);                                                                \
    } while (0)

static int connected(int *other) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0), own = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listening, (struct sockaddr *)&address, size) || listen(listening, 1))
        exit(1);
    getsockname(listening, (struct sockaddr *)&address, &size);
    if (connect(own, (struct sockaddr *)&address, size))
        exit(1);
    *other = accept(listening, NULL, NULL);
    close(listening);
    return own;
}

static volatile int negative = -1, excessive = 5000; // the compiler knows better

static void transfers(int own, void *nowhere) {
    struct iovec many[3] = {{"a", 1}, {"b", (size_t)-1}, {NULL, 0}}, hole[2] = {{"", 0}, {nowhere, 9}};
    struct msghdr message = {.msg_iov = hole, .msg_iovlen = 2};
    SAY(write(own, nowhere, 5));
    SAY(send(own, nowhere, 5, MSG_NOSIGNAL));
    SAY(sendto(own, nowhere, 5, 0, NULL, 0));
    SAY(writev(own, nowhere, 2));
    SAY(writev(own, hole, 2));
    SAY(writev(own, many, 3));
    SAY(writev(own, many, negative));
    SAY(writev(own, many, excessive));
    SAY(sendmsg(own, nowhere, 0));
    SAY(sendmsg(own, &message, 0));
    SAY(sendmmsg(own, nowhere, 1, 0));
    message.msg_iov = nowhere;
    SAY(sendmsg(own, &message, 0));
    SAY(recvmsg(own, nowhere, MSG_DONTWAIT));
    SAY(recvmsg(own, &message, MSG_DONTWAIT));
    SAY(readv(own, many, negative));
    SAY(recv(own, nowhere, 9, MSG_DONTWAIT));
    SAY(connect(own, nowhere, 16));
    SAY(getsockopt(own, SOL_SOCKET, SO_ERROR, nowhere, (void *)16));
    SAY(accept(own, nowhere, nowhere));
}

// What could be read when it was sent first can't be when it is sent again.
static void taken_away(int own, int other, int protect) {
    char bytes[64], *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    memcpy(memory + 4096, "GET / HTTP/1.1\r\n", 16);
    SAY(send(own, memory + 4096, 16, 0));
    SAY(recv(other, bytes, sizeof bytes, 0));
    SAY(protect ? mprotect(memory, 8192, PROT_NONE) : munmap(memory, 8192));
    SAY(send(own, memory + 4096, 16, MSG_NOSIGNAL));
}

static void others(void *nowhere) {
    char *strings[] = {nowhere, NULL};
    SAY(prctl(PR_SET_NAME, nowhere));
    SAY(syscall(SYS_prctl, PR_SET_NAME, nowhere));
#ifdef SYS_clone3
    SAY(syscall(SYS_clone3, nowhere, 64L));
#endif
    if (!nowhere) return; // no environment is a good one
    SAY(execve(nowhere, strings + 1, strings + 1));
    SAY(execve("/bin/true", strings + 1, nowhere));
    SAY(execve("/bin/true", strings + 1, strings));
    SAY(syscall(SYS_execve, "/bin/true", strings + 1, nowhere));
}

static void streams(void) {
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    fputs("text", stream);
    SAY(fclose(stream)); // has no descriptor
    free(text);
}

int main(void) {
    int other, own = connected(&other);
    void *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *places[] = {NULL, (void *)8, nowhere};
    char bytes[64] = "";
    setbuf(stdout, NULL);
    if (own < 0 || other < 0 || nowhere == MAP_FAILED)
        return 1;
    for (int i = 0; i < 3; i++)
        transfers(own, places[i]);
    for (int i = 0; i < 3; i++)
        others(places[i]);
    streams();
    int more, further = connected(&more);
    taken_away(further, more, 0);
    taken_away(further, more, 1);
    SAY(recv(other, bytes, sizeof bytes, MSG_DONTWAIT)); // nothing but what was to be sent
    printf("%s\n", bytes);
    return 0;
}
