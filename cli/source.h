/* A queue of either kind, of one's own or another user's, to take messages from. */
#ifndef MQX_CLI_SOURCE_H
#define MQX_CLI_SOURCE_H

#include <mqueue.h>
#include <stdbool.h>
#include <time.h>

#include "choose.h"
#include "engine.h"

struct source {
    const char *name;
    struct mqxi_queue *q; /* NULL: another user's, by its descriptor */
    mqd_t mq;
    size_t msgsize;
    bool sysv, nonblock;
    struct mqxi_choice choice; /* of a System V queue */
};

/* name: with its slash; type: of a System V queue's messages, 0: any.  0 or -errno. */
int source_open(const char *name, long type, bool nonblock, struct source *s);

/*
 * As mqx_timedreceive, except that the message is not consumed yet: taken and
 * in data (msgsize bytes), and given back by others should this process die.
 * -EAGAIN: nonblock, and there is none; -ETIMEDOUT.
 */
int source_take(const struct source *s, const struct timespec *deadline, char *data,
                struct mqxi_taken *taken);
/* It is about to be consumed: where receivers wait for that, it is gone from the disk; or it is
 * back in its place, -errno. */
int source_leave(const struct source *s, const struct timespec *deadline, bool wait,
                 const struct mqxi_taken *taken);
/* To be called once for each that was taken: it is consumed, or is back in its old place. */
int source_settle(const struct source *s, const struct mqxi_taken *taken, bool consumed);

#endif
