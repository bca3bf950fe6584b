/* Told when queues were created or unlinked, or our files removed. */
#ifndef MQXD_CHANGES_H
#define MQXD_CHANGES_H

#include "bell.h"

/* From now on the bell is rung for that, by a thread.  0 or -errno, said on stderr. */
int changes_start(struct bell *bell);

#endif
