/* MQX_LIMITS=kernel gives what the kernel's own mq_open gives, for this process and this moment. */
#include "kernel_limits.h"

#include <fcntl.h>
#include <mqueue.h>

#include "sys.h"
#include "testing.h"

/* The kernel's own answer, by its system call: 0 or -errno. */
static int kernel_says(long maxmsg, long msgsize)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};
    int fd = (int)MQXI_SYS(SYS_mq_open, "mqx-limits-test", O_CREAT | O_RDWR, 0600, &attr);

    if (fd < 0)
        return fd;
    mqxi_sys_close(fd);
    MQXI_SYS(SYS_mq_unlink, "mqx-limits-test");
    return 0;
}

static void same_as_the_kernel(void)
{
    static const long maxmsg[] = {1, 10, 11, 300, 65536, 65537};
    static const long msgsize[] = {1, 8192, 8193, 16 << 20, (16 << 20) + 1};

    for (unsigned i = 0; i < sizeof(maxmsg) / sizeof(*maxmsg); i++) {
        int r = kernel_says(maxmsg[i], 1);

        if (r != -EMFILE) /* RLIMIT_MSGQUEUE is another limit */
            IS(mqxi_limits_check(maxmsg[i], 1), r);
    }
    for (unsigned i = 0; i < sizeof(msgsize) / sizeof(*msgsize); i++) {
        int r = kernel_says(1, msgsize[i]);

        if (r != -EMFILE)
            IS(mqxi_limits_check(1, msgsize[i]), r);
    }
}

static void asked_for_by_the_environment(void)
{
    unsetenv("MQX_LIMITS");
    IS(mqxi_limits_kernel(), false);
    setenv("MQX_LIMITS", "kernel", 1);
    IS(mqxi_limits_kernel(), true);
    setenv("MQX_LIMITS", "mqx", 1);
    IS(mqxi_limits_kernel(), false);
}

static void defaults(void)
{
    uint32_t maxmsg = 0, msgsize = 0;
    struct mq_attr attr = {0};
    int fd = (int)MQXI_SYS(SYS_mq_open, "mqx-limits-test", O_CREAT | O_RDWR, 0600, NULL);

    CHECK(fd >= 0);
    CHECK(MQXI_SYS(SYS_mq_getsetattr, fd, NULL, &attr) == 0);
    mqxi_sys_close(fd);
    MQXI_SYS(SYS_mq_unlink, "mqx-limits-test");
    mqxi_limits_default(&maxmsg, &msgsize);
    IS(maxmsg, attr.mq_maxmsg);
    IS(msgsize, attr.mq_msgsize);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(same_as_the_kernel),
        UNIT(asked_for_by_the_environment),
        UNIT(defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
