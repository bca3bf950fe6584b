/*
 * The kernel's limits for the size of a queue, as they stand in
 * /proc/sys/fs/mqueue at the moment, for who wants a program to meet the same
 * limits as with the kernel's own queues.
 */
#include "kernel_limits.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

/* What even CAP_SYS_RESOURCE cannot exceed (mq_overview(7)). */
#define HARD_MAXMSG  65536
#define HARD_MSGSIZE (16 << 20)

bool mqxi_limits_kernel(void)
{
    const char *limits = getenv("MQX_LIMITS");

    return limits && strcmp(limits, "kernel") == 0;
}

/* fallback: the kernel's own default, for where its files are not to be seen. */
static long setting(const char *name, long fallback)
{
    char path[64], text[32] = "";
    int fd;
    long n;

    snprintf(path, sizeof(path), "/proc/sys/fs/mqueue/%s", name);
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
    *maxmsg = (uint32_t)smaller(setting("msg_default", 10), setting("msg_max", 10));
    *msgsize = (uint32_t)smaller(setting("msgsize_default", 8192), setting("msgsize_max", 8192));
}

static bool may_exceed(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return MQXI_SYS(SYS_capget, &header, data) == 0 &&
           data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & CAP_TO_MASK(CAP_SYS_RESOURCE);
}

int mqxi_limits_check(long maxmsg, long msgsize)
{
    bool exceed = may_exceed();

    if (maxmsg > (exceed ? HARD_MAXMSG : setting("msg_max", 10)) ||
        msgsize > (exceed ? HARD_MSGSIZE : setting("msgsize_max", 8192)))
        return -EINVAL;
    return 0;
}
