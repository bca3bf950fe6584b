/*
 * mq_open, mq_close, mq_unlink: what Linux checks, in its order, and the
 * descriptor that stands for a queue.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bell.h"
#include "block.h"
#include "capable.h"
#include "client.h"
#include "conf.h"
#include "durable.h"
#include "files.h"
#include "handles.h"
#include "kernel_limits.h"
#include "names.h"
#include "posix.h"
#include "remote.h"
#include "segment.h"
#include "sys.h"
#include "thread.h"
#include "tidy.h"

/* How often mq_open begins again when others create and unlink the queue meanwhile. */
#define OPEN_ATTEMPTS 1000

struct opening {
    const char *name; /* without the slash */
    int oflag;
    mode_t mode;
    const struct mq_attr *attr; /* or NULL */
};

/*
 * The caller's umask.  It cannot be read without being set, except from
 * /proc; setting it for a moment, as is done where there is no /proc, would
 * let a file that another thread creates just then have it.
 */
static mode_t read_umask(void)
{
    char status[512], *line;
    int fd = mqxi_sys_openat(AT_FDCWD, "/proc/thread-self/status", O_RDONLY | O_CLOEXEC, 0);
    long n = fd < 0 ? fd : MQXI_SYS(SYS_read, fd, status, sizeof(status) - 1);
    mode_t mask;

    if (fd >= 0)
        mqxi_sys_close(fd);
    status[n < 0 ? 0 : n] = 0;
    line = strstr(status, "\nUmask:"); /* the second line */
    if (line)
        return (mode_t)strtoul(line + strlen("\nUmask:"), NULL, 8);
    mask = (mode_t)MQXI_SYS(SYS_umask, 0);
    MQXI_SYS(SYS_umask, mask);
    return mask;
}

/* A message on disk when send returns is a promise that needs somebody who writes it.  And where
 * mqxd has not run since the last boot, there may be a queue of this name, with messages, to be
 * restored. */
int mqxi_check_durable(const char *name, enum mqxi_durable durable, uid_t uid)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    char text[NAME_MAX + 200];
    int n;

    if (durable != MQXI_DURABLE_SYNC || mqxi_mqxd_alive(uid))
        return 0;
    if (!atomic_flag_test_and_set(&said)) {
        n = snprintf(text, sizeof(text),
                     "mqx: queue /%s is durable (sync) but mqxd is not running: start mqxd, or set "
                     "durable to async or off for it in mqx.conf\n",
                     name);
        MQXI_SYS(SYS_write, 2, text, n);
    }
    return -ESRCH;
}

/* What the new queue shall be.  The kernel's order: its limits first, of which the number of
 * queues comes before these attributes. */
static int choose_attr(const struct opening *o, struct mqxi_policy *policy, struct mqxi_attr *out)
{
    long maxmsg, msgsize;
    bool kernel;
    int r = mqxi_conf_policy(o->name, policy);

    if (r < 0)
        return r;
    kernel = mqxi_limits_kernel(policy->kernel_limits);
    if (kernel)
        mqxi_limits_default(&policy->maxmsg, &policy->msgsize);
    maxmsg = o->attr ? o->attr->mq_maxmsg : (long)policy->maxmsg;
    msgsize = o->attr ? o->attr->mq_msgsize : (long)policy->msgsize;
    r = kernel ? mqxi_limits_check(maxmsg, msgsize) : 0;
    if (r < 0)
        return r;
    if (maxmsg <= 0 || maxmsg > MQXI_MAXMSG_MAX || msgsize <= 0 || msgsize > MQXI_MSGSIZE_MAX)
        return -EINVAL;
    out->maxmsg = (uint32_t)maxmsg;
    out->msgsize = (uint32_t)msgsize;
    out->mode = o->mode & 07777 & ~read_umask();
    out->durable = policy->durable;
    return 0;
}

static unsigned access_of(int oflag)
{
    switch (oflag & O_ACCMODE) {
    case O_RDONLY:
        return MQXI_READ;
    case O_WRONLY:
        return MQXI_WRITE;
    case O_RDWR:
        return MQXI_READ | MQXI_WRITE;
    default:
        return 0; /* a queue created with both bits set can be neither read nor written */
    }
}

