/* MQX_LIMITS=kernel: queues no larger than the kernel's own may be. */
#ifndef MQXI_LIMITS_H
#define MQXI_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

/* Does the environment ask for the kernel's limits? */
bool mqxi_limits_kernel(void);

/* What /proc/sys/fs/mqueue says now, for a queue that is created without attributes. */
void mqxi_limits_default(uint32_t *maxmsg, uint32_t *msgsize);

/* 0, or -EINVAL where the kernel would not let this process create such a queue. */
int mqxi_limits_check(long maxmsg, long msgsize);

#endif
