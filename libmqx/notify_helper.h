/* This process's registrations with mq_notify, and the thread that waits for them
 * (notify_helper.c). All but mqxi_helper_add are async-signal-safe. */
#ifndef MQXI_NOTIFY_HELPER_H
#define MQXI_NOTIFY_HELPER_H

#include <signal.h>

#include "engine.h"

struct mqxi_registration {
    struct mqxi_queue *queue;
    uint64_t name;       /* as header->notify has it while it holds */
    uint64_t owner;      /* our owner id in its entry */
    uint32_t recv_count; /* recv_event's count before it */
};

/*
 * Keep a registration, with a reference to its queue, and watch over its entry.
 * *record names it in the other calls.  -ENOMEM, -EAGAIN.  Async-signal-safe for
 * a process that has registered before, unless it has more registrations than
 * ever, or thread attributes are given.
 */
int mqxi_helper_add(const struct mqxi_registration *registration, const struct sigevent *event,
                    uint64_t *record);
/* Has this process this registration? */
bool mqxi_helper_find(const struct mqxi_queue *q, uint64_t name, uint64_t *record);
/* It does not hold any more: forget it, free its entry. */
void mqxi_helper_drop(uint64_t record);

/* Is it this process's own, to be delivered by this thread?  Then it is kept from the helper until
 * mqxi_helper_deliver, which delivers it if it fired. */
bool mqxi_helper_claim(struct mqxi_queue *q, uint64_t name, uint64_t *record);
void mqxi_helper_deliver(uint64_t record);

/* Send the signals of this process's registrations with this queue that have fired, if the helper
 * has not; it has when this returns.  The caller holds a reference to the queue. */
void mqxi_helper_settle(struct mqxi_queue *q);

/* Has this process any registration at all? */
bool mqxi_helper_any(void);

/* Give an entry back. */
void mqxi_helper_free_entry(const struct mqxi_registration *registration);

#endif
