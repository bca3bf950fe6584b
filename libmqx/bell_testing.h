/* What the tests of the bell share. */
#ifndef MQXI_BELL_TESTING_H
#define MQXI_BELL_TESTING_H

#include "bell.h"

#include <fcntl.h>
#include <poll.h>

#include "engine.h"
#include "testing.h"

#define SEND    MQXI_CAN_SEND
#define RECEIVE MQXI_CAN_RECEIVE
#define BOTH    (SEND | RECEIVE)

static inline void put(struct mqxi_queue *q)
{
    IS(mqxi_put(q, "x", 1, 0, 0, NULL, NULL), 0);
}

static inline void take(struct mqxi_queue *q)
{
    struct mqxi_taken taken;

    IS(mqxi_take(q, &taken), 0);
    IS(mqxi_take_commit(q, &taken), 0);
}

static inline void fill(struct mqxi_queue *q)
{
    while (mqxi_put(q, "x", 1, 0, 0, NULL, NULL) == 0)
        ;
}

/* A descriptor of the FIFO, as a program's. */
static inline int open_fifo(struct mqxi_queue *q)
{
    char path[PATH_MAX];
    int fd;

    IS(mqxi_segment_fifo(q, path), 0);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static inline unsigned shows(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};

    CHECK(ppoll(&p, 1, &(struct timespec){0}, NULL) >= 0);
    return (p.revents & POLLIN ? RECEIVE : 0) | (p.revents & POLLOUT ? SEND : 0);
}

/* Somebody will poll, and until the next arm() no time goes by: a busy machine takes its time. */
static inline void arm(struct mqxi_queue *q)
{
    IS(mqxi_bell_arm(q), 0);
    CHECK(atomic_load(&q->header->watched) != 0);
    atomic_store(&q->header->watched, UINT32_MAX - 1);
}

#endif
