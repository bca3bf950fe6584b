/* Where mqxfs is mounted. */
#ifndef MQXI_MOUNTS_H
#define MQXI_MOUNTS_H

#include <stdint.h>
#include <sys/types.h>

struct mqxi_mount {
    uint64_t dev; /* as in struct mqxi_stat */
    uid_t owner;  /* whose mqxfs answers */
    const char *path;
};

/* Call each for every mqxfs that is mounted, until one returns other than 0; returns that.  -errno:
 * the mounts cannot be read. */
int mqxi_mounts_each(int (*each)(const struct mqxi_mount *m, void *arg), void *arg);

#endif
