/* Which queues there are to be mirrored, and which are no longer. */
#ifndef MQXD_DISCOVER_H
#define MQXD_DISCOVER_H

#include "mirror.h"

/*
 * Bring mirror and store up to date with the directories: mirror new durable
 * queues, forget unlinked ones and remove what is left of them, note changes of
 * attributes.  -ENOSPC: the disk is full, to be tried again; so are errors of
 * want that peek_later knows; any other is for good.
 */
int discover(struct mirror *m);
/* The part about unlinked queues alone. */
int discover_gone(struct mirror *m);

#endif
