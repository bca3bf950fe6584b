/* Which message a System V receiver wants. */
#ifndef MQXI_CHOOSE_H
#define MQXI_CHOOSE_H

#include "index.h"

enum mqxi_mode {
    MQXI_ANY,
    MQXI_EQUAL,  /* of this type */
    MQXI_OTHER,  /* of any other */
    MQXI_LOWEST, /* the lowest type that is at most this */
};

struct mqxi_choice {
    enum mqxi_mode mode;
    int64_t type;
    uint32_t longest; /* bytes that it may have */
    bool fault;       /* there is nowhere to put it */
};

/*
 * The first message that is chosen, though it may be gone when it is to be claimed.
 * first: on entry the first of all.  -EAGAIN: there is none, and *seen is what recv_event
 * showed while there was none; -E2BIG: it is longer; -EFAULT: fault.
 */
int mqxi_choose(struct mqxi_queue *q, const struct mqxi_choice *choice, struct mqxi_first *first,
                uint32_t *seen);

/*
 * Copy the message that is number n, from 0 on, in the order in which they were sent; room:
 * bytes at `to`.  Returns its length; -EAGAIN: there are not so many; -E2BIG: longer than room.
 */
struct mqxi_copy {
    int64_t type;
    uint32_t len;
};
int mqxi_choose_copy(struct mqxi_queue *q, uint64_t n, void *to, uint32_t room,
                     struct mqxi_copy *out);

#endif
