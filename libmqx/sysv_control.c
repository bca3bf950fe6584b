/*
 * msgctl: what the kernel tells of its queues, and who may change one.
 */
#include <string.h>
#include <sys/msg.h>
#include <time.h>

#include "bell.h"
#include "block.h"
#include "capable.h"
#include "conf.h"
#include "durable.h"
#include "held.h"
#include "kernel_limits.h"
#include "msqids.h"
#include "msqs.h"
#include "posix.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"

#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

/* What the kernel says of limits that it does not have any more. */
#define MSGMAP  16384
#define MSGPOOL 512000
#define MSGTQL  16384
#define MSGSSZ  16
#define MSGSEG  0xffff

/* --- one queue ----------------------------------------------------------------------------------
 */

static time_t seconds(uint64_t ns)
{
    return (time_t)(ns / 1000000000u);
}

static void describe(const struct mqxi_queue *q, struct msqid_ds *out)
{
    const struct mqxi_header *h = q->header;
    uint64_t held = atomic_load(&h->held);

    memset(out, 0, sizeof(*out));
    out->msg_perm.__key = h->key;
    out->msg_perm.uid = atomic_load(&h->uid);
    out->msg_perm.gid = atomic_load(&h->gid);
    out->msg_perm.cuid = h->cuid;
    out->msg_perm.cgid = h->cgid;
    out->msg_perm.mode = (__typeof__(out->msg_perm.mode))atomic_load(&h->mode);
    out->msg_perm.__seq = (__typeof__(out->msg_perm.__seq))(q->id >> MQXI_MSQID_BITS);
    out->msg_stime = seconds(atomic_load(&h->last_send_ns));
    out->msg_rtime = seconds(atomic_load(&h->last_recv_ns));
    out->msg_ctime = seconds(atomic_load(&h->changed_ns));
    out->__msg_cbytes = held & MQXI_HELD_BYTES;
    out->msg_qnum = mqxi_held_count(held);
    out->msg_qbytes = atomic_load(&h->qbytes);
    out->msg_lspid = (pid_t)atomic_load(&h->last_send_pid);
    out->msg_lrpid = (pid_t)atomic_load(&h->last_recv_pid);
}

static int stat_queue(struct mqxi_queue *q, int command, struct msqid_ds *out)
{
    if (command != MSG_STAT_ANY && !(mqxi_msqs_mode(q) & MQXI_MAY_READ))
        return -EACCES;
    if (mqxi_held_removed(q))
        return -EIDRM;
    if (mqxi_nowhere(out))
        return -EFAULT;
    describe(q, out);
    return command == IPC_STAT ? 0 : q->id;
}

/* Its owner, its creator, or who may administer the system. */
static bool owns(const struct mqxi_queue *q)
{
    uint32_t euid = (uint32_t)MQXI_SYS(SYS_geteuid);

    return euid == atomic_load(&q->header->uid) || euid == q->header->cuid ||
           mqxi_capable(CAP_SYS_ADMIN);
}

static int set_queue(struct mqxi_queue *q, const struct msqid_ds *to)
{
    struct mqxi_header *h = q->header;
    struct mqxi_limits_sysv limits;
    struct mqxi_policy policy;
    struct timespec now;
    int r = owns(q) ? mqxi_conf_sysv(h->key, &policy) : -EPERM;

    if (r < 0)
        return r;
    mqxi_limits_sysv(mqxi_limits_kernel(policy.kernel_limits), &limits);
    if (to->msg_qbytes > limits.msgmnb && !mqxi_capable(CAP_SYS_RESOURCE))
        return -EPERM;
    if (to->msg_perm.uid == (uid_t)-1 || to->msg_perm.gid == (gid_t)-1)
        return -EINVAL;
    atomic_store(&h->uid, to->msg_perm.uid);
    atomic_store(&h->gid, to->msg_perm.gid);
    atomic_store(&h->mode, (atomic_load(&h->mode) & ~0777u) | (to->msg_perm.mode & 0777u));
    atomic_store(&h->qbytes, to->msg_qbytes);
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
    return 0;
}

