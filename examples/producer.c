/*
 * Sends messages with priorities.  An ordinary program with POSIX message
 * queues: it knows nothing of mqx.
 *
 *     producer /QUEUE PRIORITY:TEXT...
 */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    mqd_t mq;

    if (argc < 3) {
        fprintf(stderr, "usage: producer /QUEUE PRIORITY:TEXT...\n");
        return 2;
    }
    mq = mq_open(argv[1], O_WRONLY | O_CREAT, 0600, NULL);
    if (mq == (mqd_t)-1) {
        fprintf(stderr, "producer: cannot open the queue %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        char *text;
        unsigned long priority = strtoul(argv[i], &text, 10);

        if (*text != ':') {
            fprintf(stderr, "producer: '%s' is not PRIORITY:TEXT\n", argv[i]);
            return 2;
        }
        text++;
        if (mq_send(mq, text, strlen(text), (unsigned)priority) < 0) {
            fprintf(stderr, "producer: cannot send to %s: %s\n", argv[1], strerror(errno));
            return 1;
        }
        printf("sent with priority %2lu: %s\n", priority, text);
    }
    return mq_close(mq) < 0;
}
