/*
 * The kernel's limits, as they stand in /proc/sys/fs/mqueue and RLIMIT_MSGQUEUE,
 * or for System V's queues in /proc/sys/kernel, at the moment, for who wants a
 * program to meet the same limits as with the kernel's own queues.  The kernel
 * counts queues until they are unlinked and closed; here those count that have
 * a name.
 */
#include "kernel_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "capable.h"
#include "format.h"
#include "names.h"
#include "sys.h"

/* What even CAP_SYS_RESOURCE cannot exceed (mq_overview(7)). */
#define HARD_MAXMSG  65536
#define HARD_MSGSIZE (16 << 20)

/* What the kernel counts for a message and for a priority in use, beside the bytes
 * (getrlimit(2)): its struct msg_msg and struct posix_msg_tree_node. */
#define MSG_BYTES  48u
#define NODE_BYTES 48u

bool mqxi_limits_kernel(bool configured)
{
    const char *limits = getenv("MQX_LIMITS");

    return limits && *limits ? strcmp(limits, "kernel") == 0 : configured;
}

/* fallback: the kernel's own default, for where its files are not to be seen. */
static long setting(const char *name, long fallback)
{
    char path[64], text[32] = "";
    int fd;
    long n;

    snprintf(path, sizeof(path), "/proc/sys/%s", name);
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return fallback;
    n = MQXI_SYS(SYS_read, fd, text, sizeof(text) - 1);
    mqxi_sys_close(fd);
    return n > 0 ? strtol(text, NULL, 10) : fallback;
}

static long smaller(long a, long b)
{
    return a < b ? a : b;
}

void mqxi_limits_default(uint32_t *maxmsg, uint32_t *msgsize)
{
    *maxmsg = (uint32_t)smaller(setting("fs/mqueue/msg_default", 10), setting("fs/mqueue/msg_max", 10));
    *msgsize = (uint32_t)smaller(setting("fs/mqueue/msgsize_default", 8192), setting("fs/mqueue/msgsize_max", 8192));
}

static uint64_t bytes_of(uint64_t maxmsg, uint64_t msgsize)
{
    uint64_t priorities = maxmsg < MQXI_PRIO_MAX ? maxmsg : MQXI_PRIO_MAX;

    return maxmsg * MSG_BYTES + priorities * NODE_BYTES + maxmsg * msgsize;
}

struct census {
    uid_t user;
    long queues;
    uint64_t bytes; /* of that user's queues */
};

static int count(const char *name, void *arg)
{
    struct census *c = arg;
    struct mqxi_header h;
    struct mqxi_stat st;
    char path[PATH_MAX];
    int fd;

    c->queues++;
    if (mqxi_path(MQXI_QUEUES, name, path) < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0 ||
        st.uid != c->user || !S_ISREG(st.mode))
        return 0;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd < 0)
        return 0;
    if (MQXI_SYS(SYS_pread64, fd, &h, sizeof(h), 0L) == (long)sizeof(h) && h.magic == MQXI_MAGIC &&
        h.maxmsg <= MQXI_MAXMSG_MAX && h.msgsize <= MQXI_MSGSIZE_MAX)
        c->bytes += bytes_of(h.maxmsg, h.msgsize);
    mqxi_sys_close(fd);
    return 0;
}

int mqxi_limits_check(long maxmsg, long msgsize)
{
    struct census c = {.user = (uid_t)MQXI_SYS(SYS_geteuid)};
    struct rlimit64 limit = {.rlim_cur = RLIM64_INFINITY};
    bool exceed = mqxi_capable(CAP_SYS_RESOURCE);
    int r = mqxi_list(MQXI_QUEUES, count, &c);

    if (r < 0)
        return r;
    if (!exceed && c.queues >= setting("fs/mqueue/queues_max", 256))
        return -ENOSPC;
    if (maxmsg <= 0 || msgsize <= 0 ||
        maxmsg > (exceed ? HARD_MAXMSG : setting("fs/mqueue/msg_max", 10)) ||
        msgsize > (exceed ? HARD_MSGSIZE : setting("fs/mqueue/msgsize_max", 8192)))
        return -EINVAL;
    MQXI_SYS(SYS_prlimit64, 0, RLIMIT_MSGQUEUE, NULL, &limit);
    if (limit.rlim_cur != RLIM64_INFINITY &&
        c.bytes + bytes_of((uint64_t)maxmsg, (uint64_t)msgsize) > limit.rlim_cur)
        return -EMFILE;
    return 0;
}

/* A number that does not fit is the most that can be. */
static uint64_t up_to(long n, uint64_t most)
{
    return n < 1 ? 1 : (uint64_t)n < most ? (uint64_t)n : most;
}

void mqxi_limits_sysv(bool kernel, struct mqxi_limits_sysv *out)
{
    *out = (struct mqxi_limits_sysv){16u << 20, 32000, UINT64_C(1) << 30};
    if (!kernel)
        return;
    out->msgmax = (uint32_t)up_to(setting("kernel/msgmax", 8192), MQXI_MSGSIZE_MAX);
    out->msgmnb = up_to(setting("kernel/msgmnb", 16384), INT32_MAX);
    out->msgmni = (uint32_t)up_to(setting("kernel/msgmni", 32000), 32768);
}
