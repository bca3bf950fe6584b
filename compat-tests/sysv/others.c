/*
 * With --others the cases run on another user's queues: the program is OTHER, and a process
 * of USER's creates each queue for it and makes it its owner.  So all that the cases say of
 * sending, receiving and waiting is said of those, too.
 */
#include "sysv.h"

#include <grp.h>
#include <sys/socket.h>

static int helper = -1; /* a socket */

struct order {
    key_t key;
    int flags;
};

/* For OTHER: an identifier, or -errno. */
static int get_for_other(const struct order *o)
{
    int q = msgget(o->key, o->flags);
    struct msqid_ds ds;

    if (q == -1)
        return -errno;
    if (msgctl(q, IPC_STAT, &ds) == -1)
        return errno == EACCES ? q : -errno; /* its mode does not let its creator look */
    if (ds.msg_perm.uid != USER)
        return q; /* it was there */
    ds.msg_perm.uid = ds.msg_perm.gid = OTHER;
    return msgctl(q, IPC_SET, &ds) == -1 ? -errno : q;
}

static int help(void *ends)
{
    struct order o;
    int fd = ((int *)ends)[0], result;

    close(((int *)ends)[1]); /* or it would not be over when the program is */
    become(USER);
    while (read(fd, &o, sizeof(o)) == (ssize_t)sizeof(o)) {
        result = get_for_other(&o);
        if (write(fd, &result, sizeof(result)) != (ssize_t)sizeof(result))
            break;
    }
    return 0;
}

bool others_begin(void)
{
    int ends[2];

    if (geteuid() != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        fprintf(stderr, "--others: not root, or no socket\n");
        return false;
    }
    spawn(help, ends);
    close(ends[0]);
    helper = ends[1];
    become(OTHER);
    return true;
}

bool with_others(void)
{
    return helper >= 0;
}

int others_get(key_t key, int flags)
{
    struct order o = {key, flags};
    int result = -EIO;

    if (write(helper, &o, sizeof(o)) != (ssize_t)sizeof(o) ||
        read(helper, &result, sizeof(result)) != (ssize_t)sizeof(result) || result < 0) {
        errno = -result;
        return -1;
    }
    return result;
}
