/* Counters: what is counted is what is read, by whoever may, and never half of it. */
#include "counters.h"

#include <fcntl.h>

#include "durable.h"
#include "testing.h"

static struct counters c, got;

static int lock_file(void)
{
    struct flock serves = {.l_type = F_WRLCK, .l_start = MQXI_LOCK_SERVES, .l_len = 1};
    char path[PATH_MAX];
    int fd;

    IS(mqxi_dirs_make(), 0);
    IS(mqxi_mqxd_path(MQXI_LOCK_FILE, geteuid(), path), 0);
    fd = open(path, O_RDWR | O_CREAT, 0644);
    CHECK(fd >= 0);
    IS(fcntl(fd, F_OFD_SETLK, &serves), 0);
    return fd;
}

static void counted(void)
{
    IS(counters_within(&c, 50), 0);
    for (int i = 0; i < 99; i++)
        counters_commit(&c, 2, 100 * 1000);
    counters_commit(&c, 50, 3 * 1000 * 1000);
    IS(c.commits, 100);
    IS(c.changes, 248);
    IS(c.largest, 50);
    IS(c.least_ns, 100 * 1000);
    IS(c.most_ns, 3 * 1000 * 1000);
    IS(c.total_ns, 12900 * 1000);
    IS(counters_within(&c, 50), 128 * 1000);
    IS(counters_within(&c, 99), 128 * 1000);
    IS(counters_within(&c, 100), 4096 * 1000);
    counters_commit(&c, 1, UINT64_MAX);
    counters_commit(&c, 1, 0);
    IS(c.least_ns, 0);
    CHECK(counters_within(&c, 100) > 0);
}

static void strange(void)
{
    int fd;

    IS(counters_read(geteuid(), &got), -ESRCH);
    fd = lock_file();
    IS(counters_read(geteuid(), &got), -EBADMSG); /* empty */
    c.queues = 7;
    memset(c.error, 'x', sizeof(c.error));
    c.error[3] = '\n';
    counters_show(&c, fd);
    IS(counters_read(geteuid(), &got), 0);
    IS(got.queues, 7);
    IS(got.pid, getpid());
    CHECK(strnlen(got.error, sizeof(got.error)) == sizeof(got.error) - 1 && got.error[3] == '?');
    c.version++;
    counters_show(&c, fd);
    IS(counters_read(geteuid(), &got), -EBADMSG);
    c.version--;
    counters_show(&c, fd);
    IS(ftruncate(fd, sizeof(c) - 1), 0);
    IS(counters_read(geteuid(), &got), -EBADMSG);
    c.done = 1; /* half written, for ever */
    c.begun = 2;
    IS(pwrite(fd, &c, sizeof(c), 0), sizeof(c));
    IS(counters_read(geteuid(), &got), -EAGAIN);
    IS(pwrite(fd, "x", 1, 0), 1);
    IS(counters_read(geteuid(), &got), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT(counted), UNIT(strange)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