/*
 * A descriptor that stands for q: an open file description of its FIFO of its
 * own.  What the caller may do with the queue is noted in the description's
 * flags, which mean nothing for a FIFO, for who gets the descriptor otherwise
 * than by mq_open.
 */
int mqxi_open_descriptor(struct mqxi_queue *q, int oflag)
{
    unsigned access = access_of(oflag);
    int marks = (access & MQXI_WRITE ? 0 : O_APPEND) | (access & MQXI_READ ? 0 : O_NOATIME);
    char path[PATH_MAX];
    int error = 0, fd, r = mqxi_segment_fifo(q, path);

    if (r < 0)
        return r;
    /* Take this process's client number now: it needs a descriptor for a moment, and a send must
     * not fail because there is none left. */
    if (!mqxi_client_self(q->registry, &error))
        return error;
    fd = mqxi_sys_openat(AT_FDCWD, path,
                         O_RDWR | O_CLOEXEC | O_NOFOLLOW | (oflag & O_NONBLOCK) | marks, 0);
    if (fd == -ELOOP || fd == -EISDIR || fd == -ENXIO)
        return -EIO;
    r = fd < 0 ? fd : mqxi_handle_prepare(fd);
    /* The directory is everybody's: what lies there may be no FIFO, or another user's. */
    r = r < 0 ? r : mqxi_bell_verify(q, fd);
    r = r == -ESTALE ? -EIO : r;
    if (r < 0 && fd >= 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}

/* *fd: its descriptor.  Whatever may fail comes before it has its name: an mq_open that fails
 * leaves no queue behind.  1: again, we were stopped for so long that what we had built was tidied
 * away (tidy.c). */
static int try_create(const struct opening *o, struct mqxi_queue **out, int *fd)
{
    struct mqxi_unborn unborn;
    struct mqxi_policy policy;
    struct mqxi_attr attr;
    int r = choose_attr(o, &policy, &attr);

    if (r == 0)
        r = mqxi_check_durable(o->name, attr.durable, (uid_t)MQXI_SYS(SYS_geteuid));
    if (r == 0)
        r = mqxi_segment_build(&attr, &unborn);
    if (r < 0)
        return r;
    atomic_store(&unborn.queue->header->sync, policy.sync);
    *fd = mqxi_open_descriptor(unborn.queue, o->oflag);
    r = *fd < 0 ? *fd : mqxi_segment_link(&unborn, o->name);
    mqxi_segment_finish(&unborn, r == 0);
    if (r < 0) {
        if (*fd >= 0)
            mqxi_sys_close(*fd);
        *fd = -1;
        return r == -ENOENT ? 1 : r;
    }
    *out = unborn.queue;
    mqxi_tidy_sometimes();
    if (attr.durable != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(unborn.queue->uid);
    return 0;
}

static int create(const struct opening *o, struct mqxi_queue **out, int *fd)
{
    int r = 1;

    for (int i = 0; r == 1 && i < OPEN_ATTEMPTS; i++)
        r = try_create(o, out, fd);
    return r == 1 ? -EIO : r;
}

bool mqxi_in_group(gid_t gid)
{
    gid_t groups[1024];
    long n;

    if ((gid_t)MQXI_SYS(SYS_getegid) == gid)
        return true;
    n = MQXI_SYS(SYS_getgroups, sizeof(groups) / sizeof(*groups), groups);
    while (n > 0)
        if (groups[--n] == gid)
            return true;
    return false;
}

/* Do the queue's permissions let the caller have this access? */
static bool permitted(const struct mqxi_queue *q, unsigned access)
{
    uid_t euid = (uid_t)MQXI_SYS(SYS_geteuid);
    uint32_t mode = atomic_load_explicit(&q->header->mode, memory_order_relaxed);
    uint32_t want = (access & MQXI_READ ? 4 : 0) | (access & MQXI_WRITE ? 2 : 0);

    if (euid == q->uid)
        mode >>= 6;
    else if (mqxi_in_group(q->gid))
        mode >>= 3;
    return (mode & want) == want || mqxi_capable(CAP_DAC_OVERRIDE) ||
           (want == 4 && mqxi_capable(CAP_DAC_READ_SEARCH));
}

static bool exists(const char *name)
{
    char path[PATH_MAX];
    struct mqxi_stat st;

    return mqxi_path(MQXI_QUEUES, name, path) == 0 && mqxi_sys_stat(AT_FDCWD, path, &st) == 0;
}

/* The queue with this name, as mq_open may have it; creates it where that was asked for, and then
 * *fd is its descriptor.  Another user's: *out is NULL, and *fd stands for it already. */
static int find_queue(const struct opening *o, struct mqxi_queue **out, int *fd)
{
    bool creating = o->oflag & O_CREAT, exclusive = creating && o->oflag & O_EXCL;
    int r;

    if (exclusive)
        return exists(o->name) ? -EEXIST : create(o, out, fd);
    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        r = mqxi_segment_attach(o->name, out);
        if (r != -ENOENT || !creating)
            break;
        r = create(o, out, fd);
        if (r != -EEXIST) /* else: another process created it after we looked */
            return r;
    }
    if (r != -ENOENT && access_of(o->oflag) == 0) {
        if (r == 0)
            mqxi_queue_put(*out);
        return -EINVAL;
    }
    if (r == -EACCES) {
        *out = NULL;
        r = *fd = mqxi_remote_open(o->name, o->oflag);
        return r < 0 ? r : 0;
    }
    if (r < 0)
        return r;
    if (permitted(*out, access_of(o->oflag)))
        return 0;
    mqxi_queue_put(*out);
    return -EACCES;
}

/* The kernel takes a descriptor before it looks for the queue: -EMFILE and -ENFILE come first. */
static int check_descriptors(void)
{
    int fd = mqxi_sys_openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC, 0);

    if (fd >= 0)
        mqxi_sys_close(fd);
    return fd == -EMFILE || fd == -ENFILE ? fd : 0;
}

