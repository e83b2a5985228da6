// For each byte on stdin: writes COUNT bytes to no socket, one by one, and then a byte to stdout. Usage: writes COUNT
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char **arguments) {
    int null = open("/dev/null", O_WRONLY);
    char byte;
    if (count != 2 || null < 0) return 2;
    while (read(0, &byte, 1) == 1) {
        for (int i = atoi(arguments[1]); i > 0; i--)
            if (write(null, &byte, 1) != 1) return 1;
        if (write(1, &byte, 1) != 1) return 1;
    }
    return 0;
}
