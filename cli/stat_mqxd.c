/*
 * mqx stat without a queue: what mqxd says of itself, which is the user's own, or
 * root's.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "../mqxd/counters.h"
#include "cli.h"
#include "names.h"

static bool as_json;

/* Each begins a line, or is a member. */
static void key(const char *name)
{
    if (as_json)
        printf(", \"%s\": ", name);
    else
        printf("%s: ", name);
}

static void end(void)
{
    if (!as_json)
        putchar('\n');
}

static void number(const char *name, uint64_t n)
{
    key(name);
    printf("%" PRIu64, n);
    end();
}

static void milliseconds(const char *name, uint64_t ns)
{
    key(name);
    printf("%" PRIu64 ".%03" PRIu64, ns / 1000000, ns / 1000 % 1000);
    end();
}

static void moment(const char *name, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    char text[40] = "?";
    struct tm tm;

    if (as_json && gmtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%SZ\"", &tm);
    else if (localtime_r(&seconds, &tm))
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &tm);
    key(name);
    fputs(text, stdout);
    end();
}

static void print(const struct counters *c)
{
    number("queues", c->queues);
    moment("started", c->started_ns);
    number("backlog_messages", c->backlog_messages);
    number("backlog_bytes", c->backlog_bytes);
    number("commits", c->commits);
    number("changes", c->changes);
    number("changes_per_commit_most", c->largest);
    number("sent", c->sent);
    number("stored", c->stored);
    number("elided", c->sent > c->stored ? c->sent - c->stored : 0);
    milliseconds("commit_ms_least", c->least_ns);
    milliseconds("commit_ms_average", c->commits ? c->total_ns / c->commits : 0);
    milliseconds("commit_ms_half_within", counters_within(c, 50));
    milliseconds("commit_ms_99_percent_within", counters_within(c, 99));
    milliseconds("commit_ms_most", c->most_ns);
    if (!c->error_ns)
        return;
    moment("last_problem_at", c->error_ns);
    key("last_problem");
    if (as_json)
        json_string(c->error, stdout);
    else
        fputs(c->error, stdout);
    end();
}

int stat_mqxd(bool json)
{
    struct counters c;
    uid_t uid = geteuid();
    int r = counters_read(uid, &c);

    if (r == -ESRCH && uid != 0) {
        uid = 0;
        r = counters_read(uid, &c);
    }
    if (r == -ESRCH)
        return fail_because("stat", "mqxd", "none runs for %s", mqxi_dir());
    if (r == -EBADMSG)
        return fail_because("stat", "mqxd", "it is of another version of mqx");
    if (r < 0)
        return fail_because("stat", "mqxd", "%s", strerror(-r));
    as_json = json;
    printf(json ? "{\"pid\": %u, \"uid\": %u" : "pid: %u\nuid: %u\n", c.pid, (unsigned)uid);
    print(&c);
    if (json)
        puts("}");
    return flush_stdout("stat");
}
