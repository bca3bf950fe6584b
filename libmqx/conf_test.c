/* mqx.conf: what applies to which queue, and what is said about mistakes. */
#include "conf.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

static void test_units(void **state)
{
    struct mqxi_conf_mqxd m;

    (void)state;
    write_conf("window = 2s\nstore_max = 3T\n[a]\nmsgsize = 64K\nstore_max = 10M\n"
               "[b]\nmsgsize = 64 M\nstore_max = unlimited\n[c]\nstore_max = 77\n");
    assert_int_equal(caught(run_mqxd, NULL, &m), 0);
    assert_int_equal(m.window_ms, 2000);
    assert_int_equal(m.store_max, UINT64_C(3) << 40);
    assert_int_equal(policy("a").msgsize, 65536);
    assert_int_equal(policy("a").store_max, 10 << 20);
    assert_int_equal(policy("b").msgsize, MQXI_MSGSIZE_MAX);
    assert_int_equal(policy("b").store_max, 0);
    assert_int_equal(policy("c").store_max, 77);
    is_wrong("window = 61s\n", "1: window = 61s: must be a time");
    is_wrong("window = 0\n", "1: window = 0: must be a time");
    is_wrong("window = 1d\n", "1: window = 1d: must be a time");
    is_wrong("window = ms\n", "1: window = ms: must be a time");
    is_wrong("[q]\nmsgsize = 65M\n", "2: msgsize = 65M: must be a size");
    is_wrong("[q]\nmsgsize = 1.5M\n", "2: msgsize = 1.5M: must be a size");
    is_wrong("[q]\nmsgsize = 99999999999999T\n", "2: msgsize = 99999999999999T: must be a size");
    is_wrong("[q]\nstore_max = 0\n", "2: store_max = 0: must be a size");
    is_wrong("[q]\nstore_max = 2000T\n", "2: store_max = 2000T: must be a size");
    is_wrong("[q]\nmaxmsg = 10K\n", "2: maxmsg = 10K: must be a number"); /* it is no size */
}

/* What was kept counts, whatever the file says by then. */
static void test_kept(void **state)
{
    struct mqxi_conf *kept = NULL, *other = NULL;
    struct mqxi_conf_mqxd m;
    struct mqxi_policy p;

    (void)state;
    write_conf("window = 70\n[q]\nmaxmsg = 7\n\ndurable = sync\n[r]\nwait = 1s\n");
    assert_int_equal(mqxi_conf_keep(&kept), 0);
    assert_string_equal(mqxi_conf_path(kept), path);
    write_conf("[q]\nmaxmsg = nothing\n");
    assert_int_equal(mqxi_conf_keep(&other), -EINVAL); /* and says so */
    assert_null(other);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mqxi_conf_kept(kept, "q", &p, &m), 0);
        assert_int_equal(m.window_ms, 70);
        assert_int_equal(p.maxmsg, 7);
        assert_int_equal(p.durable, MQXI_DURABLE_SYNC);
        assert_int_equal(p.durable_line, 5);
        assert_int_equal(p.sync_said, 0);
    }
    assert_int_equal(mqxi_conf_kept(kept, "r", &p, NULL), 0);
    assert_int_equal(p.durable_line, 0);
    assert_int_equal(p.sync_said, MQXI_SYNC_WAIT);
    free(kept);
    write_conf("");
    assert_int_equal(mqxi_conf_keep(&kept), 0);
    assert_int_equal(mqxi_conf_kept(kept, "q", &p, &m), 0);
    assert_int_equal(p.maxmsg, 10);
    free(kept);
    setenv("MQX_CONF", "/dev/zero", 1); /* has no end */
    assert_int_equal(mqxi_conf_keep(&kept), -EINVAL);
    setenv("MQX_CONF", path, 1);
}

static const struct mqxi_conf_setting *setting(const struct mqxi_conf_setting *all, int count,
                                               const char *key, bool queue)
{
    for (int i = 0; i < count; i++)
        if (strcmp(all[i].key, key) == 0 && all[i].queue == queue)
            return &all[i];
    fail_msg("no setting %s", key);
    return NULL;
}

static void is_set(const char *name, const char *key, const char *value, int line,
                   const char *section)
{
    struct mqxi_conf_setting all[MQXI_CONF_KEYS];
    int count = mqxi_conf_explain(NULL, name, all);
    const struct mqxi_conf_setting *s = setting(all, count, key, section != NULL);

    assert_string_equal(s->value, value);
    assert_int_equal(s->line, line);
    if (line && section)
        assert_string_equal(s->section, section);
}

static void test_explained(void **state)
{
    struct mqxi_conf_setting all[MQXI_CONF_KEYS];

    (void)state;
    write_conf("store_max=5G\n[*]\nmaxmsg = 5\ndurable = async\n[/q*]\nmaxmsg=6\nstore_max = 1M\n"
               "[.sysv/*]\nmsgsize = 9K\n");
    is_set("q1", "maxmsg", "6", 6, "q*");
    is_set("q1", "durable", "async", 4, "*");
    is_set("q1", "store_max", "1M", 7, "q*");
    is_set("q1", "store_max", "5G", 1, NULL);
    is_set("q1", "msgsize", "8192", 0, "");
    is_set("r", "maxmsg", "5", 3, "*");
    is_set("r", "store_max", "unlimited", 0, "");
    is_set(".sysv/0x00000001", "msgsize", "9K", 9, ".sysv/*");
    is_set(".sysv/0x00000001", "maxmsg", "65536", 0, "");
    is_set(NULL, "maxmsg", "10", 0, "");
    is_set(NULL, "window", "100ms", 0, NULL);
    write_conf("[q]\nmaxmsg = 0\n");
    assert_int_equal(mqxi_conf_explain(NULL, "q", all), -EINVAL);
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
        cmocka_unit_test(test_endless),       cmocka_unit_test(test_units),
        cmocka_unit_test(test_kept),          cmocka_unit_test(test_explained),
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
