/*
 * Can one bounded priority queue, which does one thing at a time, have given
 * these answers?  Decided exactly, for histories of many thousand calls.
 *
 * What the queue does happens at moments of its own choice within the calls:
 *
 *   a send         takes a slot; later the message is there
 *   a receive      takes the first message that is there: the highest priority,
 *                  of equal ones the one sent first; later its slot is free
 *   EAGAIN and     at one moment of the call (ETIMEDOUT: at or after the
 *   ETIMEDOUT      deadline) there was no message; or all slots were taken
 *   EINTR          did nothing
 *   a killed call  happened, or not, or as far as the slot: a killed sender's is
 *                  free again, and a killed receiver's message back in its old
 *                  place, once somebody repaired the queue.  That can be before
 *                  the call's end here, which is when the death was known
 *
 * Which of two sends came first is theirs to choose as well, while they overlap.
 *
 * In one thing this is weaker than the kernel's queue, which has taken the slot
 * and shown the message in the same moment: a queue may be full and empty at
 * once, while calls are under way that hold its slots.  A sender that is stopped
 * or killed in the middle has a slot and no message yet, and nobody can tell
 * whether it ever will; the same for a receiver that copies.  Waiting for them is
 * the only other answer.  In all else, what is accepted here is linearizable.
 */
#ifndef LINEAR_CHECK_H
#define LINEAR_CHECK_H

#include <stdbool.h>
#include <stdint.h>

enum linear_kind { LINEAR_SEND, LINEAR_RECEIVE };

enum linear_result {
    LINEAR_DONE,    /* sent; received */
    LINEAR_REFUSED, /* full; empty */
    LINEAR_NOTHING, /* EINTR */
    LINEAR_KILLED
};

/* A call.  Times are ticks of one clock, no two the same, none of them 0. */
struct linear_op {
    uint64_t begin;
    uint64_t end;     /* of a killed call: when its process was known to be dead */
    uint64_t since;   /* refused: the moment was not before this one */
    uint64_t message; /* which; not 0; a killed or refused receive has none */
    uint32_t prio;
    uint8_t kind, result;
    uint8_t who; /* for the report */
};

/* It ends with an empty queue: what was never received was never there, or somebody killed took it. */
struct linear_history {
    struct linear_op *ops; /* in any order */
    uint32_t count;
    uint32_t maxmsg;
    /* Is what the dead left repaired late, not by every call that is refused?  Queues with a tree. */
    bool lazy;
    /* May one that repairs hold a dead sender's slot for a moment?  Those with overflow as well. */
    bool passes_slots;
    uint64_t mended; /* calls that began at this tick or later found nothing dead left; 0: none */
};

enum linear_fault {
    LINEAR_RIGHT,
    LINEAR_VALUE, /* received what was never sent, or twice, or with another priority */
    LINEAR_ORDER, /* received although another was to be received before it */
    LINEAR_EMPTY, /* no message, said the queue, and always had one */
    LINEAR_FULL,  /* full, said the queue, and always had room */
    LINEAR_ROOM,  /* more messages than there are slots */
    LINEAR_UNDECIDED, /* too many killed calls to try what they may have done */
};

struct linear_verdict {
    enum linear_fault fault;
    uint32_t op; /* which one cannot have been answered so */
};

struct linear_verdict linear_check(const struct linear_history *h);

/* Print the calls. */
void linear_print(const struct linear_history *h);
/* Print a wrong history's verdict and the few calls that it comes from. */
void linear_explain(const struct linear_history *h);

#endif
