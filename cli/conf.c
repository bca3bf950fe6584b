/*
 * mqx conf: what mqx.conf says of a queue, and where; in its own form, so that
 * what is printed can be put there.  With --durable, what is said of one queue
 * alone, for good.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anyname.h"
#include "cli.h"
#include "conf.h"
#include "durable.h"
#include "policy.h"
#include "segment.h"
#include "text.h"

static const char help[] =
    "usage: mqx conf [QUEUE]\n"
    "       mqx conf --durable=POLICY QUEUE\n"
    "\n"
    "Show each setting that applies to all queues, or to this one, and the line of mqx.conf that\n"
    "says so.  Exit status 1 if there is a mistake in the file.\n"
    "\n"
    "  --durable=POLICY  make this queue off, async or sync, whatever mqx.conf says; or as it "
    "says:\n"
    "                    conf\n";

/* --- what is said ----------------------------------------------------------------------------- */

static void print_clean(const char *text)
{
    char clean[PATH_MAX];

    snprintf(clean, sizeof(clean), "%s", text);
    mqxi_text_clean(clean);
    fputs(clean, stdout);
}

static void print(const struct mqxi_conf_setting *s, const char *path)
{
    printf("%s = ", s->key);
    print_clean(s->value);
    fputs(" ; ", stdout);
    if (s->line == 0) {
        puts("the default");
        return;
    }
    print_clean(path);
    printf(":%d", s->line);
    if (s->queue) {
        fputs(" [", stdout);
        print_clean(s->section);
        putchar(']');
    }
    putchar('\n');
}

/* What a queue that is there already is, if that is something else. */
static void print_other(const struct mqxi_policy *policy, uint32_t durable, bool chosen)
{
    if (chosen)
        printf("; this queue is %s, as was said of it alone\n", durable_name(durable));
    else if (durable != (uint32_t)policy->durable && policy->durable_line)
        printf("; this queue is %s, until mqxd reads the file again (SIGHUP)\n",
               durable_name(durable));
    else if (durable != (uint32_t)policy->durable)
        printf("; this queue is %s, and stays so: no line says otherwise\n", durable_name(durable));
}

/* The name that patterns are to match: of a System V queue, by its key. */
static int conf_name(const char *queue, char *name)
{
    struct mqxi_queue *q;
    int r;

    if (!mqxi_name_is_sysv(queue)) {
        snprintf(name, NAME_MAX + 1, "%s", queue);
        return 0;
    }
    if (strncmp(queue, MQXI_SYSV_DIR "/0x", 8) == 0) {
        mqxi_conf_sysv_name((int)strtoul(queue + 8, NULL, 16), name);
        return 0;
    }
    r = mqxi_name_attach(queue, &q);
    if (r == 0) {
        mqxi_conf_sysv_name(q->header->key, name);
        mqxi_segment_detach(q);
    }
    return r;
}

static void print_queue(const struct mqxi_conf *conf, const char *queue, const char *name)
{
    struct mqxi_policy policy;
    struct mqxi_queue *q;

    if (mqxi_conf_kept(conf, name, &policy, NULL) < 0 || mqxi_name_attach(queue, &q) < 0)
        return; /* another user's, or not there: nothing but what the file says is known */
    print_other(&policy, atomic_load(&q->header->durable), atomic_load(&q->header->chosen));
    mqxi_segment_detach(q);
}

static int show(const char *queue)
{
    struct mqxi_conf_setting settings[MQXI_CONF_KEYS];
    char name[NAME_MAX + 1];
    struct mqxi_conf *conf;
    int r = queue ? conf_name(queue, name) : 0, count;

    if (r < 0)
        return fail("conf", queue, -r);
    r = mqxi_conf_keep(&conf);
    if (r < 0) /* said, if it is a mistake */
        return r == -EINVAL ? EXIT_FAILED : fail("conf", "mqx.conf", -r);
    count = mqxi_conf_explain(conf, queue ? name : NULL, settings);
    if (queue) {
        putchar('[');
        print_clean(name);
        puts("]");
    }
    for (int i = 0; i < count; i++)
        if (settings[i].queue == (queue != NULL))
            print(&settings[i], mqxi_conf_path(conf));
    if (queue)
        print_queue(conf, queue, name);
    free(conf);
    return flush_stdout("conf");
}

/* --- what is changed -------------------------------------------------------------------------- */

static int change(const char *queue, uint32_t durable, bool chosen)
{
    struct mqxi_queue *q;
    char path[PATH_MAX];
    int r = mqxi_name_attach(queue, &q), fd;

    if (r < 0)
        return r;
    /* Nobody could use it. */
    if (durable == MQXI_DURABLE_SYNC && !mqxi_mqxd_alive(q->uid))
        r = -ESRCH;
    if (r == 0)
        r = mqxi_name_path(queue, path);
    fd = r < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (r == 0 && fd < 0)
        r = -errno;
    if (r == 0)
        r = mqxi_policy_set(fd, q->header, (enum mqxi_durable)durable, chosen);
    if (r >= 0) {
        mqxi_policy_settle();
        if (r > 0 && durable != MQXI_DURABLE_OFF)
            mqxi_durable_mark_all(q);
        mqxi_durable_rescan(q->uid);
    }
    if (fd >= 0)
        close(fd);
    mqxi_segment_detach(q);
    return r < 0 ? r : 0;
}

static int set(const char *queue, const char *text)
{
    bool chosen = strcmp(text, "conf") != 0;
    uint32_t durable = chosen ? arg_durable("conf", text) : MQXI_DURABLE_OFF;
    struct mqxi_policy policy;
    char name[NAME_MAX + 1];
    int r = conf_name(queue, name);

    if (r == 0 && !chosen) {
        r = mqxi_conf_policy(name, &policy);
        if (r == -EINVAL)
            return EXIT_FAILED; /* said */
        durable = (uint32_t)policy.durable;
    }
    if (r == 0)
        r = change(queue, durable, chosen);
    return r < 0 ? fail("conf", queue, -r) : EXIT_DONE;
}

int cmd_conf(int argc, char **argv)
{
    static const struct option options[] = {
        {"durable", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *durable = NULL, *queue;
    int option;

    while ((option = getopt_long(argc, argv, "hd:", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return flush_stdout("conf");
        }
        if (option == '?')
            usage_exit("conf");
        durable = optarg;
    }
    if (argc - optind > 1 || (durable && argc - optind != 1)) {
        fputs("mqx: conf: give one queue\n", stderr);
        usage_exit("conf");
    }
    queue = optind < argc ? arg_queue("conf", argv[optind]) + 1 : NULL;
    return durable ? set(queue, durable) : show(queue);
}
