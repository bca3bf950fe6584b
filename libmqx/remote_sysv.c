/*
 * Another user's System V queue: its file in mqxfs is opened at the first call and kept
 * (remote_fds.c), and what each call may do is decided there, at each (fusefs/calls.c).
 */
#include "remote_sysv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ipc.h>

#include "anyname.h"
#include "msqids.h"
#include "names.h"
#include "remote.h"
#include "remote_fds.h"
#include "signals.h"
#include "sys.h"
#include "wait.h"

#define TRIES 3 /* each with an mqxfs that was started anew, or a descriptor that was closed */

static int stat_segment(int id, struct mqxi_stat *out)
{
    char path[PATH_MAX];
    int r = mqxi_msqid_path(id, path);

    if (r == 0)
        r = mqxi_sys_stat(AT_FDCWD, path, out);
    return r == -ENOENT || r == -ENOTDIR ? -EINVAL : r;
}

/* key: by which the queue is found, or 0. */
static int find(int id, int key, bool quietly, struct mqxi_stat *segment)
{
    struct mqxi_stat now;
    char name[40];
    int other, fd, r = stat_segment(id, segment);

    if (r < 0)
        return r;
    if (segment->uid == (uid_t)MQXI_SYS(SYS_geteuid))
        return -EACCES; /* his own: somebody took his right to its file */
    if (key != 0)
        snprintf(name, sizeof(name), MQXI_SYSV_DIR "/@0x%08x", (unsigned)key);
    else
        snprintf(name, sizeof(name), MQXI_SYSV_DIR "/@%d", id);
    fd = mqxi_remote_find(name, O_RDWR, segment);
    if (fd != -ENODEV)
        return fd;
    if (stat_segment(id, &now) < 0 || now.ino != segment->ino)
        return -EINVAL;
    if (key != 0 && (mqxi_msqid_of(key, &other) < 0 || other != id))
        return -EINVAL; /* it is being removed: its key goes first */
    snprintf(name, sizeof(name), MQXI_SYSV_DIR "/%d", id);
    if (!quietly)
        mqxi_remote_say_none(name, segment->uid);
    return -EACCES;
}

static int have_file(int id, int key, bool quietly, struct mqxi_remote_fd *out)
{
    struct mqxi_stat segment;
    int fd;

    if (mqxi_remote_fd_get(id, out) == 0)
        return 0;
    fd = find(id, key, quietly, &segment);
    if (fd < 0)
        return fd;
    mqxi_remote_fd_keep(id, segment.ino, fd, out);
    return 0;
}

/* Is the file of no use any more? */
static bool is_over(ssize_t r)
{
    return r == -ENOTCONN || r == -EIDRM || r == -EINVAL || r == -EIO;
}

static MQXI_CLEANUP void put_file(void *f)
{
    mqxi_remote_fd_put(f, false);
}

/* --- msgsnd and msgrcv --------------------------------------------------------------------------
 */

/* Opening takes long; a handler that runs meanwhile has interrupted the call all the same. */
static int begin(struct mqxi_remote_transfer *t, struct mqxi_remote_fd *f)
{
    uint64_t mask;
    int r;

    if (mqxi_remote_fd_get(t->id, f) == 0)
        return 0;
    mask = mqxi_signals_hold();
    r = have_file(t->id, 0, false, f);
    t->interrupted = mqxi_signals_release(mask, false) || t->interrupted;
    return r == -EINVAL ? -EIDRM : r; /* it was there when the call began */
}

static ssize_t transfer(struct mqxi_remote_transfer *t)
{
    ssize_t r = -ENOTCONN;

    for (int i = 0; r == -ENOTCONN && i < TRIES; i++) {
        struct mqxi_remote_fd f;

        r = begin(t, &f);
        if (r < 0)
            return r;
        pthread_cleanup_push(put_file, &f);
        r = mqxi_remote_transfer(f.fd, t);
        pthread_cleanup_pop(0);
        mqxi_remote_fd_put(&f, is_over(r));
    }
    return r == -ENOTCONN ? -EIO : r;
}

int mqxi_remote_msgsnd(int id, const void *text, size_t len, long type, bool wait)
{
    struct mqxi_remote_transfer t = {
        .id = id, .sends = true, .text = (void *)text, .len = len, .type = type, .wait = wait};

    return (int)transfer(&t);
}

ssize_t mqxi_remote_msgrcv(int id, void *message, size_t room, long type, unsigned flags, bool wait)
{
    struct mqxi_remote_transfer t = {.id = id,
                                     .text = (uint8_t *)message + sizeof(long),
                                     .len = room,
                                     .type = type,
                                     .flags = flags,
                                     .wait = wait};

    return transfer(&t);
}

/* --- the others ---------------------------------------------------------------------------------
 */

static int ask(int fd, int id, enum mqxi_remote_command command, int flags,
               struct mqxi_msq_state *state)
{
    struct mqxi_remote_control c = {
        .sysv = {.id = id, .flags = MQXI_SYSV_CALL}, .command = command, .flags = (uint32_t)flags};
    int r;

    if (state)
        c.state = *state;
    r = mqxi_remote_try(fd, MQXI_ASK(MQXI_CONTROL, sizeof(c)), &c);
    if (r == 0 && state)
        *state = c.state;
    return r;
}

static int control(int id, int key, enum mqxi_remote_command command, int flags,
                   struct mqxi_msq_state *state)
{
    int r = -ENOTCONN;

    for (int i = 0; r == -ENOTCONN && i < TRIES; i++) {
        struct mqxi_remote_fd f;

        r = have_file(id, key, command == MQXI_COUNT, &f);
        if (r < 0)
            return r;
        r = ask(f.fd, id, command, flags, state);
        mqxi_remote_fd_put(&f, is_over(r));
    }
    return r == -ENOTCONN ? -EIO : r == -EIDRM ? -EINVAL : r;
}

int mqxi_remote_msgget(int key, int id, int flags)
{
    bool is_new = flags & IPC_CREAT && flags & IPC_EXCL; /* whatever he may: only, is it there? */
    int r = control(id, key, is_new ? MQXI_COUNT : MQXI_MSGGET, flags, NULL);

    return r == -EINVAL ? -ENOENT : is_new ? -EEXIST : r < 0 ? r : id;
}

void mqxi_remote_clear_key(int key)
{
    struct mqxi_stat none = {0};
    char name[40];
    int fd;

    snprintf(name, sizeof(name), MQXI_SYSV_DIR "/@0x%08x", (unsigned)key);
    fd = mqxi_remote_find(name, O_RDWR, &none); /* it is looked for: that is all */
    if (fd >= 0)
        mqxi_sys_close(fd);
}

int mqxi_remote_msgctl(int id, enum mqxi_remote_command command, struct mqxi_msq_state *state)
{
    return control(id, 0, command, 0, state);
}

int mqxi_remote_msg_fd(int id)
{
    struct mqxi_stat segment;
    int fd = find(id, 0, false, &segment), r;

    if (fd < 0)
        return fd;
    r = ask(fd, id, MQXI_ANYTHING, 0, NULL);
    if (r < 0)
        mqxi_sys_close(fd);
    return r < 0 ? r : fd;
}
