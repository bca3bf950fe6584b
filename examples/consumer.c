/*
 * Receives messages and prints them.  An ordinary program with POSIX message
 * queues: it knows nothing of mqx.
 *
 *     consumer /QUEUE COUNT
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct mq_attr attr;
    char *text;
    mqd_t mq;

    if (argc != 3) {
        fprintf(stderr, "usage: consumer /QUEUE COUNT\n");
        return 2;
    }
    mq = mq_open(argv[1], O_RDONLY | O_CREAT, 0600, NULL);
    if (mq == (mqd_t)-1 || mq_getattr(mq, &attr) < 0) {
        fprintf(stderr, "consumer: cannot open the queue %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    text = malloc((size_t)attr.mq_msgsize);
    if (!text) {
        fprintf(stderr, "consumer: no memory for a message of %ld bytes\n", attr.mq_msgsize);
        return 1;
    }
    for (int left = atoi(argv[2]); left > 0; left--) {
        unsigned priority;
        ssize_t len = mq_receive(mq, text, (size_t)attr.mq_msgsize, &priority);

        if (len < 0) {
            fprintf(stderr, "consumer: cannot receive from %s: %s\n", argv[1], strerror(errno));
            return 1;
        }
        /* A line that a shell sent brings its own end. */
        if (len > 0 && text[len - 1] == '\n')
            len--;
        printf("received with priority %2u: %.*s\n", priority, (int)len, text);
        fflush(stdout);
    }
    free(text);
    return mq_close(mq) < 0;
}
