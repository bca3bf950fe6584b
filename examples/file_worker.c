/*
 * A worker on a queue's file in an mqxfs mount, with nothing but open, read and
 * close: linked statically, it runs where there is no library at all.  It takes
 * one message after the other until it is told to stop.  Start as many as you
 * like: each job goes to one of them.
 *
 *     file_worker /mnt/mqueue/jobs
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char job[1 << 20]; /* the largest message */

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: file_worker FILE\n");
        return 2;
    }
    for (;;) {
        int fd = open(argv[1], O_RDONLY);
        ssize_t n = fd < 0 ? -1 : read(fd, job, sizeof(job)); /* waits for a message */

        if (n < 0) {
            perror(argv[1]);
            return 1;
        }
        close(fd);
        if (n == 4 && memcmp(job, "stop", 4) == 0)
            return 0;
        printf("worker: doing %.*s\n", (int)n, job);
        fflush(stdout);
    }
}
