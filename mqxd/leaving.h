/* Messages that left the store for a receiver who waits for that (receive = commit). */
#ifndef MQXD_LEAVING_H
#define MQXD_LEAVING_H

#include "mirror.h"

#define LEAVING_NS UINT64_C(1000000000) /* how often to look after them */

/* Is the slot one that a receiver has left, by dying, before he said that he had its message? */
bool leaving_orphaned(const struct mqxi_queue *q, uint32_t slot);
/* Give back what such receivers left.  When to look again; 0: nobody is leaving. */
uint64_t leaving_look(struct attached *a);

#endif
