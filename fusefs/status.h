/* A queue's state, in words. */
#ifndef MQXFS_STATUS_H
#define MQXFS_STATUS_H

#include "attached.h"

/* The text, which the caller frees; NULL: no memory. */
char *status_text(struct attached *a);
/* enum mqxi_durable, in words. */
const char *status_durable(uint32_t durable);

#endif
