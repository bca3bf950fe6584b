/* MQX_LIMITS=kernel gives what the kernel's own mq_open gives, for this process and this moment. */
#include "kernel_limits.h"

#include <fcntl.h>
#include <mqueue.h>
#include <mqx.h>
#include <sched.h>
#include <sys/resource.h>

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
    IS(mqxi_limits_kernel(false), false);
    IS(mqxi_limits_kernel(true), true);
    setenv("MQX_LIMITS", "kernel", 1);
    IS(mqxi_limits_kernel(false), true);
    setenv("MQX_LIMITS", "mqx", 1);
    IS(mqxi_limits_kernel(true), false);
}

/* How many queues can be created until one fails, and with which error. */
struct tally {
    int queues, error;
};

static struct tally fill(bool kernel)
{
    struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 1000};
    struct tally t = {0};

    for (; t.error == 0 && t.queues < 1000; t.queues++) {
        char name[32];
        long r;

        snprintf(name, sizeof(name), "/limits-%d", t.queues);
        r = kernel ? MQXI_SYS(SYS_mq_open, name + 1, O_CREAT | O_EXCL | O_RDWR, 0600, &attr)
                   : mqx_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
        if (r < 0)
            t.error = kernel ? (int)-r : errno;
        else
            mqxi_sys_close((int)r);
    }
    return t;
}

/* In an IPC namespace, which has a sysctl and queues of its own; as an ordinary user. */
static void as_many_as_the_kernel(rlim_t bytes, int error)
{
    struct rlimit limit = {bytes, bytes};
    struct tally kernel, ours;
    int fd;

    if (geteuid() != 0)
        SKIP("needs root, for a namespace");
    CHECK(unshare(CLONE_NEWIPC) == 0);
    fd = open("/proc/sys/fs/mqueue/queues_max", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "20", 2) == 2);
    close(fd);
    setenv("MQX_LIMITS", "kernel", 1);
    CHECK(chmod(mqxi_dir(), 01777) == 0);
    CHECK(setrlimit(RLIMIT_MSGQUEUE, &limit) == 0);
    CHECK(setresuid(54321, 54321, 54321) == 0);
    kernel = fill(true);
    ours = fill(false);
    IS(kernel.error, error);
    IS(ours.error, kernel.error);
    IS(ours.queues, kernel.queues);
}

static void bytes_in_all(void)
{
    as_many_as_the_kernel(100000, EMFILE);
}

static void queues_in_all(void)
{
    as_many_as_the_kernel(800000, ENOSPC);
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
        UNIT(same_as_the_kernel), UNIT(asked_for_by_the_environment),
        UNIT(defaults),           UNIT(bytes_in_all),
        UNIT(queues_in_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
