/*
 * A message queue descriptor as a file.  In the kernel an mqd_t is an open file
 * of its mqueue filesystem; ours is one of a FIFO, and what a program can see of
 * that through fstat, fcntl and read is what the kernel's would show.
 *
 * Which queue a descriptor stands for that did not come from mq_open is found
 * by its FIFO: this process has that queue already (dup, fork), or the FIFO's
 * name is the inode number of a segment in $MQX_DIR (exec, SCM_RIGHTS).
 */
#include "files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capable.h"
#include "client.h"
#include "durable.h"
#include "engine.h"
#include "names.h"
#include "notify.h"
#include "remote.h"
#include "segment.h"
#include "sets.h"
#include "sys.h"
#include "thread.h"
#include "watch.h"

#define FILE_SIZE 80 /* what the kernel says of its queues' files */

static unsigned access_of(int flags)
{
    return (flags & O_APPEND ? 0 : MQXI_WRITE) | (flags & O_NOATIME ? 0 : MQXI_READ);
}

/* --- descriptors that came otherwise ------------------------------------------------------------
 */

struct search {
    enum mqxi_place place;
    uint64_t ino;
    char *name; /* NAME_MAX + 1 bytes: what has this inode number */
};

static int compare(const char *name, void *arg)
{
    struct search *s = arg;
    struct mqxi_stat st;
    char path[PATH_MAX];

    if (mqxi_path(s->place, name, path) < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0 ||
        st.ino != s->ino)
        return 0;
    strcpy(s->name, name);
    return 1;
}

static bool find_name(enum mqxi_place place, uint64_t ino, char *name)
{
    struct search s = {place, ino, name};

    return mqxi_list(place, compare, &s) == 1;
}

/* Attach the queue whose FIFO this is. */
static int attach_by_fifo(const struct mqxi_stat *fifo, struct mqxi_queue **out)
{
    char name[NAME_MAX + 1], path[PATH_MAX];
    struct mqxi_stat st;
    uint64_t segment;
    int r;

    if (mqxi_path(MQXI_FIFOS, "", path) < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0 ||
        st.dev != fifo->dev || !find_name(MQXI_FIFOS, fifo->ino, name))
        return -EBADF;
    segment = strtoull(name, NULL, 10);
    if (!find_name(MQXI_QUEUES, segment, name))
        return -EBADF;
    r = mqxi_segment_attach(name, out);
    if (r == 0 && (*out)->ino != segment) { /* unlinked and created anew in between */
        mqxi_queue_put(*out);
        r = -EBADF;
    }
    return r == 0 ? 0 : -EBADF;
}

static int adopt(int fd)
{
    struct mqxi_stat st;
    struct mqxi_queue *q;
    int flags = mqxi_sys_fcntl(fd, F_GETFL, 0), r;

    if (flags >= 0 && mqxi_remote_adopt(fd) == 0)
        return 0;
    /* O_RDWR keeps out the ends of most programs' pipes before anything is looked for. */
    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || mqxi_sys_stat(fd, "", &st) < 0 ||
        !S_ISFIFO(st.mode))
        return -EBADF;
    q = mqxi_handle_find(st.ino);
    r = q && mqxi_queue_get(q) ? 0 : attach_by_fifo(&st, &q);
    if (r < 0)
        return r;
    /* What it was when we looked: by now another thread may have closed it, and the number be any
     * other file's. */
    atomic_store(&q->fifo, st.ino);
    atomic_store(&q->fd, fd);
    r = mqxi_handle_set(fd, q, access_of(flags));
    if (r < 0)
        mqxi_queue_put(q);
    return r < 0 ? -EBADF : 0;
}

int mqxi_file_queue(int fd, struct mqxi_queue **q, unsigned *access)
{
    int r = mqxi_handle_get(fd, q, access);

    if (r != -EBADF || fd < 0 || adopt(fd) < 0)
        return r;
    return mqxi_handle_get(fd, q, access);
}

/* What was there when the program began: poll asks no more about a descriptor than the table says.
 */
__attribute__((constructor)) static void adopt_inherited(void)
{
    const int most = 64; /* numbers in a row that are not in use */

    for (int fd = 0, unused = 0; unused < most; fd++) {
        int flags = mqxi_sys_fcntl(fd, F_GETFL, 0);
        struct mqxi_stat st;

        unused = flags < 0 ? unused + 1 : 0;
        if (flags < 0 || (flags & O_ACCMODE) != O_RDWR || mqxi_sys_stat(fd, "", &st) < 0)
            continue;
        if (S_ISFIFO(st.mode)) {
            unsigned token = mqxi_op_enter();

            adopt(fd);
            mqxi_op_leave(token);
        } else if ((st.mode & S_IFMT) == 0 && mqxi_set_is(fd))
            mqxi_watch_adopt(fd);
    }
}

