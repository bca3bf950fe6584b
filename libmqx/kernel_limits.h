/* The kernel's limits for queues, for who wants them here, too. */
#ifndef MQXI_KERNEL_LIMITS_H
#define MQXI_KERNEL_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* Are the kernel's limits asked for, by the environment (MQX_LIMITS: kernel or mqx), or else by
 * the configuration? */
bool mqxi_limits_kernel(bool configured);

/* What /proc/sys/fs/mqueue says now, for a queue that is created without attributes. */
void mqxi_limits_default(uint32_t *maxmsg, uint32_t *msgsize);

/*
 * 0, or what the kernel would say to this process if it created such a queue
 * beside those that are in $MQX_DIR: -ENOSPC, more than queues_max; then -EINVAL, not
 * positive, or larger than msg_max or msgsize_max; -EMFILE, this user's queues together more
 * than RLIMIT_MSGQUEUE.  Reads every queue's header.
 */
int mqxi_limits_check(long maxmsg, long msgsize);

/* System V's: bytes in a message, bytes in a new queue (msg_qbytes), queues. */
struct mqxi_limits_sysv {
    uint32_t msgmax, msgmni;
    uint64_t msgmnb;
};
/* mqx's own, or as they stand in /proc/sys/kernel now. */
void mqxi_limits_sysv(bool kernel, struct mqxi_limits_sysv *out);

#endif
