/* mqx.conf ($MQX_CONF, else /etc/mqx/mqx.conf): policies by queue name pattern. */
#ifndef MQXI_CONF_H
#define MQXI_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "format.h"

struct mqxi_policy {
    uint32_t maxmsg;  /* for mq_open without attributes: 10 */
    uint32_t msgsize; /* for mq_open without attributes: 8192 */
    enum mqxi_durable durable;
    bool kernel_limits; /* as the kernel's own queues are limited; for all queues */
};

/*
 * What applies to the queue `name` (without slash).  No file: the defaults.
 * -EINVAL: the file has an error, said on stderr with file and line; -ENOMEM.
 * Reads the file each time; thread-safe.
 */
int mqxi_conf_policy(const char *name, struct mqxi_policy *out);

/* The same for the System V queue with this key, whose name is .sysv/0x and eight hex digits; what is
 * not set is 0.  Patterns that do not begin with a dot are not for it. */
int mqxi_conf_sysv(int key, struct mqxi_policy *out);

/* Settings of mqxd itself, which stand before the first section. */
struct mqxi_conf_mqxd {
    uint32_t window_ms; /* how long changes of async queues may wait: 1 to 60000, 100 */
};
/* As mqxi_conf_policy, and looks at every line, whichever queue it is for. */
int mqxi_conf_mqxd(struct mqxi_conf_mqxd *out);

#endif
