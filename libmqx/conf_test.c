/* mqx.conf: what applies to which queue, and what is said about mistakes. */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* after those */
#include <cmocka.h>

static char path[] = "/tmp/mqx-conf-XXXXXX";
static char said[1000]; /* on stderr, by the last call */

static void write_conf(const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
}

/* Run one of the functions with stderr caught. */
static int caught(int (*run)(const void *, void *), const void *in, void *out)
{
    FILE *file = tmpfile();
    int saved = dup(2), r;
    size_t n;

    dup2(fileno(file), 2);
    r = run(in, out);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(file);
    n = fread(said, 1, sizeof(said) - 1, file);
    said[n] = 0;
    fclose(file);
    return r;
}

static int run_policy(const void *name, void *out)
{
    return mqxi_conf_policy(name, out);
}

static int run_mqxd(const void *unused, void *out)
{
    (void)unused;
    return mqxi_conf_mqxd(out);
}

static struct mqxi_policy policy(const char *name)
{
    struct mqxi_policy p;

    assert_int_equal(caught(run_policy, name, &p), 0);
    assert_string_equal(said, "");
    return p;
}

static void is_wrong(const char *text, const char *where)
{
    struct mqxi_conf_mqxd m;
    struct mqxi_policy p;
    char whole[200];

    snprintf(whole, sizeof(whole), "mqx: %s:%s", path, where);
    write_conf(text);
    assert_int_equal(caught(run_policy, "q", &p), -EINVAL);
    assert_ptr_equal(strstr(said, whole), said);
    assert_int_equal(caught(run_mqxd, NULL, &m), -EINVAL);
    assert_ptr_equal(strstr(said, whole), said);
}

static void test_defaults(void **state)
{
    struct mqxi_conf_mqxd m;
    struct mqxi_policy p;

    (void)state;
    write_conf("");
    p = policy("q");
    assert_int_equal(p.maxmsg, 10);
    assert_int_equal(p.msgsize, 8192);
    assert_int_equal(p.durable, MQXI_DURABLE_OFF);
    assert_int_equal(caught(run_mqxd, NULL, &m), 0);
    assert_int_equal(m.window_ms, 100);
}

static void test_patterns(void **state)
{
    (void)state;
    write_conf("[/orders*]\ndurable = sync\n[audit-?]\ndurable = async\nmaxmsg = 1000\n"
               "[q[0-9]] ; ten of them\nmaxmsg=7\n"
               "[a-name-that-is-rather-longer-than-what-inih-keeps-of-a-section]\nmsgsize=77\n");
    assert_int_equal(policy("orders").durable, MQXI_DURABLE_SYNC);
    assert_int_equal(policy("orders.eu").durable, MQXI_DURABLE_SYNC);
    assert_int_equal(policy("xorders").durable, MQXI_DURABLE_OFF);
    assert_int_equal(policy("audit-1").durable, MQXI_DURABLE_ASYNC);
    assert_int_equal(policy("audit-1").maxmsg, 1000);
    assert_int_equal(policy("audit-12").maxmsg, 10);
    assert_int_equal(policy("q5").maxmsg, 7);
    assert_int_equal(policy("qx").maxmsg, 10);
    assert_int_equal(
        policy("a-name-that-is-rather-longer-than-what-inih-keeps-of-a-section").msgsize, 77);
    assert_int_equal(policy("a-name-that-is-rather-longer-than-what-inih-keep").msgsize, 8192);
}

static void test_last_one_wins(void **state)
{
    (void)state;
    write_conf("[*]\nwait = 1500ms\n[a*]\nreceive = commit\n[ab*]\nwait=2 m\n[abc]\n"
               "receive = at-once\nwait = 0s\n");
    assert_int_equal(policy("x").sync, 1501);
    assert_int_equal(policy("a").sync, 1501 | MQXI_SYNC_RECEIVE);
    assert_int_equal(policy("ab").sync, 120001 | MQXI_SYNC_RECEIVE);
    assert_int_equal(policy("abc").sync, 1);
    write_conf("[*]\ndurable = async\nmaxmsg = 5\n[special]\ndurable = off\n");
    assert_int_equal(policy("special").durable, MQXI_DURABLE_OFF);
    assert_int_equal(policy("special").maxmsg, 5);
    assert_int_equal(policy("other").durable, MQXI_DURABLE_ASYNC);
    write_conf("[special]\ndurable = off\n[*]\ndurable = async\n");
    assert_int_equal(policy("special").durable, MQXI_DURABLE_ASYNC);
}

