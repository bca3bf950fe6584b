/* What msgctl tells of a System V queue and changes, and who may do what with it. */
#ifndef MQXI_MSQ_STATE_H
#define MQXI_MSQ_STATE_H

#include "queue.h"

/* As struct msqid_ds, which each libc lays out in its way. */
struct mqxi_msq_state {
    int32_t id, key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint32_t send_pid, receive_pid, reserved;
    int64_t sent, received, changed; /* seconds */
    uint64_t bytes, messages, qbytes;
};

/* Who asks. */
struct mqxi_asker {
    uint32_t uid; /* that he acts with */
    bool (*in_group)(const struct mqxi_asker *who, uint32_t gid);
    bool (*capable)(const struct mqxi_asker *who, int capability);
};

#define MQXI_MAY_READ  4u
#define MQXI_MAY_WRITE 2u
/* Of the wanted bits, read 4, write 2, execute 1, those that he has. */
unsigned mqxi_msq_rights(const struct mqxi_queue *q, const struct mqxi_asker *who, unsigned wanted);
/* Its owner, its creator, or who may administer the system? */
bool mqxi_msq_owns(const struct mqxi_queue *q, const struct mqxi_asker *who);

void mqxi_msq_describe(const struct mqxi_queue *q, struct mqxi_msq_state *out);
/* IPC_SET: uid, gid, mode and qbytes.  -EPERM, -EINVAL. */
int mqxi_msq_set(struct mqxi_queue *q, const struct mqxi_msq_state *to,
                 const struct mqxi_asker *who);

#endif
