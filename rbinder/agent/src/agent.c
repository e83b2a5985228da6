/* The start: finds the shared memory that the environment tells of, and makes room for the state. Whatever goes wrong here
 * switches the agent off, and every call goes through as it is.
 */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "exec.h"
#include "hooks.h"
#include "node.h"
#include "process.h"
#include "report.h"
#include "ring.h"
#include "sockets.h"
#include "text.h"

#define KEEPER_PATIENCE 200000 /* µs that the keeper's answer is waited for */
#define PAGE 65536u            /* the largest there is */
#define DESCRIPTOR_TEXT 64u

struct agent agent;
_Thread_local struct self self;

static long map(long address, u64 size, long protection, long flags, long fd) {
    return raw_call(__NR_mmap, address, (long)size, protection, flags, fd, 0);
}

static bool failed(long result) {
    return (unsigned long)result >= -4095ul;
}

/* -- the shared memory */

/* The keeper's descriptor, where we may open it: not after the program has changed its user. */
static long open_keepers(const struct carried *carried) {
    char path[DESCRIPTOR_TEXT], *at = append_text(path, "/proc/");
    at = append_number(at, carried->keeper);
    at = append_text(at, "/fd/");
    *append_number(at, carried->fd) = 0;
    return raw_call(__NR_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0, 0, 0);
}

static long receive_descriptor(long socket) {
    union {
        struct cmsghdr header;
        u8 room[CMSG_SPACE(sizeof(int))];
    } control;
    u8 byte;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    if (raw_call(__NR_recvmsg, socket, (long)&message, MSG_CMSG_CLOEXEC, 0, 0, 0) < 0 ||
        message.msg_controllen < CMSG_LEN(sizeof(int)) || control.header.cmsg_type != SCM_RIGHTS)
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
    return fd;
}

/* It gives a copy to those that descend from it, at "\0rbinder-<token>". */
static long ask_keeper(const struct carried *carried) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char *at = append_text(address.sun_path + 1, "rbinder-");
    write_hex((u8 *)at, carried->token, sizeof carried->token);
    u32 size = (u32)(at + 2 * sizeof carried->token - (char *)&address);
    long socket = raw_call(__NR_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, 0, 0, 0), fd = -1;
    if (socket < 0)
        return -1;
    long patience[2] = {0, KEEPER_PATIENCE};
    raw_call(__NR_setsockopt, socket, SOL_SOCKET, SO_RCVTIMEO, (long)patience, sizeof patience, 0);
    raw_call(__NR_setsockopt, socket, SOL_SOCKET, SO_SNDTIMEO, (long)patience, sizeof patience, 0);
    if (raw_call(__NR_connect, socket, (long)&address, size, 0, 0, 0) == 0)
        fd = receive_descriptor(socket);
    raw_call(__NR_close, socket, 0, 0, 0, 0, 0);
    return fd;
}

/* Its first 64 bytes have the same meaning in all versions. */
static bool is_for_us(struct shared *shared, u64 size, const struct carried *carried) {
    if (shared->magic != SHARED_MAGIC || memcmp(shared->token, carried->token, sizeof shared->token) != 0)
        return false;
    if (shared->version != SHARED_VERSION || shared->record_version != RECORD_VERSION) {
        __atomic_fetch_add(&shared->refused, 1, __ATOMIC_RELAXED);
        return false;
    }
    u64 capacity = shared->capacity;
    return capacity && !(capacity & (capacity - 1)) && shared->size == size && size - SHARED_HEADER == capacity;
}

