/* How much is kept of a queue, and of all of them: store_max in mqx.conf. */
#ifndef MQXD_LIMITS_H
#define MQXD_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIMIT_NONE UINT32_MAX /* no message */

/* Of all queues. */
struct limits {
    uint64_t max;    /* bytes; 0: as many as there are */
    uint64_t bytes;  /* that the store has */
    int64_t planned; /* that the transaction being made adds */
    bool freed;      /* some were given back since what waits was last tried */
};

/* Of one. */
struct limit {
    uint64_t max, bytes;
    int64_t planned;
    uint32_t slots;
    uint32_t *sizes;   /* bytes that the store has for each slot */
    uint64_t *waiting; /* a bit a slot: its message waits for room */
    bool refused;      /* a message was, in this transaction */
    bool full;         /* one was, and nothing was given back since */
    bool said;
};

/* -ENOMEM.  limit_close: also of one that could not be opened; the store forgets it, or mqxd does.
 */
int limit_open(struct limit *l, uint32_t slots);
void limit_close(struct limits *all, struct limit *l);

/* A transaction begins, or begins anew: nothing is planned of this queue. */
void limit_begin(struct limit *l);
/* Can the slot's message of so many bytes go into the transaction?  LIMIT_NONE always can. */
bool limit_allows(struct limits *all, struct limit *l, uint32_t slot, uint32_t len);
/* So it did: or, at the start, the store has it. */
void limit_stored(struct limits *all, struct limit *l, uint32_t slot, uint32_t len);

/* The slot's message waits for room, or (false) does not any longer. */
void limit_wait(struct limit *l, uint32_t slot, bool waits);
/* Is it worth while to try again what waits?  Then each(slot, arg) is called for it, and it does
 * not wait any longer. */
bool limit_has_room(const struct limits *all, const struct limit *l);
void limit_each_waiting(struct limit *l, void (*each)(uint32_t slot, void *arg), void *arg);

#endif