void mqxi_file_opened(struct mqxi_queue *q, int fd)
{
    struct mqxi_stat st;

    if (mqxi_sys_stat(fd, "", &st) == 0)
        atomic_store(&q->fifo, st.ino);
    atomic_store(&q->fd, fd);
}

bool mqxi_file_still(int fd, const struct mqxi_queue *q)
{
    uint64_t fifo = atomic_load(&q->fifo);
    struct mqxi_stat st;

    if (fifo == 0 || (mqxi_sys_stat(fd, "", &st) == 0 && S_ISFIFO(st.mode) && st.ino == fifo))
        return true;
    mqxi_handle_clear(fd);
    return false;
}

/* The queue that fd stands for, and really does: for calls that every other file has, too. */
static int known(int fd, struct mqxi_queue **q, unsigned *access)
{
    int r = mqxi_handle_get(fd, q, access);

    return (r == 0 && !mqxi_file_still(fd, *q)) || (r == -EREMOTE && !mqxi_remote_still(fd))
               ? -EBADF
               : r;
}

/* Does it stand for another user's queue? */
static bool is_remote(int fd)
{
    struct mqxi_queue *q;
    unsigned access;

    return mqxi_handle_position(fd) >= 0 && mqxi_handle_get(fd, &q, &access) == -EREMOTE &&
           mqxi_remote_still(fd);
}

/* --- closing ------------------------------------------------------------------------------------
 */

/* A child of vfork closes descriptors of its own, but its memory is its parent's. */
static bool borrowed(const struct mqxi_queue *q)
{
    const struct mqxi_identity *page = atomic_load(&mqxi_identities);
    const struct mqxi_identity *me = page ? &page[q->registry % MQXI_IDENTITIES] : NULL;
    uint32_t pid = me ? atomic_load(&me->pid) : 0;

    return pid != 0 && pid != (uint32_t)MQXI_SYS(SYS_getpid);
}

void mqxi_file_closing(int fd)
{
    unsigned token, access;
    struct mqxi_queue *q;
    bool clear = false;
    int r;

    mqxi_watch_closing((unsigned)fd, (unsigned)fd);
    if (mqxi_handle_position(fd) < 0)
        return;
    token = mqxi_op_enter();
    r = mqxi_handle_get(fd, &q, &access);
    if (r == 0 && !borrowed(q)) {
        mqxi_notify_closed(q);
        clear = true;
    }
    mqxi_op_leave(token);
    if (r == -EREMOTE)
        mqxi_remote_closing(fd);
    if (clear || r == -EREMOTE)
        mqxi_handle_clear(fd);
}

void mqxi_files_closing(unsigned first, unsigned last)
{
    int fd;

    mqxi_watch_closing(first, last);
    while (first <= last && (fd = mqxi_handle_next(first, last)) >= 0) {
        mqxi_file_closing(fd);
        first = (unsigned)fd + 1;
    }
}

/* Noted at once, since closing the duplicate ends a notification like closing any other. */
void mqxi_file_duplicated(int from, int to)
{
    unsigned token, access;
    struct mqxi_queue *q;
    bool set = false;
    int r;

    mqxi_file_closing(to);
    mqxi_set_duplicated(from, to);
    if (mqxi_handle_position(from) < 0)
        return;
    token = mqxi_op_enter();
    r = mqxi_handle_get(from, &q, &access);
    if (r == -EREMOTE)
        mqxi_handle_set_remote(to, access);
    if (r == 0 && !borrowed(q) && mqxi_queue_get(q))
        set = true;
    if (set && mqxi_handle_set(to, q, access) < 0)
        mqxi_queue_put(q); /* no memory: found when it is used */
    mqxi_op_leave(token);
}

/* --- status flags -------------------------------------------------------------------------------
 */

/* Is it a descriptor of a queue, still?  And what may be done by it. */
static bool is_ours(int fd, unsigned *access)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_queue *q;
    int r = mqxi_file_queue(fd, &q, access);

    if (r == 0 && !mqxi_file_still(fd, q))
        r = -EBADF;
    mqxi_op_leave(token);
    return r == 0;
}

