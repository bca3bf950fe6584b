/*
 * A queue is its segment, which lies under the queue's name: a new name is the
 * file's, and who has the queue open goes on.
 *
 * Its sizes and its user are for life, since processes have it mapped by them.
 * But what nobody has mapped, and has nothing in it, can be replaced by
 * another segment: by an exchange of the names, so there is always one.  A
 * process has its FIFO open as long as it has the queue open (an mqd_t is that),
 * which can be seen from outside; and who has mapped the old segment finds its
 * FIFO gone, and opens the queue again.
 */
#include "replace.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "durable.h"
#include "engine.h"
#include "names.h"
#include "polled.h"
#include "segment.h"
#include "sysv.h"
#include "thread.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

/* --- name and group -------------------------------------------------------------------------- */

static void was_renamed(uint64_t ino, const char *name)
{
    struct attached *a = attached_by_ino(ino);

    node_rename(ino, name);
    if (!a)
        return;
    snprintf(a->queue->name, sizeof(a->queue->name), "%s", name);
    if (atomic_load(&a->queue->header->durable) != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(a->queue->uid);
    attached_put(a);
}

int replace_name(const char *name, const char *new_name, unsigned flags, uid_t caller)
{
    char from[PATH_MAX], to[PATH_MAX];
    struct mqxi_stat file;
    struct attached *a = NULL;
    int r = mqxi_path(MQXI_QUEUES, name, from);

    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    if (strlen(new_name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (r == 0)
        r = mqxi_path(MQXI_QUEUES, new_name, to);
    if (r == 0)
        r = node_look_up(name, &file, &a); /* a durable one is attached: mqxd is told */
    /* The kernel has checked that, for the queue that had the name a moment ago. */
    if (r == 0 && caller != 0 && caller != geteuid() && caller != file.uid)
        r = -EPERM;
    /* Never in the place of another, whose messages would be gone. */
    if (r == 0)
        r = (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (r == 0)
        was_renamed(file.ino, new_name);
    if (a)
        attached_put(a);
    return r;
}

int replace_group(const struct node *n, const struct mqxi_stat *file, struct attached *a, gid_t gid)
{
    struct mqxi_stat st;
    char path[PATH_MAX];
    int fd, r = is_sysv(a) ? -EPERM : mqxi_path(MQXI_QUEUES, n->name, path);

    if (r < 0)
        return r;
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    r = mqxi_sys_stat(fd, "", &st);
    /* Its user may have put something else there, whose group is none of his. */
    if (r == 0 && (st.ino != file->ino || st.uid != file->uid || !S_ISREG(st.mode)))
        r = -ESTALE;
    if (r == 0)
        r = (int)MQXI_SYS(SYS_fchown, fd, -1, gid);
    mqxi_sys_close(fd);
    if (r < 0)
        return r;
    a->queue->gid = gid;
    if (atomic_load(&a->queue->header->durable) != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(a->queue->uid);
    return 0;
}

/* --- another segment ------------------------------------------------------------------------- */

/* Has a process the FIFO open?  Only one without readers cannot be opened for writing. */
static bool fifo_is_open(const struct mqxi_queue *q)
{
    char path[PATH_MAX];
    int fd = mqxi_segment_fifo(q, path);

    if (fd == 0)
        fd = mqxi_sys_openat(AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
    if (fd >= 0)
        mqxi_sys_close(fd);
    return fd != -ENXIO;
}

static bool is_in_use(struct attached *a)
{
    unsigned token;
    bool holds;

    if (a->users > 1) /* there is an open file, not just this request */
        return true;
    polled_unwatch(a); /* our own */
    if (fifo_is_open(a->queue))
        return true;
    token = mqxi_op_enter();
    holds = mqxi_count(a->queue) > 0;
    mqxi_op_leave(token);
    return holds;
}

static int exchange(const char *one, const char *other)
{
    return (int)MQXI_SYS(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

/* Put the new segment in the place of the old one. */
static int put_in_place(const struct mqxi_unborn *unborn, const char *name, struct attached *a)
{
    char old[PATH_MAX], new[PATH_MAX], fifo[PATH_MAX];
    struct mqxi_stat st;
    int r = mqxi_path(MQXI_QUEUES, name, old);

    if (r == 0)
        r = mqxi_path(MQXI_TMP, unborn->temporary, new);
    if (r == 0)
        r = mqxi_segment_fifo(a->queue, fifo);
    if (r == 0)
        r = exchange(old, new);
    if (r < 0)
        return r;
    /* What lies at `new` now is what had the name. */
    if (mqxi_sys_stat(AT_FDCWD, new, &st) < 0 || st.ino != a->queue->ino || is_in_use(a))
        return exchange(old, new) < 0 ? -EIO : -EBUSY;
    MQXI_SYS(SYS_unlinkat, AT_FDCWD, fifo, 0);
    atomic_store(&a->queue->dead, true); /* who has looked it up and comes to open it looks again */
    return 0;
}

int replace_queue(struct node *n, struct attached *a, const struct replacement *by)
{
    struct mqxi_header *h = a->queue->header;
    struct mqxi_attr attr = {by->maxmsg, by->msgsize, atomic_load(&h->mode), MQXI_DURABLE_OFF};
    struct mqxi_unborn unborn;
    int r;

    if (is_sysv(a) || atomic_load(&h->durable) != MQXI_DURABLE_OFF)
        return -EOPNOTSUPP;
    if (is_in_use(a))
        return -EBUSY;
    r = mqxi_segment_build(&attr, &unborn);
    if (r < 0)
        return r;
    if (geteuid() == 0)
        r = mqxi_segment_give(&unborn, by->uid, by->gid);
    if (r == 0)
        r = put_in_place(&unborn, n->name, a);
    if (r == 0)
        n->ino = unborn.queue->ino;
    mqxi_segment_finish(&unborn, r == 0);
    if (r == 0)
        mqxi_segment_detach(unborn.queue); /* attached anew, by its new owner's name */
    return r;
}
