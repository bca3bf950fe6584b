/* What dead processes left behind. */
#ifndef MQXI_REPAIR_H
#define MQXI_REPAIR_H

#include "queue.h"

/* Both return 0, -EBADMSG or -EIO; call between mqxi_op_enter and leave. */

/* Look at every slot and mend it.  *claims (may be NULL): living processes own slots just now,
 * and if one of them dies, there will be something to mend soon. */
int mqxi_repair(struct mqxi_queue *q, bool *claims);
/* The same, but at most about once a second over all processes; *swept: this call did it. */
int mqxi_repair_sometimes(struct mqxi_queue *q, bool *swept);

#endif
