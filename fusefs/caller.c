/*
 * Who makes a request.  The kernel tells the thread (not its process) and the
 * user id that it acts with on files.  A message's sender is a process and its
 * real user id; usually both are the same, and else /proc knows.
 */
#include "caller.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

#define STATUS 1024 /* bytes at the beginning of /proc/PID/status, where all that we want is */

static bool number_behind(const char *status, const char *label, uint32_t *out)
{
    const char *line = strstr(status, label);

    if (line)
        *out = (uint32_t)strtoul(line + strlen(label), NULL, 10);
    return line;
}

/* /proc/PID/status, or "" */
static void read_status(pid_t pid, char *status, size_t size)
{
    char path[64];
    long n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    n = fd < 0 ? fd : MQXI_SYS(SYS_read, fd, status, size - 1);
    if (fd >= 0)
        mqxi_sys_close(fd);
    status[n < 0 ? 0 : n] = 0;
}

struct mqxi_sender caller_identify(const struct fuse_ctx *ctx, struct mqxi_remote_caller says)
{
    struct mqxi_sender caller = {(uint32_t)ctx->pid, ctx->uid};
    char status[STATUS];

    if (ctx->pid == 0 || (says.pid == caller.pid && says.uid == caller.uid))
        return caller;
    read_status(ctx->pid, status, sizeof(status));
    number_behind(status, "\nTgid:", &caller.pid);
    number_behind(status, "\nUid:", &caller.uid); /* the first of them */
    return caller;
}

bool caller_may_signal(uid_t uid, pid_t pid)
{
    char status[STATUS], *line;
    unsigned real, saved;

    read_status(pid, status, sizeof(status));
    line = strstr(status, "\nUid:");
    return uid == 0 || (line && sscanf(line, "\nUid: %u %*u %u", &real, &saved) == 2 &&
                        (uid == real || uid == saved));
}

bool caller_is_dead(pid_t tid)
{
    return tid != 0 && kill(tid, 0) < 0 && errno == ESRCH;
}

bool caller_has_ended(pid_t tid)
{
    char status[STATUS];

    if (tid == 0 || caller_is_dead(tid))
        return tid != 0;
    read_status(tid, status, sizeof(status));
    return strstr(status, "\nState:\tZ") || strstr(status, "\nState:\tX");
}
