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
    int durable_line;   /* the line that says so; 0: none does */
    uint32_t sync;      /* MQXI_SYNC_*: wait and receive */
    uint32_t sync_said; /* which of them a line says */
    bool kernel_limits; /* as the kernel's own queues are limited; for all queues */
    uint64_t store_max; /* bytes of messages that mqxd keeps of it; 0: as many as there are */
    bool encrypt;       /* what mqxd keeps of it */
};
#define MQXI_STORE_MAX (UINT64_C(1) << 50)

/*
 * What applies to the queue `name` (without slash).  No file: the defaults.
 * -EINVAL: the file has an error, said on stderr with file and line; -ENOMEM.
 * Reads the file each time; thread-safe.
 */
int mqxi_conf_policy(const char *name, struct mqxi_policy *out);

/* The same for the System V queue with this key, whose name is .sysv/0x and eight hex digits; what is
 * not set is 0.  Patterns that do not begin with a dot are not for it. */
int mqxi_conf_sysv(int key, struct mqxi_policy *out);
void mqxi_conf_sysv_name(int key, char *name); /* 17 bytes */

/* Settings of mqxd itself, which stand before the first section. */
struct mqxi_conf_mqxd {
    uint32_t window_ms; /* how long changes of async queues may wait: 1 to 60000, 100 */
    uint64_t store_max; /* bytes of messages that it keeps of all queues; 0: as many as there are */
    int encrypt_line;   /* one that has messages of some queue encrypted; 0: there is none */
    char key_file[200]; /* of the keys for that; "": none is named */
};
/* As mqxi_conf_policy, and looks at every line, whichever queue it is for. */
int mqxi_conf_mqxd(struct mqxi_conf_mqxd *out);

/*
 * The file as it is now, for who goes on with it when it is edited; if there is no mistake in it
 * (else -EINVAL, said; -ENOMEM).  To be freed.
 */
struct mqxi_conf;
int mqxi_conf_keep(struct mqxi_conf **out);
const char *mqxi_conf_path(const struct mqxi_conf *kept);
/* What that says (kept NULL: what the file says now) of the queue, which may be a System V queue by
 * its name, or NULL for none; and of mqxd.  Either may be NULL. */
int mqxi_conf_kept(const struct mqxi_conf *kept, const char *name, struct mqxi_policy *policy,
                   struct mqxi_conf_mqxd *mqxd);

/* A setting that applies, and why. */
struct mqxi_conf_setting {
    const char *key;
    bool queue; /* else for all of them */
    char value[200];
    int line; /* that says so; 0: it is the default */
    char section[256];
};
#define MQXI_CONF_KEYS 20
/* All settings, if kept is in force; name may be NULL.  How many, or an error as above. */
int mqxi_conf_explain(const struct mqxi_conf *kept, const char *name,
                      struct mqxi_conf_setting *settings);

#endif