static int open_queue(struct opening *o)
{
    struct mqxi_queue *q;
    int r, fd, name = mqxi_name_check(o->name, &o->name);

    /* What is wrong with the path as such comes before the lack of descriptors, what is wrong with
     * the name in it after. */
    if (name == -EINVAL || name == -ENOENT || strnlen(o->name, PATH_MAX + 1) > PATH_MAX)
        return name;
    r = check_descriptors();
    if (r < 0 || name < 0)
        return r < 0 ? r : name;
    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        fd = -1;
        r = find_queue(o, &q, &fd);
        if (r == -ESTALE)
            continue;
        if (r < 0)
            return r;
        if (!q)
            return fd;
        if (fd < 0)
            fd = mqxi_open_descriptor(q, o->oflag);
        atomic_store(&q->blocking, !(o->oflag & O_NONBLOCK));
        /* Before it is in the table, where another thread that still uses the number may replace
         * it, and with it our reference. */
        if (fd >= 0)
            mqxi_file_opened(q, fd);
        r = fd < 0 ? fd : mqxi_handle_set(fd, q, access_of(o->oflag));
        if (r == 0)
            return fd;
        if (fd >= 0)
            mqxi_sys_close(fd);
        mqxi_queue_put(q);
        if (r != -ENOENT) /* else: unlinked after we found it, look again */
            return r;
    }
    return -EIO; /* a segment without a FIFO: somebody removed it by hand */
}

mqd_t mqx_open(const char *name, int oflag, ...)
{
    struct opening o = {.name = name, .oflag = oflag};
    va_list ap;

    if (oflag & O_CREAT) {
        va_start(ap, oflag);
        o.mode = va_arg(ap, mode_t);
        o.attr = va_arg(ap, const struct mq_attr *);
        va_end(ap);
        if (o.attr && mqxi_nowhere(o.attr) && name[0] == '/')
            return (mqd_t)mqxi_result(-EFAULT);
    }
    return (mqd_t)mqxi_result(open_queue(&o));
}

int mqx_close(mqd_t fd)
{
    /* The handle first: once the descriptor is closed, its number may be another thread's. */
    mqxi_file_closing(fd);
    return (int)mqxi_result(mqxi_sys_close(fd));
}

int mqx_unlink(const char *name)
{
    int r = mqxi_name_check(name, &name);

    if (r == 0)
        r = mqxi_segment_unlink(name);
    return (int)mqxi_result(r == -EPERM ? -EACCES : r); /* as glibc does */
}
