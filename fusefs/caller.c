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

static bool number_behind(const char *status, const char *label, uint32_t *out)
{
    const char *line = strstr(status, label);

    if (line)
        *out = (uint32_t)strtoul(line + strlen(label), NULL, 10);
    return line;
}

struct mqxi_sender caller_identify(const struct fuse_ctx *ctx, struct mqxi_remote_caller says)
{
    struct mqxi_sender caller = {(uint32_t)ctx->pid, ctx->uid};
    char path[64], status[1024];
    long n;
    int fd;

    if (ctx->pid == 0 || (says.pid == caller.pid && says.uid == caller.uid))
        return caller;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)ctx->pid);
    fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    n = fd < 0 ? fd : MQXI_SYS(SYS_read, fd, status, sizeof(status) - 1);
    if (fd >= 0)
        mqxi_sys_close(fd);
    status[n < 0 ? 0 : n] = 0;
    number_behind(status, "\nTgid:", &caller.pid);
    number_behind(status, "\nUid:", &caller.uid); /* the first of them */
    return caller;
}

bool caller_is_dead(pid_t tid)
{
    return tid != 0 && kill(tid, 0) < 0 && errno == ESRCH;
}
