/* After a reboot: queues that the store has and the directory has not. */
#ifndef MQXD_RESTORE_H
#define MQXD_RESTORE_H

#include "store.h"

/*
 * Make their segments again, messages and all.  To be called before anything
 * else is done with the store, and after discover_gone.  0 or -errno, said on
 * stderr.
 */
int restore_queues(struct store *s);

#endif
