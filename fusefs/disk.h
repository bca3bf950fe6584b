/* Those who wait for the disk. */
#ifndef MQXFS_DISK_H
#define MQXFS_DISK_H

#include "parked.h"

/* The message of a sync queue is sent; when it is on disk, the request is answered, or (NULL) its
 * move is over. */
void disk_wait(const struct parked *writer, uint32_t slot, uint64_t key);

#endif
