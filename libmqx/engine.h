/*
 * The engine: put a message into a slot, take the first one out.  Nothing
 * here blocks, takes a lock, or makes a system call on the usual path, and all
 * of it is async-signal-safe.  Callers are inside mqxi_op_enter/leave
 * (thread.h), or are the only users of the queue in their process.
 */
#ifndef MQXI_ENGINE_H
#define MQXI_ENGINE_H

#include "queue.h"

/* A message that was taken and not yet consumed: its slot is ours, state taking. */
struct mqxi_taken {
    uint32_t slot;
    uint32_t len; /* checked: at most msgsize */
    uint32_t prio;
    uint64_t key;
    uint64_t owner; /* who took it: engine's own */
    uint32_t taker; /* the process on whose behalf, for System V's lrpid: this one, or set it */
    uint32_t seen;  /* on -EAGAIN: the counter recv_event while the queue was empty */
    int64_t type;
    uint32_t pid, uid; /* of the sender */
    uint64_t sent_ns;
    const uint8_t *data; /* in the segment; other processes of the queue's user could change it */
};

/* Who sent a message. */
struct mqxi_sender {
    uint32_t pid, uid; /* real user id */
};

/*
 * Put a message.  len must be at most msgsize, prio below MQXI_PRIO_MAX.
 * *slot, *key (both may be NULL) say where it went.
 * -EAGAIN: full; *key then is what the counter send_event showed while it was,
 * to be waited on.  -ENOSPC: no memory for it (tmpfs full).  -EBADMSG: the
 * segment is damaged.  -EIO: it vanished.  Others: no client number.
 */
int mqxi_put(struct mqxi_queue *q, const void *data, uint32_t len, uint32_t prio, int64_t type,
             uint32_t *slot, uint64_t *key);

/* The same on behalf of another process; from NULL: of this one. */
int mqxi_put_from(struct mqxi_queue *q, const struct mqxi_sender *from, const void *data,
                  uint32_t len, uint32_t prio, int64_t type, uint32_t *slot, uint64_t *key);

/* Take the first message: -EAGAIN: empty, and out->seen is what recv_event showed; else as
 * mqxi_put. */
int mqxi_take(struct mqxi_queue *q, struct mqxi_taken *out);
/* Take the first of those that are chosen (choose.h); errors also those of mqxi_choose. */
struct mqxi_choice;
int mqxi_take_chosen(struct mqxi_queue *q, const struct mqxi_choice *choice,
                     struct mqxi_taken *out);
/* It is consumed: free the slot.  -EBADMSG if the slot is no longer ours (damaged segment). */
int mqxi_take_commit(struct mqxi_queue *q, const struct mqxi_taken *taken);
/* The same of one that nobody received. */
int mqxi_take_drop(struct mqxi_queue *q, const struct mqxi_taken *taken);
/* It is not: the message is back in its old place. */
int mqxi_take_abort(struct mqxi_queue *q, const struct mqxi_taken *taken);

/* MQXI_CAN_*, at this moment.  An error of the queue's is something to be received and sent. */
unsigned mqxi_readiness(struct mqxi_queue *q);

/* Messages in the queue: counts slots that are in use. */
uint32_t mqxi_count(struct mqxi_queue *q);
/* Bytes in them: visits every message. */
uint64_t mqxi_bytes(struct mqxi_queue *q);

#endif
