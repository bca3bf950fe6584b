/* What the parts of the checker share: a history in the order of time. */
#ifndef LINEAR_REPLAY_H
#define LINEAR_REPLAY_H

#include "check.h"

#define LINEAR_NONE UINT32_MAX

/* Something begins or ends.  Times below are numbers of events: time n is between events n and
 * n + 1. */
struct linear_event {
    uint64_t tick;
    uint32_t op;
    bool end;
};

enum linear_state { LINEAR_UNSENT, LINEAR_PENDING, LINEAR_THERE, LINEAR_HIDDEN, LINEAR_GONE };

struct linear_message {
    uint32_t send, receive; /* ops; receive may be LINEAR_NONE */
    uint32_t prio;
    bool late; /* tried: it is not handed over, though it could be */
    /* While it is replayed. */
    enum linear_state state;
    bool has_slot;            /* the steps say so */
    bool may, could_be; /* be handed over, now; ever */
    uint32_t begin, there_from, hider;
};

/* What happened to a message, in this order. */
enum linear_what {
    LINEAR_COMES,  /* it is there, or at least has a slot */
    LINEAR_GOES,   /* it is taken, by this op */
    LINEAR_MAY,    /* it can be handed over */
    LINEAR_MAYNOT, /* it cannot any more */
    LINEAR_HANDED  /* it was, at one of these moments, to this op */
};

struct linear_step {
    uint32_t time, message;
    uint32_t op;
    enum linear_what what;
};

struct linear_replay {
    const struct linear_history *h;
    struct linear_event *events;
    uint32_t event_count;
    struct linear_message *messages;
    uint32_t message_count;
    uint32_t *message_of; /* sent or received by each op; else LINEAR_NONE */
    uint32_t *took;       /* by a killed receive, as is tried, and not consumed; else LINEAR_NONE */
    uint32_t *begins, *ends;
    /* Found by linear_order. */
    struct linear_step *steps;
    uint32_t step_count, step_room;
    uint32_t *suspects; /* messages that were there during a call; found by linear_suspects */
    uint32_t suspect_count;
};

/* Does this time go on until after this tick? */
static inline bool linear_reaches(const struct linear_replay *r, uint32_t time, uint64_t tick)
{
    return time + 1 == r->event_count || r->events[time + 1].tick > tick;
}

/* Has this call, before its answer, repaired what a killed one had left? */
static inline bool linear_repaired(const struct linear_history *h, const struct linear_op *refused,
                                   const struct linear_op *killed, bool lazy)
{
    return (h->mended && refused->begin >= h->mended) || (!lazy && refused->begin > killed->end);
}

/* Messages: order, and "empty". */
struct linear_verdict linear_order(struct linear_replay *r);
/* Which messages were there during a call, and may have been in its way? */
void linear_suspects(struct linear_replay *r, uint32_t op);
/* Slots: "full", and never too many.  After linear_order. */
struct linear_verdict linear_room(const struct linear_replay *r);

#endif