static int remove_queue(struct mqxi_queue *q)
{
    int r = owns(q) ? mqxi_msqid_remove(q) : -EPERM;

    if (r == 0)
        mqxi_msqs_drop(q);
    return r;
}

static int on_queue(int id, int command, struct msqid_ds *buffer)
{
    struct mqxi_queue *q;
    unsigned token;
    int r = mqxi_msqs_enter(id, &q, &token);

    if (r == -EACCES && (command == IPC_SET || command == IPC_RMID))
        r = -EPERM; /* another user's */
    if (r == 0)
        r = command == IPC_SET    ? set_queue(q, buffer)
            : command == IPC_RMID ? remove_queue(q)
                                  : stat_queue(q, command, buffer);
    mqxi_op_leave(token);
    return r;
}

/* --- all of them --------------------------------------------------------------------------------
 */

struct census {
    uint32_t queues, highest;
    uint64_t messages, bytes;
    bool contents; /* count all but the highest, too */
};

static int count(uint32_t index, void *arg)
{
    struct census *c = arg;
    struct mqxi_header h;
    struct mqxi_stat st;
    char path[PATH_MAX];
    int id;

    if (index > c->highest)
        c->highest = index;
    if (!c->contents || mqxi_msqid_at(index, &id) < 0)
        return 0;
    c->queues++;
    if (mqxi_msqid_path(id, path) == 0 && mqxi_segment_peek_sysv(path, &h, &st) == 0) {
        uint64_t held = atomic_load(&h.held);

        c->messages += mqxi_held_count(held);
        c->bytes += held & MQXI_HELD_BYTES;
    }
    return 0;
}

static int small(uint64_t n)
{
    return n < INT32_MAX ? (int)n : INT32_MAX;
}

static int info(int command, struct msginfo *out)
{
    struct census c = {.contents = command == MSG_INFO};
    struct mqxi_limits_sysv limits;
    struct mqxi_policy policy;
    int r = mqxi_conf_sysv(0, &policy);

    if (r == 0)
        r = mqxi_msqid_list(count, &c);
    if (r < 0)
        return r;
    if (mqxi_nowhere(out))
        return -EFAULT;
    mqxi_limits_sysv(mqxi_limits_kernel(policy.kernel_limits), &limits);
    memset(out, 0, sizeof(*out));
    out->msgmax = small(limits.msgmax);
    out->msgmnb = small(limits.msgmnb);
    out->msgmni = small(limits.msgmni);
    out->msgssz = MSGSSZ;
    out->msgseg = (__typeof__(out->msgseg))MSGSEG;
    out->msgpool = command == MSG_INFO ? small(c.queues) : MSGPOOL;
    out->msgmap = command == MSG_INFO ? small(c.messages) : MSGMAP;
    out->msgtql = command == MSG_INFO ? small(c.bytes) : MSGTQL;
    return (int)c.highest;
}

static int control(int id, int command, struct msqid_ds *buffer)
{
    int r;

    if (id < 0 || command < 0)
        return -EINVAL;
    mqxi_msqs_forget_rights();
    switch (command) {
    case IPC_INFO:
    case MSG_INFO:
        return info(command, (struct msginfo *)buffer);
    case MSG_STAT:
    case MSG_STAT_ANY:
        r = mqxi_msqid_at(mqxi_msqid_index(id), &id);
        return r < 0 ? r : on_queue(id, command, buffer);
    case IPC_SET:
        if (mqxi_nowhere(buffer))
            return -EFAULT;
        return on_queue(id, command, buffer);
    case IPC_STAT:
    case IPC_RMID:
        return on_queue(id, command, buffer);
    default:
        return -EINVAL;
    }
}

int mqx_msgctl(int id, int command, struct msqid_ds *buffer)
{
    int state, r;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); /* no cancellation point, as msgget */
    r = control(id, command, buffer);
    mqxi_queue_settle();
    pthread_setcancelstate(state, NULL);
    return (int)mqxi_result(r);
}
