// Reads COUNT bytes from one descriptor, each by a call of its own. Usage: reads COUNT FILE|pipe (one it fills itself).

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char zeros[65536];

// A pipe's reading end with `size` bytes in it.
static int filled_pipe(long size) {
    int ends[2];
    if (pipe(ends) || write(ends[1], zeros, (size_t)size) != size) exit(3);
    return ends[0];
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    long size = atol(arguments[1]);
    int descriptor = strcmp(arguments[2], "pipe") ? open(arguments[2], O_RDONLY) : filled_pipe(size);
    for (long left = size; left > 0; left--) {
        char byte;
        if (read(descriptor, &byte, 1) != 1) return 4;
    }
    return 0;
}
