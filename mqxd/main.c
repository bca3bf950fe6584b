/*
 * mqxd: mirrors durable queues into a store on disk, and restores them after
 * a reboot.  One thread: it sleeps on its doorbell, looks which queues have
 * changed, and commits their changes.  While it commits, others go on
 * sending, and what they sent meanwhile is the next commit.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bell.h"
#include "changes.h"
#include "discover.h"
#include "log.h"
#include "mqx.h"
#include "names.h"
#include "peek.h"
#include "policies.h"
#include "restore.h"
#include "service.h"
#include "wait.h"
#include "where.h"

#define LAST_NS (UINT64_C(10) * 1000000000) /* for the last commit, while others go on sending */
#define LOOK_NS                                                                                    \
    (UINT64_C(60) * 1000000000)       /* for what nobody rang for: who was to do so was killed, say */
#define AGAIN_NS UINT64_C(1000000000) /* until what failed for want of something is tried again */

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char help[] =
    "usage: mqxd [--store DIR] [--log=FORM]\n"
    "\n"
    "Keeps durable queues (see mqx.conf(5)) on disk, and restores them after a reboot.\n"
    "Runs in the foreground until SIGTERM; says 'mqxd: ready' when it serves.\n"
    "\n"
    "  --store DIR  where; default $MQX_STORE, else /var/lib/mqx for root,\n"
    "               else ~/.local/state/mqx\n"
    "  --log=FORM   of lines on standard error: plain, or logfmt, for programs\n"
    "  --help, --version\n"
    "\n"
    "Run by root it serves the queues of all users, else those of its user.\n"
    "Queues are in $MQX_DIR, else /run/mqx where that exists, else /dev/shm/mqx.\n";

static struct bell bell;
static volatile sig_atomic_t stop, reload;
static bool disk_full; /* as was said last */

