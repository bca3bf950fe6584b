/*
 * mqx create: a new queue.  mq_open can do this too, but cannot say how
 * durable the queue shall be.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "anyname.h"
#include "cli.h"
#include "conf.h"
#include "durable.h"
#include "names.h"
#include "segment.h"

static const char help[] =
    "usage: mqx create [OPTION...] QUEUE\n"
    "\n"
    "  --maxmsg=N         messages it can hold, 1 to 16777216\n"
    "  --msgsize=N        bytes a message can have, 1 to 67108864\n"
    "  --mode=OCTAL       permission bits (default: 666 less the umask)\n"
    "  --durable=POLICY   off: gone with a reboot; async: stored soon after; sync: a send returns\n"
    "                     when its message is stored.  async and sync need mqxd.\n"
    "\n"
    "What is not given comes from mqx.conf, else 10 messages of 8192 bytes, durable=off.\n";

static int create(const char *name, const struct mqxi_attr *attr, uint32_t sync, bool chosen)
{
    struct mqxi_unborn unborn;
    int r;

    /* As mq_open refuses to open one: nobody could use it, and it would not be what it says. */
    if (attr->durable == MQXI_DURABLE_SYNC && !mqxi_mqxd_alive(geteuid()))
        return -ESRCH;
    r = mqxi_segment_build(attr, &unborn);
    if (r < 0)
        return r;
    atomic_store(&unborn.queue->header->sync, sync);
    atomic_store(&unborn.queue->header->chosen, chosen);
    r = mqxi_segment_link(&unborn, name);
    mqxi_segment_finish(&unborn, r == 0);
    if (r == 0)
        mqxi_segment_detach(unborn.queue);
    if (r == 0 && attr->durable != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(geteuid());
    return r;
}

/* The command line's values; 0, and -1 for the mode and the policy, mean "not given". */
struct given {
    uint32_t maxmsg, msgsize;
    int mode, durable;
};

static bool parse(int argc, char **argv, struct given *given)
{
    static const struct option options[] = {
        {"maxmsg", required_argument, NULL, 'm'}, {"msgsize", required_argument, NULL, 's'},
        {"mode", required_argument, NULL, 'M'},   {"durable", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int option;

    *given = (struct given){.mode = -1, .durable = -1};
    while ((option = getopt_long(argc, argv, "hm:s:M:d:", options, NULL)) != -1) {
        switch (option) {
        case 'm':
            given->maxmsg = arg_number("create", "--maxmsg", optarg, 1, MQXI_MAXMSG_MAX);
            break;
        case 's':
            given->msgsize = arg_number("create", "--msgsize", optarg, 1, MQXI_MSGSIZE_MAX);
            break;
        case 'M':
            given->mode = (int)arg_mode("create", optarg);
            break;
        case 'd':
            given->durable = (int)arg_durable("create", optarg);
            break;
        case 'h':
            fputs(help, stdout);
            return false;
        default:
            usage_exit("create");
        }
    }
    if (argc - optind != 1) {
        fputs("mqx: create: give one queue\n", stderr);
        usage_exit("create");
    }
    return true;
}

int cmd_create(int argc, char **argv)
{
    struct mqxi_policy policy;
    struct mqxi_attr attr;
    struct given given;
    const char *name;
    mode_t mask;
    int r;

    if (!parse(argc, argv, &given))
        return flush_stdout("create");
    name = arg_queue("create", argv[optind]);
    if (mqxi_name_is_sysv(name + 1))
        return fail_because("create", name,
                            "System V queues are made by msgget: 'mqx run ipcmk -Q' makes one");
    r = mqxi_conf_policy(name + 1, &policy);
    if (r < 0) /* it said what is wrong with the file */
        return fail_because("create", name, "not created: correct mqx.conf first");
    mask = umask(0);
    umask(mask);
    attr = (struct mqxi_attr){
        .maxmsg = given.maxmsg ? given.maxmsg : policy.maxmsg,
        .msgsize = given.msgsize ? given.msgsize : policy.msgsize,
        .mode = given.mode >= 0 ? (uint32_t)given.mode : 0666u & ~mask,
        .durable = given.durable >= 0 ? (enum mqxi_durable)given.durable : policy.durable,
    };
    r = create(name + 1, &attr, policy.sync, given.durable >= 0);
    if (r == -ENOENT || r == -ENOTDIR || r == -EROFS || r == -EACCES || r == -EPERM)
        return fail_because(
            "create", mqxi_dir(),
            "cannot be made or written to: %s; set MQX_DIR to a directory that you may write to",
            strerror(-r));
    return r < 0 ? fail("create", name, -r) : EXIT_DONE;
}
