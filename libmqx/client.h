/* Client numbers: who owns a slot, and whether that owner still lives. */
#ifndef MQXI_CLIENT_H
#define MQXI_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * This process's owner id (1 .. MQXI_CTL_OWNER) in the registry of user uid.
 * Takes a number at the first call in a process, and anew in a forked child.
 * Async-signal-safe, lock-free.  Returns 0 with *error = -errno: -ENOSPC all
 * numbers taken, -EMFILE, -ENOMEM, -EACCES, ...
 */
uint64_t mqxi_client_owner(uid_t uid, int *error);

/* Is the process that took this owner id still there?  True where that cannot be told. */
bool mqxi_client_alive(uid_t uid, uint64_t owner);

#endif
