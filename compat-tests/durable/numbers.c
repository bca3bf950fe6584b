/*
 * Sends increasing numbers to a queue, as fast as it takes them, until it is killed,
 * and receives again what is more than some hundreds behind: so at any time there
 * is a row of numbers without a gap, whose end is known.
 *
 *     numbers /QUEUE FILE KEEP MOST
 *
 * FILE has two numbers, of 8 bytes: of the last message whose send returned, and of
 * the last that a receive was begun for.  Messages are text: the number, and then up
 * to MOST bytes of anything.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static volatile uint64_t *map(const char *file)
{
    int fd = open(file, O_RDWR | O_CREAT, 0600);
    void *p;

    if (fd < 0 || ftruncate(fd, 4096) < 0)
        return NULL;
    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

int main(int argc, char **argv)
{
    static char text[1 << 20];
    volatile uint64_t *told;
    struct mq_attr attr;
    uint64_t keep, most;
    mqd_t mq;

    if (argc != 5) {
        fprintf(stderr, "usage: numbers /QUEUE FILE KEEP MOST\n");
        return 2;
    }
    keep = strtoull(argv[3], NULL, 10);
    most = strtoull(argv[4], NULL, 10);
    told = map(argv[2]);
    if (!told)
        return fail(argv[2]);
    mq = mq_open(argv[1], O_RDWR);
    if (mq == (mqd_t)-1 || mq_getattr(mq, &attr) < 0)
        return fail(argv[1]);
    for (uint64_t n = told[0] + 1;; n++) {
        size_t len = 21 + n * 7919 % (most + 1);

        memset(text, 'x', len);
        text[snprintf(text, 21, "%llu", (unsigned long long)n)] = ' ';
        if (mq_send(mq, text, len, 0) < 0)
            return fail("send");
        told[0] = n;
        if (n <= keep)
            continue;
        told[1] = n - keep;
        if (mq_receive(mq, text, (size_t)attr.mq_msgsize, NULL) < 0)
            return fail("receive");
        if (strtoull(text, NULL, 10) != n - keep)
            return fail("another number was received");
    }
}
