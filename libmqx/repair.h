/* What dead processes left behind. */
#ifndef MQXI_REPAIR_H
#define MQXI_REPAIR_H

#include "queue.h"

/* Look at every slot and mend it; *claims says whether living processes own slots now. */
int mqxi_repair(struct mqxi_queue *q, bool *claims);
/* The same, but at most about once a second over all processes (*swept: did it). */
int mqxi_repair_sometimes(struct mqxi_queue *q);

#endif
