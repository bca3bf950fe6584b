/* Writers who wait for the disk. */
#ifndef MQXFS_DISK_H
#define MQXFS_DISK_H

#include "parked.h"

/* The message of a sync queue is sent; its writer's request is answered when it is on disk. */
void disk_wait(const struct parked *writer, uint32_t slot, uint64_t key);

#endif
