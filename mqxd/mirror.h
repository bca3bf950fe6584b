/* The queues that mqxd mirrors, and the commits that carry their changes into the store. */
#ifndef MQXD_MIRROR_H
#define MQXD_MIRROR_H

#include "counters.h"
#include "quota.h"
#include "store.h"

/* A queue that is mirrored. */
struct attached {
    struct mqxi_queue *q;
    struct store_queue record; /* the queue as the store has it */
    uint32_t mode;             /* the one that record gets with the commit being made */
    uint64_t *keys;            /* for each slot, the message that the store has for it; 0: none */
    struct quotas *all;
    struct quota quota;
    bool encrypt;       /* its messages, in the store */
    uint64_t first;     /* the last sequence that was sent before we were there; */
    uint64_t sequence;  /* and when it was last looked at: counters.h */
    uint64_t due;       /* when its changes are to be committed; 0: it has none */
    uint64_t leaving;   /* when to look for receivers that died while they left; 0: none leaves */
    uint32_t word;      /* of marks, at which the last collection ended */
    bool seen;          /* discover.c: it still has its name */
    const char *broken; /* why it cannot be mirrored any longer, else NULL */
};

struct mirror {
    struct store *store;
    struct mqxi_conf *conf; /* policies.c: the configuration in force */
    struct keys *keys;      /* policies.c: for messages in the store, or NULL */
    bool encrypts;          /* ... of some queue */
    uint64_t window_ns;     /* how long changes of async queues may wait */
    struct attached **queues;
    size_t count, room;
    uint8_t *buffer; /* for one message */
    size_t buffer_size;
    struct change *changes; /* of the commit being made */
    size_t change_count;
    size_t turn; /* whose turn it is to be looked at first */
    struct quotas quotas;
    struct counters counters;
    bool leaving; /* somebody is: mirror_look is to be called each second */
    bool unrung;  /* users of some queue may be unable to ring: it is to be looked at each second */
    bool full;    /* the disk is: senders wait */
    bool freed;   /* something was removed from the store, and a turn makes that room for others */
    bool turned;  /* ... and did, after the last commit, which failed for want of room */
};

/* CLOCK_MONOTONIC */
uint64_t mirror_now(void);

/* Mirror q (takes it over, also when it fails); record is in the store already.  -ENOMEM; those of
 * store.h. */
int mirror_add(struct mirror *m, struct mqxi_queue *q, const struct store_queue *record);
/* Do not mirror it any longer; the store keeps what it has. */
void mirror_remove(struct mirror *m, struct attached *a);
void mirror_free(struct mirror *m);

/* Look after those whose messages left the store for them (leaving.c), where that is due. */
void mirror_look(struct mirror *m, uint64_t now);
/* When the next commit is due; 0: nothing has changed. */
uint64_t mirror_due(struct mirror *m, uint64_t now);
/* Commit what is due at `now` (UINT64_MAX: everything).  1: something was written.  -ENOSPC: the
 * disk is full, removals are committed, the rest is to be tried again; any other error is for good.
 */
int mirror_commit(struct mirror *m, uint64_t now);
/* Tell senders that the disk is full, or is not any longer. */
void mirror_full(struct mirror *m, bool full);
/* Nothing will be committed any more: tell who waits. */
void mirror_refuse(struct mirror *m);

#endif
