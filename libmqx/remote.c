/*
 * Another user's queue.  A process never maps it; it opens the queue's file where
 * mqxfs is mounted, and the kernel decides by the queue's mode, owner and group
 * whether it may.  That descriptor is the mqd_t: poll, select, epoll, dup and all
 * the rest are the kernel's; mq_* are ioctls on it (protocol.h, remote_call.c).
 *
 * Whom to trust: who answers at a mount gets the messages sent there, and who
 * reads may wait for him for ever.  So only root's mounts count, and those of the
 * queue's owner, whose queue it is anyway.  That it is the same queue, and not
 * that of another $MQX_DIR, mqxfs proves by naming the segment.
 */
#include "remote.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handles.h"
#include "mounts.h"
#include "names.h"
#include "sys.h"

#define TRUSTED 16

static _Atomic uint64_t trusted[TRUSTED]; /* devices: a descriptor of another is none of ours */

static bool is_trusted(uint64_t dev)
{
    for (int i = 0; i < TRUSTED; i++)
        if (atomic_load_explicit(&trusted[i], memory_order_relaxed) == dev)
            return true;
    return false;
}

static void trust(uint64_t dev)
{
    static atomic_uint next;

    if (!is_trusted(dev))
        atomic_store(&trusted[atomic_fetch_add(&next, 1) % TRUSTED], dev);
}

/* What the kernel knows of it without asking mqxfs. */
static int stat_quietly(int fd, const char *path, struct statx *out)
{
    return (int)MQXI_SYS(SYS_statx, fd, path, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, out);
}

static uint64_t dev_of(const struct statx *sx)
{
    return (uint64_t)sx->stx_dev_major << 32 | sx->stx_dev_minor;
}

uint64_t mqxi_remote_which(int fd)
{
    struct statx sx;

    return stat_quietly(fd, "", &sx) == 0 && S_ISREG(sx.stx_mode) && is_trusted(dev_of(&sx))
               ? sx.stx_ino
               : 0;
}

uint64_t mqxi_remote_is(int fd)
{
    uint64_t queue = mqxi_remote_which(fd);

    if (queue == 0)
        mqxi_handle_clear(fd);
    return queue;
}

bool mqxi_remote_still(int fd)
{
    return mqxi_remote_is(fd) != 0;
}

int mqxi_remote_try(int fd, unsigned long request, void *arg)
{
    int r = (int)MQXI_SYS(SYS_ioctl, fd, request, arg);

    if (r == -ECONNABORTED || r == -ESTALE)
        return -EIO; /* mqxfs ended */
    return r == -ENOTTY ? -EBADF : r;
}

int mqxi_remote_ask(int fd, unsigned long request, void *arg)
{
    int r = mqxi_remote_try(fd, request, arg);

    return r == -ENOTCONN ? -EIO : r;
}

struct mqxi_remote_caller mqxi_remote_self(void)
{
    return (struct mqxi_remote_caller){(uint32_t)MQXI_SYS(SYS_getpid),
                                       (uint32_t)MQXI_SYS(SYS_getuid)};
}

static int ask_state(int fd, struct mqxi_remote_state *out)
{
    int r = mqxi_remote_ask(fd, MQXI_ASK(MQXI_STATE, sizeof(*out)), out);

    return r == 0 && out->magic != MQXI_REMOTE_MAGIC ? -EBADF : r;
}

int mqxi_remote_state(int fd, struct mqxi_remote_state *out)
{
    *out = (struct mqxi_remote_state){0};
    return mqxi_remote_still(fd) ? ask_state(fd, out) : -EBADF;
}

static unsigned access_of(int oflag)
{
    return ((oflag & O_ACCMODE) != O_WRONLY ? MQXI_READ : 0) |
           ((oflag & O_ACCMODE) != O_RDONLY ? MQXI_WRITE : 0);
}

/* --- opening ------------------------------------------------------------------------------------
 */

struct search {
    const char *name;
    int oflag;
    struct mqxi_stat segment;
    const char *only; /* $MQX_MOUNT, or NULL */
    uint64_t only_dev;
    int fd; /* -EACCES: a mount is there, and the queue's mode forbids it */
};

/* Is this the queue, and not one of that name in another directory? */
static bool is_same(int fd, const struct mqxi_stat *segment)
{
    struct mqxi_remote_state state;

    return ask_state(fd, &state) == 0 && state.dev == segment->dev && state.ino == segment->ino;
}