static void test_mqxd(void **state)
{
    struct mqxi_conf_mqxd m;

    (void)state;
    /* A queue may be called window or mqxd: only the place before the first section counts. */
    write_conf("# comment\nwindow = 250\n\n[mqxd]\nmaxmsg = 3\n[window]\nmaxmsg = 4\n");
    assert_int_equal(caught(run_mqxd, NULL, &m), 0);
    assert_int_equal(m.window_ms, 250);
    assert_int_equal(policy("mqxd").maxmsg, 3);
}

static void test_mistakes(void **state)
{
    char longline[400];

    (void)state;
    is_wrong("[q]\ndurable = yes\n", "2: durable = yes: must be off, async or sync");
    is_wrong("[other]\nmaxmsg = 0\n", "2: maxmsg = 0: must be a number from 1 to 16777216");
    is_wrong("[q]\n\n\nmsgsize = 10k\n", "4: msgsize = 10k: must");
    is_wrong("[q]\nmaxmsg = 99999999999999999999\n", "2: maxmsg");
    is_wrong("[q]\nmaxmsg = -1\n", "2: maxmsg");
    is_wrong("[q]\nmaxsize = 1\n", "2: maxsize: no such setting for queues");
    is_wrong("maxmsg = 1\n", "1: maxmsg: no such setting before the first section");
    is_wrong("[q]\nwindow = 1\n", "2: window: no such setting for queues");
    is_wrong("[q]\nreceive = later\n", "2: receive = later: must be at-once or commit");
    is_wrong("[q]\nwait = 30\n", "2: wait = 30: must be a time such as 500ms, 30s or 5m");
    is_wrong("[q]\nwait = -1s\n", "2: wait = -1s: must be a time");
    is_wrong("[q]\nwait = 25h\n", "2: wait = 25h: must be a time");
    is_wrong("[q]\nnonsense\ndurable = yes\n", "2: neither");
    is_wrong("[q]\ndurable = yes\nnonsense\n", "2: durable");
    is_wrong("[q\ndurable = sync\n", "1: a section must be [pattern]");
    is_wrong("[]\ndurable = sync\n", "1: a section must be [pattern]");
    is_wrong("[q]x\ndurable = sync\n", "1: a section must be [pattern]");
    memset(longline, 'x', sizeof(longline));
    strcpy(longline + sizeof(longline) - 10, " = 1\n");
    memcpy(longline, "[q]\n", 4);
    is_wrong(longline, "2: the line is longer than");
}

static void test_missing(void **state)
{
    struct mqxi_policy p;

    (void)state;
    setenv("MQX_CONF", "/nonexistent/mqx.conf", 1);
    assert_int_equal(caught(run_policy, "q", &p), -EINVAL);
    assert_non_null(strstr(said, "/nonexistent/mqx.conf: No such file"));
    setenv("MQX_CONF", path, 1);
}

static void test_endless(void **state)
{
    struct mqxi_policy p;

    (void)state;
    setenv("MQX_CONF", "/dev/zero", 1);
    alarm(60);
    assert_int_equal(caught(run_policy, "q", &p), -EINVAL);
    alarm(0);
    assert_non_null(strstr(said, "/dev/zero:1: the line is longer than"));
    setenv("MQX_CONF", path, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),      cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_last_one_wins), cmocka_unit_test(test_mqxd),
        cmocka_unit_test(test_mistakes),      cmocka_unit_test(test_missing),
        cmocka_unit_test(test_endless),
    };
    int fd = mkstemp(path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    setenv("MQX_CONF", path, 1);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