static void on_signal(int signal)
{
    struct mqxi_doorbell *page = atomic_load(&bell.page);
    int saved = errno;

    if (signal == SIGHUP)
        reload = 1;
    else
        stop = 1;
    if (page) /* moves the counter: no sleep begins after this */
        mqxi_event_signal(&page->event, true);
    errno = saved;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* --- where ------------------------------------------------------------------------------------ */

/* mkdir -p; what is made is for its user alone. */
static int make_dir(const char *path)
{
    char part[PATH_MAX];

    for (const char *end = path; end;) {
        end = strchr(end + 1, '/');
        snprintf(part, sizeof(part), "%.*s", end ? (int)(end - path) : PATH_MAX, path);
        if (mkdir(part, 0700) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int find_store(const char *option, char *out)
{
    int r = where_store(option, out);

    if (r == 0) {
        r = make_dir(out);
        if (r < 0)
            say("store %s: cannot be made: %s", out, strerror(-r));
    }
    return r;
}

/* --- serving ---------------------------------------------------------------------------------- */

static bool rescan; /* the directories are to be looked at */

/* The disk is full, or was until now: say so, once. */
static void note_full(struct mirror *m, bool full)
{
    if (full && !disk_full)
        say_event(
            SAY_WARNING, "disk-full", NULL,
            "the disk of the store is full; who sends to durable queues waits until there is room");
    if (!full && disk_full)
        say_event(SAY_NOTICE, "disk-room", NULL, "there is room on the disk of the store again");
    if (full != disk_full)
        service_status(full ? "The disk of the store is full: senders wait" : "Serving");
    disk_full = full;
    mirror_full(m, full);
}

/* Is there room again?  Asked about each second. */
static int look_for_room(struct mirror *m, uint64_t now)
{
    static uint64_t next;
    int r;

    if (!disk_full || now < next)
        return 0;
    next = now + AGAIN_NS;
    r = store_look_for_room(m->store);
    if (r == 0)
        note_full(m, false);
    return r == -ENOSPC ? 0 : r;
}

/* Look for new queues.  Where something is missing for that, those that are known are served
 * meanwhile. */
static int look(struct mirror *m)
{
    static bool missing;
    int r;

    if (bell_rescan(&bell))
        rescan = true;
    if (!rescan)
        return 0;
    r = discover(m);
    rescan = peek_later(r) || r == -ENOSPC;
    if (r == -ENOSPC) {
        note_full(m, true);
        return 0;
    }
    if (rescan && !missing)
        say("new queues cannot be looked for: %s; trying again each second", strerror(-r));
    else if (!rescan && missing)
        say("new queues are looked for again");
    missing = rescan;
    return missing ? 0 : r;
}

/* Discover and commit what is due.  Returns how long to sleep, in ns, or -errno. */
static int64_t work(struct mirror *m)
{
    uint64_t now = mirror_now(), due, most;
    int r = look_for_room(m, now);

    if (r == 0)
        r = look(m);
    if (r < 0)
        return r;
    now = mirror_now();
    mirror_look(m, now);
    due = mirror_due(m, now);
    most = rescan || disk_full || m->leaving || m->unrung ? AGAIN_NS : LOOK_NS;
    if (!due || due > now + most)
        return (int64_t)most;
    if (due > now)
        return (int64_t)(due - now);
    r = mirror_commit(m, now);
    if (r == -ENOSPC) {
        note_full(m, true);
        mirror_full(m, !m->turned); /* removals may have made room for others' messages */
        return m->turned ? 0 : (int64_t)AGAIN_NS;
    }
    if (r > 0 && m->full)
        mirror_full(m, false);
    return r < 0 ? r : 0;
}

/* What changed until now goes into the store. */
static int last_commit(struct mirror *m)
{
    uint64_t until = mirror_now() + LAST_NS;
    int r = discover(m);

    if (peek_later(r) || r == -ENOSPC)
        r = 0;
    mirror_look(m, UINT64_MAX);
    while (r >= 0 && mirror_due(m, mirror_now()) && mirror_now() < until) {
        r = mirror_commit(m, UINT64_MAX);
        mirror_look(m, mirror_now());
    }
    if (r == -ENOSPC)
        say("the disk of the store is full: the last changes are not stored");
    return r < 0 ? r : store_finish(m->store);
}

/* An error that is for good. */
static int give_up(struct mirror *m, int error)
{
    say_event(SAY_ERROR, "failed", NULL,
              "stopping: %s; what was acknowledged is in the store, senders of what was not are "
              "told; when "
              "that is mended, start mqxd again",
              strerror(-error));
    mirror_refuse(m);
    return error;
}

/* At the start, when there is nothing yet that could be served meanwhile. */
static int said(int r)
{
    if (peek_later(r))
        say("queues cannot be looked for: %s", strerror(-r));
    return r;
}

/* The configuration anew.  One with a mistake changes nothing. */
static void read_again(struct mirror *m)
{
    int r;

    reload = 0;
    service_reloading();
    r = policies_read(m);
    if (r < 0) {
        say_event(SAY_WARNING, "configuration-refused", NULL,
                  "the configuration stays as it was: %s",
                  r == -EINVAL ? "there is a mistake in the new one" : strerror(-r));
        return;
    }
    r = policies_apply(m);
    if (r < 0)
        say("queues cannot be changed: %s; try again", strerror(-r));
    else
        say_event(SAY_NOTICE, "configuration-read", NULL, "the configuration was read again");
    rescan = true;
}

/* What `mqx stat` shows, if it has changed. */
static void show(struct mirror *m)
{
    static struct counters shown;
    struct counters *c = &m->counters;

    c->queues = m->count;
    snprintf(c->error, sizeof(c->error), "%s", say_last(&c->error_ns));
    c->backlog_messages = m->quotas.messages;
    c->backlog_bytes = m->quotas.bytes - m->quotas.messages * QUOTA_HEADS;
    if (c->magic && memcmp(c, &shown, sizeof(*c)) == 0)
        return;
    counters_show(c, bell.lock);
    shown = *c;
}

/* Until something happens, but not so long that the service manager takes us for dead. */
static void sleep_for(_Atomic uint32_t *event, uint32_t seen, uint64_t ns)
{
    uint64_t tell = service_alive(mirror_now());

    if (ns > 0)
        mqxi_event_sleep(event, seen, NULL, ns < tell ? ns : tell, false);
}

static int serve(struct mirror *m)
{
    int first = said(discover(m));

    if (first < 0 && first != -ENOSPC)
        return first;
    if (first == -ENOSPC) { /* for new queues; those that are stored can be served */
        note_full(m, true);
        rescan = true;
    }
    say_event(SAY_NOTICE, "ready", NULL, "ready");
    service_status("Serving");
    service_ready();
    while (!stop) {
        _Atomic uint32_t *event = &atomic_load(&bell.page)->event;
        uint32_t seen;
        int64_t r;
        int renewed;

        /* Awake: nobody has to wake us.  Then the counter, then stop and the marks: whatever is
         * not seen below moves it. */
        atomic_fetch_and(event, ~MQXI_EVENT_SLEEPERS);
        seen = mqxi_event_read(event);
        if (stop)
            break;
        if (reload) {
            read_again(m);
            service_ready();
        }
        r = work(m);
        if (r < 0)
            return give_up(m, (int)r);
        renewed = bell_check(&bell);
        if (renewed < 0)
            return renewed;
        if (!bell_stands(&bell)) {
            say_event(
                SAY_ERROR, "removed", NULL,
                "somebody removed our files in %s, where nobody finds us any more; what is stored "
                "is kept: start mqxd again",
                mqxi_dir());
            last_commit(m);
            return -ENOENT;
        }
        show(m);
        sleep_for(event, seen, renewed ? 0 : (uint64_t)r);
    }
    service_stopping();
    return last_commit(m);
}

static int run(const char *store_option)
{
    struct mirror m = {0};
    char dir[PATH_MAX];
    int r = service_open();

    if (r == 0)
        r = policies_read(&m);
    if (r == 0)
        r = find_store(store_option, dir);
    if (r == 0) {
        r = mqxi_dirs_make();
        if (r < 0)
            say("%s: cannot be made: %s; set MQX_DIR to another place", mqxi_dir(), strerror(-r));
    }
    if (r == 0)
        r = store_open(dir, &m.store);
    if (r == 0)
        r = store_keys(m.store, m.keys, m.encrypts);
    if (r == 0)
        r = bell_take(&bell);
    if (r == 0)
        r = said(discover_gone(&m)); /* else what was unlinked would be restored */
    if (r == 0)
        r = restore_queues(m.store);
    if (r == -ENOSPC)
        say("the disk of the store %s is full, and has no room even for removals", dir);
    if (r == 0) {
        show(&m);
        r = bell_serve(&bell);
    }
    if (r == 0)
        r = changes_start(&bell);
    if (r == 0)
        r = said(policies_apply(&m));
    if (r == 0)
        r = serve(&m);
    mirror_free(&m);
    if (m.store)
        store_close(m.store);
    return r;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"store", required_argument, NULL, 's'},
                                            {"log", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    const char *store = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 's':
            store = optarg;
            break;
        case 'l':
            if (strcmp(optarg, "logfmt") == 0) {
                say_logfmt();
            } else if (strcmp(optarg, "plain") != 0) {
                say("--log=%s: must be plain or logfmt", optarg);
                return EXIT_USAGE;
            }
            break;
        case 'h':
            fputs(help, stdout);
            return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
        case 'v':
            puts("mqxd " MQX_VERSION);
            return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
        default:
            fputs("mqxd: 'mqxd --help' tells what can be given\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        say("%s: there are only options; see 'mqxd --help'", argv[optind]);
        return EXIT_USAGE;
    }
    umask(077);
    say_crashes();
    catch_signals();
    return run(store) < 0 ? EXIT_FAILED : 0;
}