static int try_mount(const struct mqxi_mount *m, void *arg)
{
    struct search *s = arg;
    const char *at = s->only ? s->only : m->path;
    char path[2 * PATH_MAX];
    struct mqxi_stat file;
    int fd;

    if ((m->owner != 0 && m->owner != s->segment.uid) || (s->only && m->dev != s->only_dev))
        return 0;
    snprintf(path, sizeof(path), "%s/%s", at, s->name);
    fd = mqxi_sys_openat(AT_FDCWD, path,
                         (s->oflag & (O_ACCMODE | O_NONBLOCK)) | O_CLOEXEC | O_NOFOLLOW, 0);
    if (fd >= 0 && is_same(fd, &s->segment)) {
        trust(m->dev);
        s->fd = fd;
        return 1;
    }
    if (fd >= 0)
        mqxi_sys_close(fd);
    /* Is it this queue that may not be opened, or another's, or a mount that lets nobody else in?
     */
    if ((fd != -EACCES && fd != -EMFILE && fd != -ENFILE && fd != -ENOMEM && fd != -ESRCH) ||
        mqxi_sys_stat(AT_FDCWD, path, &file) < 0 || file.ino != s->segment.ino)
        return 0;
    s->fd = fd;
    return 1;
}

void mqxi_remote_say_none(const char *name, uid_t owner)
{
    static atomic_flag said = ATOMIC_FLAG_INIT;
    char text[NAME_MAX + PATH_MAX + 300];
    int n;

    if (atomic_flag_test_and_set(&said))
        return;
    n = snprintf(text, sizeof(text),
                 "mqx: queue %s%s belongs to user %u: others use it through mqxfs, which root has "
                 "not mounted for the queues in %s; run 'mqxfs MOUNTPOINT' as root\n",
                 strchr(name, '/') ? "" : "/", name, (unsigned)owner, mqxi_dir());
    MQXI_SYS(SYS_write, 2, text, n < (int)sizeof(text) ? n : (int)sizeof(text) - 1);
}

static int stat_segment(const char *name, struct mqxi_stat *out)
{
    char path[PATH_MAX];
    int r = mqxi_path(MQXI_QUEUES, name, path);

    if (r == 0)
        r = mqxi_sys_stat(AT_FDCWD, path, out);
    return r < 0 ? r : S_ISREG(out->mode) ? 0 : -EACCES;
}

/* The lowest number that is free: the list of mounts was open when this one was opened. */
static int lowest(int fd)
{
    int lower = mqxi_sys_fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (lower < 0)
        return fd;
    mqxi_sys_close(lower < fd ? fd : lower);
    return lower < fd ? lower : fd;
}

int mqxi_remote_find(const char *name, int oflag, const struct mqxi_stat *segment)
{
    struct search s = {.name = name,
                       .oflag = oflag,
                       .segment = *segment,
                       .only = secure_getenv("MQX_MOUNT"),
                       .fd = -1};
    struct statx sx;

    if (s.only && (!*s.only || stat_quietly(AT_FDCWD, s.only, &sx) < 0))
        s.only = NULL;
    s.only_dev = s.only ? dev_of(&sx) : 0;
    return mqxi_mounts_each(try_mount, &s) <= 0 ? -ENODEV : s.fd < 0 ? s.fd : lowest(s.fd);
}

int mqxi_remote_open(const char *name, int oflag)
{
    struct mqxi_stat segment, now;
    int fd, r = stat_segment(name, &segment);

    if (r < 0)
        return r == -ENOENT ? -ESTALE : r;
    if (segment.uid == (uid_t)MQXI_SYS(SYS_geteuid))
        return -EACCES; /* his own: somebody took his right to its file */
    fd = mqxi_remote_find(name, oflag, &segment);
    if (fd == -ENODEV) {
        if (stat_segment(name, &now) < 0 || now.ino != segment.ino)
            return -ESTALE;
        mqxi_remote_say_none(name, segment.uid);
        return -EACCES;
    }
    r = fd < 0 ? fd : mqxi_handle_set_remote(fd, access_of(oflag));
    if (r < 0 && fd >= 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}

/* --- descriptors that came otherwise ------------------------------------------------------------
 */

static int compare(const struct mqxi_mount *m, void *arg)
{
    return m->dev == *(uint64_t *)arg && m->owner == 0;
}

int mqxi_remote_adopt(int fd)
{
    struct mqxi_remote_state state;
    struct statx sx;
    uint64_t dev;
    int flags;

    if (stat_quietly(fd, "", &sx) < 0 || !S_ISREG(sx.stx_mode) || sx.stx_dev_major != 0)
        return -EBADF;
    dev = dev_of(&sx);
    flags = mqxi_sys_fcntl(fd, F_GETFL, 0);
    if (flags < 0 || flags & O_PATH)
        return -EBADF;
    if (!is_trusted(dev)) {
        if (mqxi_mounts_each(compare, &dev) != 1)
            return -EBADF;
        trust(dev);
    }
    return ask_state(fd, &state) == 0 && mqxi_handle_set_remote(fd, access_of(flags)) == 0 ? 0
                                                                                           : -EBADF;
}
