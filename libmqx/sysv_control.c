/*
 * msgctl, as the kernel does it: what it tells of a queue and of all, and how one is changed.
 */
#include <string.h>
#include <sys/msg.h>
#include <time.h>

#include "block.h"
#include "conf.h"
#include "held.h"
#include "kernel_limits.h"
#include "msqids.h"
#include "msqs.h"
#include "posix.h"
#include "remote_sysv.h"
#include "sys.h"
#include "thread.h"

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

static void show(const struct mqxi_msq_state *is, struct msqid_ds *out)
{
    memset(out, 0, sizeof(*out));
    out->msg_perm.__key = is->key;
    out->msg_perm.uid = is->uid;
    out->msg_perm.gid = is->gid;
    out->msg_perm.cuid = is->cuid;
    out->msg_perm.cgid = is->cgid;
    out->msg_perm.mode = (__typeof__(out->msg_perm.mode))is->mode;
    out->msg_perm.__seq = (__typeof__(out->msg_perm.__seq))(is->id >> MQXI_MSQID_BITS);
    out->msg_stime = (time_t)is->sent;
    out->msg_rtime = (time_t)is->received;
    out->msg_ctime = (time_t)is->changed;
    out->__msg_cbytes = is->bytes;
    out->msg_qnum = is->messages;
    out->msg_qbytes = is->qbytes;
    out->msg_lspid = (pid_t)is->send_pid;
    out->msg_lrpid = (pid_t)is->receive_pid;
}

static struct mqxi_msq_state wish(const struct msqid_ds *to)
{
    return (struct mqxi_msq_state){.uid = to->msg_perm.uid,
                                   .gid = to->msg_perm.gid,
                                   .mode = to->msg_perm.mode,
                                   .qbytes = to->msg_qbytes};
}

static int stat_queue(struct mqxi_queue *q, int command, struct mqxi_msq_state *out)
{
    struct mqxi_asker self = mqxi_msqs_self();

    if (command != MSG_STAT_ANY && !mqxi_msq_rights(q, &self, MQXI_MAY_READ))
        return -EACCES;
    if (mqxi_held_removed(q))
        return -EIDRM;
    mqxi_msq_describe(q, out);
    return 0;
}

static int remove_queue(struct mqxi_queue *q)
{
    struct mqxi_asker self = mqxi_msqs_self();
    int r = mqxi_msq_owns(q, &self) ? mqxi_msqid_remove(q) : -EPERM;

    if (r == 0)
        mqxi_msqs_drop(q);
    return r;
}

static int on_own(struct mqxi_queue *q, int command, struct mqxi_msq_state *state)
{
    struct mqxi_asker self = mqxi_msqs_self();

    return command == IPC_SET    ? mqxi_msq_set(q, state, &self)
           : command == IPC_RMID ? remove_queue(q)
                                 : stat_queue(q, command, state);
}

static int on_others(int id, int command, struct mqxi_msq_state *state)
{
    bool changes = command == IPC_SET || command == IPC_RMID;
    int r = mqxi_remote_msgctl(id,
                               command == IPC_SET        ? MQXI_IPC_SET
                               : command == IPC_RMID     ? MQXI_IPC_RMID
                               : command == MSG_STAT_ANY ? MQXI_STAT_ANY
                                                         : MQXI_IPC_STAT,
                               state);

    return changes && r == -EACCES ? -EPERM : r; /* without a mount */
}

/* Who had it mapped when he was another user may remove the queue, but not its names; mqxfs does,
 * where it finds a removed one. */
static void have_cleared_away(int id)
{
    struct mqxi_msq_state state;

    mqxi_remote_msgctl(id, MQXI_COUNT, &state);
}

static int on_queue(int id, int command, struct msqid_ds *buffer)
{
    struct mqxi_msq_state state = command == IPC_SET ? wish(buffer) : (struct mqxi_msq_state){0};
    uid_t self = (uid_t)MQXI_SYS(SYS_geteuid);
    bool others = false;
    struct mqxi_queue *q;
    unsigned token;
    int r = mqxi_msqs_enter(id, &q, &token);

    if (r == 0) {
        others = self != 0 && self != q->uid;
        r = on_own(q, command, &state);
    }
    mqxi_op_leave(token);
    if (r == 0 && others && command == IPC_RMID)
        have_cleared_away(id);
    if (r == -EACCES && !q)
        r = on_others(id, command, &state);
    if (r < 0 || command == IPC_SET || command == IPC_RMID)
        return r;
    if (mqxi_nowhere(buffer))
        return -EFAULT;
    show(&state, buffer);
    return command == IPC_STAT ? 0 : id;
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
    struct mqxi_msq_state is = {0};
    char path[PATH_MAX];
    int id, r;

    if (index > c->highest)
        c->highest = index;
    if (!c->contents || mqxi_msqid_at(index, &id) < 0)
        return 0;
    c->queues++;
    r = mqxi_msqid_path(id, path);
    if (r == 0)
        r = mqxi_segment_peek_sysv(path, &h, &st);
    if (r == 0)
        is = (struct mqxi_msq_state){.messages = mqxi_held_count(mqxi_held_copied(&h)),
                                     .bytes = mqxi_held_copied(&h) & MQXI_HELD_BYTES};
    else if (r == -EACCES)
        mqxi_remote_msgctl(id, MQXI_COUNT, &is);
    c->messages += is.messages;
    c->bytes += is.bytes;
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
