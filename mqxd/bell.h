/* mqxd's side of what the library finds it by: its lock file and its doorbell. */
#ifndef MQXD_BELL_H
#define MQXD_BELL_H

#include "queue.h"

struct bell {
    struct mqxi_doorbell *_Atomic page;
    int lock;
    struct mqxi_queue guarded; /* for guard.h: the page as a segment */
};

/* Become the mqxd of this user in this $MQX_DIR.  0 or -errno, said on stderr; -EBUSY: there is
 * one already. */
int bell_take(struct bell *b);
/* What was to be restored is there: durable queues can be opened from now on. */
int bell_serve(struct bell *b);
/* False: somebody removed our files, and nobody finds us any more. */
bool bell_stands(const struct bell *b);
/* Have a doorbell.  To be called again before each sleep, since root's can be truncated by
 * everybody.  1: it is there anew, and what was read from it before is void. */
int bell_check(struct bell *b);
/* Was rescan asked for?  Takes the request. */
bool bell_rescan(struct bell *b);

#endif
