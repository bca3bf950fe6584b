/* From futexes to the event loop: threads that sleep on queues' event words. */
#ifndef MQXFS_BRIDGE_H
#define MQXFS_BRIDGE_H

#include <stdatomic.h>
#include <stdint.h>

#include "queue.h"

struct attached;
struct helper;

/* One event word under watch.  Zero: not watched. */
struct watch {
    struct attached *attached; /* whose word it is: for the caller, as is direction */
    int direction;
    struct helper *helper; /* bridge.c's */
    unsigned entry;
};

/* Returns the descriptor (an eventfd) that becomes readable when a watch fired, or -errno. */
int bridge_start(void);
/*
 * Watch the word from now on; fires once, when its count is no longer seen.
 * Without the memory or the threads for it, it never fires: whoever waits
 * must look by himself now and then.
 */
void bridge_arm(struct watch *w, struct mqxi_queue *q, _Atomic uint32_t *word, uint32_t seen);
/* Forget a watch that fired and is not armed again; one that is armed is left as it is. */
void bridge_rest(struct watch *w);
/* Forget it in any case; it does not fire any more. */
void bridge_drop(struct watch *w);
/* The descriptor is readable: call fired for every watch that fired. */
void bridge_collect(void (*fired)(struct watch *w));

#endif
