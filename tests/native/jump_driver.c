/* A consumer that takes records, and is killed while it lets the ring jump: jump_driver before|after, the move of the head.
 * RING in the environment is the memory's descriptor. What it has taken goes to stdout; it ends with 3 where `LOOKS` drains
 * came to no jump.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring.h"

#define LOOKS 1000

static bool moves;
static u8 out[1 << 15];

/* The records at `out`, up to zeros; then all is zeros. */
static void tell(void) {
    size_t size = 0;
    while (((struct record *)(out + size))->size)
        size += ((struct record *)(out + size))->size;
    if (write(1, out, size) != (ssize_t)size)
        exit(2);
    memset(out, 0, size);
}

static bool killed(bool moved) {
    tell();
    raise(SIGKILL);
    return moved;
}

/* The reader has one of these, in jump(). A macro's name within its own text means what it meant before. */
#define __atomic_compare_exchange_n(...) killed(moves && __atomic_compare_exchange_n(__VA_ARGS__))
#include "../../rbinder/agent/src/reader.c"

int main(int count, char **words) {
    struct stat status;
    int descriptor = atoi(getenv("RING"));
    if (count != 2 || fstat(descriptor, &status) < 0)
        return 2;
    moves = !strcmp(words[1], "after");
    struct reader reader = {.shared = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)};
    for (int look = 0; look < LOOKS; look++, sched_yield()) {
        reader_drain(&reader, out, sizeof out / 2, raw_now(), 60000000000u);
        tell();
    }
    return 3;
}
