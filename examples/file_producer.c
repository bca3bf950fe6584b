/*
 * Sends each argument to a queue's file in an mqxfs mount, with nothing but open
 * and write.
 *
 *     file_producer /mnt/mqueue/jobs 'make this' 'then that' stop
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int fd = argc > 1 ? open(argv[1], O_WRONLY) : -1;

    if (fd < 0) {
        perror(argc > 1 ? argv[1] : "usage: file_producer FILE [JOB...]");
        return 1;
    }
    for (int i = 2; i < argc; i++)
        if (write(fd, argv[i], strlen(argv[i])) < 0) { /* one is one message; waits for room */
            perror(argv[1]);
            return 1;
        }
    return 0;
}