static struct shared *map_shared(long fd, const struct carried *carried) {
    struct stat status;
    if (raw_call(__NR_fstat, fd, (long)&status, 0, 0, 0, 0) != 0 || (u64)status.st_size <= SHARED_HEADER)
        return NULL;
    u64 size = (u64)status.st_size;
    long address = map(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    if (failed(address))
        return NULL;
    if (is_for_us((struct shared *)address, size, carried))
        return (struct shared *)address;
    raw_call(__NR_munmap, address, (long)size, 0, 0, 0, 0);
    return NULL;
}

static struct shared *find_shared(const struct carried *carried) {
    long fd = open_keepers(carried);
    struct shared *shared = fd >= 0 ? map_shared(fd, carried) : NULL;
    if (fd >= 0)
        raw_call(__NR_close, fd, 0, 0, 0, 0, 0);
    if (shared)
        return shared;
    fd = ask_keeper(carried);
    shared = fd >= 0 ? map_shared(fd, carried) : NULL;
    if (fd >= 0)
        raw_call(__NR_close, fd, 0, 0, 0, 0, 0);
    return shared;
}

/* -- the state */

static void seed(void) {
    u64 bytes[4] = {0};
    if (raw_call(__NR_getrandom, (long)bytes, sizeof bytes, GRND_NONBLOCK, 0, 0, 0) != sizeof bytes) {
        bytes[0] ^= monotonic(); /* an early boot, an old kernel: better than none */
        bytes[1] ^= (u64)agent.pid << 32 ^ (u64)(uintptr_t)&bytes;
    }
    random_seed(&agent.random, (const u8 *)bytes);
}

void reseed(void) {
    seed();
}

#define TABLE_SIZE (DESCRIPTORS * sizeof(u64))

/* Where nothing is written there is no memory. Layout: a page that children don't get, the table, the image, the pools. */
static bool make_state(void) {
    u64 size = PAGE + TABLE_SIZE + IMAGE_ROOM + pools_size();
    long address = map(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (failed(address))
        return false;
    raw_call(__NR_madvise, address, PAGE, MADV_WIPEONFORK, 0, 0, 0); /* Linux 4.14; else forks.c alone tells of forks */
    raw_call(__NR_madvise, address, (long)size, MADV_NOHUGEPAGE, 0, 0, 0);
    u8 *at = (u8 *)address;
    u8 *image = at + PAGE + TABLE_SIZE;
    if (agent.image)
        memcpy(image, agent.image, agent.image_size);
    agent.process = (u64 *)at;
    agent.image = image;
    agent.era++;
    agent.highest = 0;
    pools_init(image + IMAGE_ROOM);
    failures_forget();
    agent.group = group_take();
    group_init(agent.group);
    *agent.process = agent.pid;
    __atomic_store_n(&agent.table, (u64 *)(at + PAGE), __ATOMIC_RELEASE);
    return true;
}

bool renew_state(void) {
    bool migrates = agent.group->migrates;
    if (agent.era >= MOST_ERAS || !make_state())
        return false;
    agent.group->migrates = migrates;
    return true;
}

void switch_off(void) {
    __atomic_store_n(&agent.covered, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&agent.status, OFF, __ATOMIC_RELEASE);
}

static void settings(const struct shared *shared) {
    agent.runtime_hooks = shared->runtime_hooks;
    agent.propagation = (struct propagation){
        .propagators = shared->propagators,
        .sampler = {.bound = shared->sampler_bound, .all = shared->sampler & SAMPLE_ALL, .parent_based = shared->sampler & PARENT_BASED},
        .random = &agent.random,
    };
}

static void put_note(struct bytes text) {
    struct record record = {.kind = NOTE, .time = monotonic(), .pid = reporter.pid, .tid = self.tid};
    struct iovec piece = {(void *)(uintptr_t)text.at, text.size};
    ring_put(agent.shared, &record, &piece, 1);
}

void note(struct bytes text) {
    if (started())
        put_note(text);
}

void give_up(void) {
    note(BYTES("a process was interrupted inside the agent too often: it is not traced any more"));
    switch_off();
}

static bool begin(void) {
    struct carried carried;
    if (!environment_start(&carried))
        return false;
    agent.pid = (u32)raw_call(__NR_getpid, 0, 0, 0, 0, 0, 0);
    agent.parent = (u32)raw_call(__NR_getppid, 0, 0, 0, 0, 0, 0);
    struct shared *shared = find_shared(&carried);
    if (!shared || shared->detached)
        return false;
    agent.shared = shared;
    agent.frame = ~(uintptr_t)0;
    reporter = (struct reporter){shared, agent.pid, 0};
    if (!make_state()) {
        put_note(BYTES("a program has no room for the agent's tables (RLIMIT_AS): it runs untraced"));
        reporter.shared = agent.shared = NULL;
        raw_call(__NR_munmap, (long)shared, (long)shared->size, 0, 0, 0, 0);
        return false;
    }
    settings(shared);
    seed();
    reporter.pid = process_number(false);
    if (reporter.pid >= MADE_UP)
        agent.parent = 0;
    image_remember();
    if (agent.runtime_hooks)
        node_start(carried.library);
    return true;
}

void start(void) {
    u32 new = NEW;
    if (!__atomic_compare_exchange_n(&agent.status, &new, STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return; /* meanwhile calls go through */
    next_prepare();
    if (!begin()) {
        switch_off();
        return;
    }
    __atomic_store_n(&agent.status, ACTIVE, __ATOMIC_RELEASE);
    __atomic_store_n(&agent.covered, DESCRIPTORS, __ATOMIC_RELEASE);
}

__attribute__((constructor)) static void constructor(void) {
    started();
}
