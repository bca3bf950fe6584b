/*
 * The kernel's rules for a System V queue: who may do what, and what IPC_STAT and IPC_SET mean.
 * Whoever asks: this process, or one that asks mqxfs.
 */
#include "msq_state.h"

#include <linux/capability.h>
#include <time.h>

#include "bell.h"
#include "conf.h"
#include "durable.h"
#include "held.h"
#include "kernel_limits.h"
#include "msqids.h"
#include "wait.h"

unsigned mqxi_msq_rights(const struct mqxi_queue *q, const struct mqxi_asker *who, unsigned wanted)
{
    const struct mqxi_header *h = q->header;
    uint32_t mode = atomic_load(&h->mode);

    if (who->uid == h->cuid || who->uid == atomic_load(&h->uid))
        mode >>= 6;
    else if (who->in_group(who, h->cgid) || who->in_group(who, atomic_load(&h->gid)))
        mode >>= 3;
    return !(wanted & ~mode) || who->capable(who, CAP_IPC_OWNER) ? wanted : wanted & mode;
}

bool mqxi_msq_owns(const struct mqxi_queue *q, const struct mqxi_asker *who)
{
    return who->uid == atomic_load(&q->header->uid) || who->uid == q->header->cuid ||
           who->capable(who, CAP_SYS_ADMIN);
}

static int64_t seconds(uint64_t ns)
{
    return (int64_t)(ns / 1000000000u);
}

void mqxi_msq_describe(const struct mqxi_queue *q, struct mqxi_msq_state *out)
{
    const struct mqxi_header *h = q->header;
    uint64_t held = mqxi_held(q);

    *out = (struct mqxi_msq_state){.id = q->id,
                                   .key = h->key,
                                   .uid = atomic_load(&h->uid),
                                   .gid = atomic_load(&h->gid),
                                   .cuid = h->cuid,
                                   .cgid = h->cgid,
                                   .mode = atomic_load(&h->mode),
                                   .send_pid = atomic_load(&h->last_send_pid),
                                   .receive_pid = atomic_load(&h->last_recv_pid),
                                   .sent = seconds(atomic_load(&h->last_send_ns)),
                                   .received = seconds(atomic_load(&h->last_recv_ns)),
                                   .changed = seconds(atomic_load(&h->changed_ns)),
                                   .bytes = held & MQXI_HELD_BYTES,
                                   .messages = mqxi_held_count(held),
                                   .qbytes = atomic_load(&h->qbytes)};
}

static void set(struct mqxi_queue *q, const struct mqxi_msq_state *to)
{
    struct mqxi_header *h = q->header;
    struct timespec now;

    atomic_store(&h->uid, to->uid);
    atomic_store(&h->gid, to->gid);
    atomic_store(&h->mode, (atomic_load(&h->mode) & ~0777u) | (to->mode & 0777u));
    atomic_store(&h->qbytes, to->qbytes);
    clock_gettime(CLOCK_REALTIME, &now);
    /* Last: by this the others know that their rights are to be asked for anew (msqs.c). */
    atomic_store(&h->changed_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    /* Who waits may have no right to any more, or room. */
    mqxi_event_signal(&h->recv_event, true);
    mqxi_event_signal(&h->send_event, true);
    if (atomic_load(&h->put_tells) & MQXI_TELLS_POLLERS)
        mqxi_bell_sync(q);
    if (atomic_load(&h->durable) != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(q->uid); /* mqxd keeps all that, too */
}

int mqxi_msq_set(struct mqxi_queue *q, const struct mqxi_msq_state *to,
                 const struct mqxi_asker *who)
{
    struct mqxi_limits_sysv limits;
    struct mqxi_policy policy;
    int r = mqxi_msq_owns(q, who) ? mqxi_conf_sysv(q->header->key, &policy) : -EPERM;

    if (r < 0)
        return r;
    mqxi_limits_sysv(mqxi_limits_kernel(policy.kernel_limits), &limits);
    if (to->qbytes > limits.msgmnb && !who->capable(who, CAP_SYS_RESOURCE))
        return -EPERM;
    if (to->uid == UINT32_MAX || to->gid == UINT32_MAX)
        return -EINVAL;
    set(q, to);
    return 0;
}
