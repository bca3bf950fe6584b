/* Queues that mqxfs has mapped: each once, however many nodes and open files use it. */
#ifndef MQXFS_ATTACHED_H
#define MQXFS_ATTACHED_H

#include <stdbool.h>
#include <stdint.h>

#include "bridge.h"
#include "queue.h"
#include "sys.h"

/* What a request may wait for. */
enum direction {
    FOR_MESSAGE,
    FOR_CHOICE, /* for one of some messages, or to look at one */
    FOR_ROOM,
    FOR_DISK,
    DIRECTIONS
};

struct parked;

/* Requests that wait for one thing of one queue, first come first (parked.c). */
struct waiting {
    struct parked *first, *last;
    struct watch watch; /* the bridge's: tells when the queue's event word moved */
    bool due;           /* something happened: try them again */
    bool woken;         /* ... and a waker spent its wake-up on us */
};

struct attached {
    struct mqxi_queue *queue;
    struct waiting waiting[DIRECTIONS];
    int fifo;       /* polled.c: a descriptor of its FIFO, or -1 */
    unsigned users; /* references; 0: idle, and detached a moment later */
    uint64_t idle_since_ms;
    struct attached *next;     /* in the table by inode number */
    struct attached *next_due; /* parked.c: list of those with something due */
    bool listed;               /* it is on that list */
    /* The last count of queued bytes, and the event words and time it was made at. */
    uint64_t bytes, bytes_at_ms;
    uint32_t bytes_sent, bytes_received;
};

/* The queue of this name, attached now if it is not yet: 0 and a reference, or -errno. */
int attached_by_name(const char *name, struct attached **out);
/* The same, where its segment was looked at already. */
int attached_by_stat(const char *name, const struct mqxi_stat *st, struct attached **out);
/* The queue with this segment inode, if it is attached: a reference, or NULL. */
struct attached *attached_by_ino(uint64_t ino);
void attached_put(struct attached *a);

/* Mend all queues: messages that an mqxfs held when it was killed go back to their places before
 * anybody reads what comes after them. */
void attached_repair_all(void);

/* Queued bytes; of a deep queue up to a second old. */
uint64_t attached_bytes(struct attached *a);

/* The word that moves when what this direction waits for may be there. */
_Atomic uint32_t *attached_event(const struct attached *a, enum direction direction);

void attached_each(void (*each)(struct attached *a));
/* Detach what was not used for a while. */
void attached_sweep(void);
/* Nobody uses any of them any more. */
void attached_detach_all(void);
/* Is there something for attached_sweep to do, now or later? */
bool attached_idle(void);

uint64_t now_ms(void); /* CLOCK_MONOTONIC */

#endif