int mqxi_file_getfl(int fd, int flags)
{
    unsigned access;

    if (flags >= 0 && is_remote(fd))
        return flags & (O_ACCMODE | O_NONBLOCK);
    if (flags < 0 || (flags & O_ACCMODE) != O_RDWR ||
        (mqxi_handle_position(fd) < 0 && !(flags & (O_APPEND | O_NOATIME))))
        return flags;
    if (!is_ours(fd, &access))
        return flags;
    return (flags & O_NONBLOCK) | (access == MQXI_READ    ? O_RDONLY
                                   : access == MQXI_WRITE ? O_WRONLY
                                   : access               ? O_RDWR
                                                          : O_ACCMODE);
}

int mqxi_file_setfl(int fd, int flags)
{
    unsigned access;
    int now;

    if (is_remote(fd))
        return flags & O_DIRECT ? -EINVAL : flags & O_NONBLOCK;
    if (!is_ours(fd, &access))
        return flags;
    if (flags & O_DIRECT)
        return -EINVAL;
    now = mqxi_sys_fcntl(fd, F_GETFL, 0);
    return now < 0 ? now : (now & (O_APPEND | O_NOATIME)) | (flags & O_NONBLOCK);
}

/* --- what it looks like -------------------------------------------------------------------------
 */

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

int mqxi_file_stat(int fd, struct stat *st)
{
    unsigned token, access;
    struct mqxi_queue *q;
    int r;

    if (S_ISREG(st->st_mode) && is_remote(fd)) {
        st->st_size = FILE_SIZE;
        return 1;
    }
    if (!S_ISFIFO(st->st_mode))
        return 0;
    token = mqxi_op_enter();
    r = mqxi_file_queue(fd, &q, &access);
    if (r == 0) {
        const struct mqxi_header *h = q->header;

        st->st_mode = S_IFREG | (atomic_load(&h->mode) & 07777);
        st->st_size = FILE_SIZE;
        st->st_atim = time_of(atomic_load(&h->last_recv_ns));
        st->st_mtim = time_of(atomic_load(&h->last_send_ns));
        st->st_ctim = st->st_mtim;
    }
    mqxi_op_leave(token);
    return r == 0;
}

static struct timespec time_in(struct statx_timestamp t)
{
    return (struct timespec){t.tv_sec, (long)t.tv_nsec};
}

static struct statx_timestamp timestamp_of(struct timespec t)
{
    return (struct statx_timestamp){.tv_sec = t.tv_sec, .tv_nsec = (uint32_t)t.tv_nsec};
}

int mqxi_file_statx(int fd, struct statx *st)
{
    struct stat now = {.st_mode = st->stx_mode,
                       .st_atim = time_in(st->stx_atime),
                       .st_mtim = time_in(st->stx_mtime),
                       .st_ctim = time_in(st->stx_ctime)};

    if (!mqxi_file_stat(fd, &now))
        return 0;
    st->stx_mode = (uint16_t)now.st_mode;
    st->stx_size = (uint64_t)now.st_size;
    st->stx_atime = timestamp_of(now.st_atim);
    st->stx_mtime = timestamp_of(now.st_mtim);
    st->stx_ctime = timestamp_of(now.st_ctim);
    return 1;
}

int mqxi_file_chmod(int fd, mode_t mode)
{
    uid_t euid = (uid_t)MQXI_SYS(SYS_geteuid);
    unsigned token, access;
    struct mqxi_queue *q;
    int r;

    if (mqxi_handle_position(fd) < 0)
        return MQXI_NOT_OURS;
    token = mqxi_op_enter();
    r = known(fd, &q, &access) < 0                    ? MQXI_NOT_OURS
        : euid != q->uid && !mqxi_capable(CAP_FOWNER) ? -EPERM
                                                      : 0;
    if (r == 0) {
        atomic_store(&q->header->mode, mode & 07777);
        if (atomic_load(&q->header->durable) != MQXI_DURABLE_OFF)
            mqxi_durable_rescan(q->uid);
    }
    mqxi_op_leave(token);
    return r;
}

/* The line that the kernel's mqueue filesystem shows (mq_overview(7)). */
static size_t describe(uint64_t bytes, char *line, size_t size)
{
    return (size_t)snprintf(line, size, "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n",
                            (unsigned long)bytes, 0, 0, 0);
}

