/* Which message a receiver wants: one of a System V type, or one of a priority. */
#ifndef MQXI_CHOOSE_H
#define MQXI_CHOOSE_H

#include "index.h"

enum mqxi_mode {
    MQXI_ANY,
    MQXI_EQUAL,   /* of this type */
    MQXI_OTHER,   /* of any other */
    MQXI_LOWEST,  /* the lowest type that is at most this */
    MQXI_BETWEEN, /* a key in a range, such as those of a priority */
};

struct mqxi_choice {
    enum mqxi_mode mode;
    int64_t type;
    uint32_t longest;  /* bytes that it may have */
    bool fault;        /* there is nowhere to put it */
    uint64_t from, to; /* MQXI_BETWEEN: both included */
};

static inline bool mqxi_choice_wants(const struct mqxi_choice *c, int64_t type)
{
    switch (c->mode) {
    case MQXI_EQUAL:
        return type == c->type;
    case MQXI_OTHER:
        return type != c->type;
    case MQXI_LOWEST:
        return type <= c->type;
    default:
        return true;
    }
}

/* Is the first of all what is wanted?  Of several types, only the lowest that can be. */
static inline bool mqxi_choice_is_first(const struct mqxi_queue *q, const struct mqxi_choice *c,
                                        const struct mqxi_first *first)
{
    int64_t type;

    if (c->mode == MQXI_BETWEEN) /* of queues without types, too */
        return first->key >= c->from && first->key <= c->to;
    type = mqxi_slot_see(mqxi_slot_type(q, first->slot));
    return c->mode == MQXI_LOWEST ? type == 1 : mqxi_choice_wants(c, type);
}

/*
 * The first message that is chosen, though it may be gone when it is to be claimed.
 * first: on entry the first of all.  -EAGAIN: there is none, and *seen is what recv_event
 * showed while there was none; -E2BIG: it is longer; -EFAULT: fault.
 */
int mqxi_choose_slowly(struct mqxi_queue *q, const struct mqxi_choice *choice,
                       struct mqxi_first *first, uint32_t *seen);
static inline int mqxi_choose(struct mqxi_queue *q, const struct mqxi_choice *choice,
                              struct mqxi_first *first, uint32_t *seen)
{
    if (__builtin_expect(!choice->fault && mqxi_choice_is_first(q, choice, first) &&
                             mqxi_slot_see(&mqxi_slot(q, first->slot)->len) <= choice->longest,
                         1))
        return 0;
    return mqxi_choose_slowly(q, choice, first, seen);
}

/* The first message of those, whatever its length: a hint.  -EAGAIN: there is none. */
int mqxi_choose_key(struct mqxi_queue *q, const struct mqxi_choice *choice,
                    struct mqxi_first *first);

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
