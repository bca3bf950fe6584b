/* How much is kept of a queue, and of all of them: store_max in mqx.conf. */
#ifndef MQXD_QUOTA_H
#define MQXD_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUOTA_NONE  UINT32_MAX /* no message */
#define QUOTA_HEADS 52         /* bytes beside each, that count, too */

/* Of all queues. */
struct quotas {
    uint64_t max;    /* bytes; 0: as many as there are */
    uint64_t bytes;  /* that the store has */
    uint64_t messages;
    int64_t planned; /* that the transaction being made adds */
    bool freed;      /* some were given back since what waits was last tried */
};

/* Of one. */
struct quota {
    uint64_t max, bytes, messages;
    int64_t planned;
    uint32_t slots;
    uint32_t *sizes;   /* bytes that the store has for each slot */
    uint64_t *waiting; /* a bit a slot: its message waits for room */
    bool refused;      /* a message was, in this transaction */
    bool full;         /* one was, and nothing was given back since */
    bool said;
};

/* -ENOMEM.  quota_close: also of one that could not be opened; the store forgets it, or mqxd does.
 */
int quota_open(struct quota *l, uint32_t slots);
void quota_close(struct quotas *all, struct quota *l);

/* A transaction begins, or begins anew: nothing is planned of this queue. */
void quota_begin(struct quota *l);
/* Can the slot's message of so many bytes go into the transaction?  QUOTA_NONE always can. */
bool quota_allows(struct quotas *all, struct quota *l, uint32_t slot, uint32_t len);
/* So it did: or, at the start, the store has it. */
void quota_stored(struct quotas *all, struct quota *l, uint32_t slot, uint32_t len);

/* The slot's message waits for room, or (false) does not any longer. */
void quota_wait(struct quota *l, uint32_t slot, bool waits);
/* Is it worth while to try again what waits?  Then each(slot, arg) is called for it, and it does
 * not wait any longer. */
bool quota_has_room(const struct quotas *all, const struct quota *l);
void quota_each_waiting(struct quota *l, void (*each)(uint32_t slot, void *arg), void *arg);

#endif
