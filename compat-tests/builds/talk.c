/* Sends its second argument to the queue that the first names, which it creates, and takes it back;
 * leaves it there again.  Compiled in many ways: as C and as C++, by the system's <mqueue.h> and by
 * ours. */
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int failed(const char *what)
{
    perror(what);
    return 1;
}

int main(int argc, char **argv)
{
    struct timespec past;
    struct mq_attr attr;
    char text[64];
    unsigned prio = 0;
    mqd_t q, again;
    int flags = argc > 3 ? O_RDWR | O_CREAT : O_RDWR; /* not known to the compiler */

    if (argc < 3)
        return 2;
    memset(&past, 0, sizeof(past));
    memset(&attr, 0, sizeof(attr));
    attr.mq_maxmsg = 4;
    attr.mq_msgsize = sizeof(text);
    mq_unlink(argv[1]);
    q = mq_open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
    if (q == (mqd_t)-1)
        return failed("mq_open, to create");
    again = mq_open(argv[1], flags);
    if (again == (mqd_t)-1)
        return failed("mq_open");
    if (mq_send(q, argv[2], strlen(argv[2]), 7) != 0 || mq_getattr(q, &attr) != 0)
        return failed("mq_send, mq_getattr");
    if (attr.mq_curmsgs != 1 || attr.mq_maxmsg != 4)
        return failed("attributes");
    if (mq_timedreceive(again, text, sizeof(text), &prio, &past) != (ssize_t)strlen(argv[2]) ||
        prio != 7 || memcmp(text, argv[2], strlen(argv[2])) != 0)
        return failed("mq_timedreceive");
    if (mq_timedsend(again, text, strlen(argv[2]), prio, &past) != 0)
        return failed("mq_timedsend");
    return mq_close(q) || mq_close(again);
}
