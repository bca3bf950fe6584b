/* A library that uses queues before and after main, from its constructor and its destructor. */
#include <fcntl.h>
#include <mqueue.h>
#include <stddef.h>
#include <stdlib.h>

static mqd_t queue = (mqd_t)-1;

__attribute__((constructor(101))) static void early(void)
{
    queue = mq_open("/early", O_RDWR | O_CREAT, 0600, NULL);
    if (queue == (mqd_t)-1 || mq_send(queue, "early", 5, 0) != 0)
        abort();
}

__attribute__((destructor(101))) static void late(void)
{
    if (mq_send(queue, "late", 4, 0) != 0)
        abort();
}
