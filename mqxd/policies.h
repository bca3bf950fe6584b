/* What mqx.conf says of the queues that are there already. */
#ifndef MQXD_POLICIES_H
#define MQXD_POLICIES_H

#include "mirror.h"

/* Read the file.  -EINVAL, said: there is a mistake in it, and all stays as it was. */
int policies_read(struct mirror *m);
/* Have all queues that we serve as it says; discover() then finds what has changed.  0; errors of
 * want that peek_later knows. */
int policies_apply(struct mirror *m);

/* How many bytes of this queue the store may have; 0: no limit. */
uint64_t policies_store_max(const struct mirror *m, const struct mqxi_queue *q, const char *name);

/* Have its messages encrypted in the store or not, as the configuration says; with those that are
 * there in the clear.  0; errors of the store that are for good. */
int policies_encrypt(const struct mirror *m, struct attached *a);
/* The configuration is another, or the queue's name: what it says of how that is stored. */
int policies_renew(struct mirror *m, struct attached *a);

#endif