static int describe_remote(int fd, char *line, size_t size, size_t *n)
{
    struct mqxi_remote_state state;
    int r = mqxi_remote_state(fd, &state);

    if (r == 0)
        *n = describe(state.bytes, line, size);
    return r;
}

/* Spread over the pieces: how much of it they take. */
static size_t scatter(const struct iovec *to, int n, const char *text, size_t size)
{
    size_t done = 0;

    for (int i = 0; i < n && done < size; i++) {
        size_t part = size - done < to[i].iov_len ? size - done : to[i].iov_len;

        if (part > 0)
            memcpy(to[i].iov_base, text + done, part);
        done += part;
    }
    return done;
}

int mqxi_file_read(int fd, const struct iovec *to, int n, const off_t *offset, ssize_t *got)
{
    char line[MQXI_POSITIONS];
    struct mqxi_queue *q;
    unsigned token, access;
    off_t at = offset ? *offset : mqxi_handle_position(fd);
    size_t size = 0;
    int r;

    if (mqxi_handle_position(fd) < 0)
        return MQXI_NOT_OURS;
    token = mqxi_op_enter();
    r = known(fd, &q, &access);
    if (r == 0)
        size = describe(mqxi_bytes(q), line, sizeof(line));
    mqxi_op_leave(token);
    if (r == -EREMOTE)
        r = describe_remote(fd, line, sizeof(line), &size);
    if (r < 0)
        return MQXI_NOT_OURS;
    if (at < 0)
        return -EINVAL;
    if (!(access & MQXI_READ))
        return -EBADF;
    if (n < 0 || n > IOV_MAX)
        return -EINVAL;
    if (n > 0 && !to)
        return -EFAULT;
    *got = (size_t)at < size ? (ssize_t)scatter(to, n, line + at, size - (size_t)at) : 0;
    if (!offset)
        mqxi_handle_seek(fd, (unsigned)(at + *got));
    return 0;
}

/* What a descriptor can be used for, a queue's or not; *ours: it is. */
static unsigned usable(int fd, bool *ours)
{
    unsigned token, access = 0;
    struct mqxi_queue *q;
    int r = -EBADF, flags;

    if (mqxi_handle_position(fd) >= 0) {
        token = mqxi_op_enter();
        r = known(fd, &q, &access);
        mqxi_op_leave(token);
    }
    if (r == 0 || r == -EREMOTE) {
        *ours = true;
        return access;
    }
    flags = mqxi_sys_fcntl(fd, F_GETFL, 0);
    return flags < 0 ? 0
                     : ((flags & O_ACCMODE) == O_WRONLY ? 0 : MQXI_READ) |
                           ((flags & O_ACCMODE) == O_RDONLY ? 0 : MQXI_WRITE);
}

int mqxi_file_transfer(int from, int to)
{
    bool ours = false, can;

    if (mqxi_handle_position(from) < 0 && mqxi_handle_position(to) < 0)
        return MQXI_NOT_OURS;
    can = usable(from, &ours) & MQXI_READ;
    can = usable(to, &ours) & MQXI_WRITE && can;
    return !ours ? MQXI_NOT_OURS : can ? -EINVAL : -EBADF;
}

int mqxi_file_write(int fd)
{
    bool ours = false;
    unsigned access;

    if (mqxi_handle_position(fd) < 0)
        return MQXI_NOT_OURS;
    access = usable(fd, &ours);
    return !ours ? MQXI_NOT_OURS : access & MQXI_WRITE ? -EINVAL : -EBADF;
}

int mqxi_file_seek(int fd, off_t offset, int whence, off_t *now)
{
    struct mqxi_queue *q;
    unsigned token, access;
    int r, at = mqxi_handle_position(fd);

    if (at < 0)
        return MQXI_NOT_OURS;
    token = mqxi_op_enter();
    r = known(fd, &q, &access);
    mqxi_op_leave(token);
    if (r < 0 && r != -EREMOTE)
        return MQXI_NOT_OURS;
    if (whence != SEEK_SET && whence != SEEK_CUR && whence != SEEK_END)
        return -EINVAL;
    offset += whence == SEEK_CUR ? at : whence == SEEK_END ? FILE_SIZE : 0;
    if (offset < 0)
        return -EINVAL;
    *now = offset;
    /* Behind the end is behind the end. */
    return mqxi_handle_seek(fd, offset < MQXI_POSITIONS ? (unsigned)offset : MQXI_POSITIONS - 1);
}
