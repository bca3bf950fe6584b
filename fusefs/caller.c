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
#include <sys/stat.h>

#include "sys.h"

#define GROUPS 1024 /* that a user may be in; of more, the first ones count */
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

/* --- groups and capabilities --------------------------------------------------------------------
 */

static char *read_all(int fd)
{
    size_t len = 0, size = 4096;
    char *text = malloc(size), *more;
    long n;

    while (text && (n = MQXI_SYS(SYS_read, fd, text + len, size - 1 - len)) > 0) {
        len += (size_t)n;
        if (len < size - 1)
            continue;
        size *= 2;
        more = realloc(text, size);
        if (!more)
            free(text);
        text = more;
    }
    if (text)
        text[len] = 0;
    return text;
}

/* Capabilities are worth something in one's own user namespace only. */
static bool same_namespace(int process)
{
    struct stat his, ours;

    return fstatat(process, "ns/user", &his, 0) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
           his.st_ino == ours.st_ino && his.st_dev == ours.st_dev;
}

/* Is it still the process that asked, and not one that has its number by now? */
static bool is_he(const char *status, const struct fuse_ctx *ctx)
{
    const char *uid = strstr(status, "\nUid:"), *gid = strstr(status, "\nGid:");
    unsigned fsuid, fsgid;

    return uid && sscanf(uid, "\nUid: %*u %*u %*u %u", &fsuid) == 1 && fsuid == ctx->uid && gid &&
           sscanf(gid, "\nGid: %*u %*u %*u %u", &fsgid) == 1 && fsgid == ctx->gid;
}

/* One descriptor of his directory: what is read there is all of the same process. */
static char *look_up(const struct fuse_ctx *ctx)
{
    char path[32], *status = NULL;
    int process, fd = -1;

    snprintf(path, sizeof(path), "/proc/%d", (int)ctx->pid);
    process = ctx->pid ? mqxi_sys_openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0) : -1;
    if (process < 0)
        return NULL;
    if (same_namespace(process))
        fd = mqxi_sys_openat(process, "status", O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        status = read_all(fd);
        mqxi_sys_close(fd);
    }
    mqxi_sys_close(process);
    if (status && is_he(status, ctx))
        return status;
    free(status);
    return NULL;
}

static const char *status_of(const struct mqxi_asker *asker, const char *label)
{
    struct caller *c = (struct caller *)(uintptr_t)asker; /* its first member */
    const char *line;

    if (!c->looked) {
        c->looked = true;
        c->status = look_up(c->ctx);
    }
    line = c->status ? strstr(c->status, label) : NULL;
    return line ? line + strlen(label) : NULL;
}

static bool in_group(const struct mqxi_asker *asker, uint32_t gid)
{
    const struct caller *c = (const struct caller *)asker;
    const char *groups;
    char *end;

    if (c->ctx->gid == gid)
        return true;
    groups = status_of(asker, "\nGroups:");
    while (groups) {
        groups += strspn(groups, "\t ");
        if (*groups < '0' || *groups > '9')
            break;
        if (strtoul(groups, &end, 10) == gid)
            return true;
        groups = end;
    }
    return false;
}

static bool capable(const struct mqxi_asker *asker, int capability)
{
    const char *set = status_of(asker, "\nCapEff:");

    return set && strtoull(set, NULL, 16) >> capability & 1;
}

void caller_begin(struct caller *c, const struct fuse_ctx *ctx)
{
    *c = (struct caller){.asker = {ctx->uid, in_group, capable}, .ctx = ctx};
}

void caller_end(struct caller *c)
{
    free(c->status);
}

/* --- whether it lives ---------------------------------------------------------------------------
 */

bool caller_may_signal(uid_t uid, pid_t pid)
{
    char status[STATUS], *line;
    unsigned real, saved;

    read_status(pid, status, sizeof(status));
    line = strstr(status, "\nUid:");
    return uid == 0 || (line && sscanf(line, "\nUid: %u %*u %u", &real, &saved) == 2 &&
                        (uid == real || uid == saved));
}

static bool is_in_group(fuse_req_t request, gid_t gid)
{
    gid_t groups[GROUPS];
    int n = fuse_req_ctx(request)->gid == gid ? 0 : fuse_req_getgroups(request, GROUPS, groups);

    for (int i = 0; i < n && i < GROUPS; i++)
        if (groups[i] == gid)
            return true;
    return fuse_req_ctx(request)->gid == gid;
}

bool caller_may(fuse_req_t request, const struct stat *st, mode_t want)
{
    uid_t uid = fuse_req_ctx(request)->uid;
    mode_t mode = uid == st->st_uid                  ? st->st_mode >> 6
                  : is_in_group(request, st->st_gid) ? st->st_mode >> 3
                                                     : st->st_mode;

    return uid == 0 || (mode & want) == want;
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
