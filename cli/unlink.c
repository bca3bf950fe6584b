/* mqx unlink: remove queues. */
#include <errno.h>
#include <getopt.h>
#include <sys/msg.h>

#include "anyname.h"
#include "cli.h"
#include "durable.h"
#include "mqx.h"
#include "segment.h"

static const char help[] =
    "usage: mqx unlink QUEUE...\n"
    "\n"
    "Remove queues and the messages in them.  Who has a queue open keeps it until closing it.\n";

/* Will mqxd, that does not run, have to hear of it? */
static bool unheard(const char *name)
{
    struct mqxi_queue *q;
    bool durable;
    uid_t uid;

    if (mqxi_name_attach(name + 1, &q) < 0)
        return false;
    durable = atomic_load(&q->header->durable) != MQXI_DURABLE_OFF;
    uid = q->uid;
    mqxi_segment_detach(q);
    return durable && !mqxi_mqxd_alive(uid);
}

static int remove_queue(const char *name)
{
    long type;
    int id, r;

    if (!mqxi_name_is_sysv(name + 1))
        return mqx_unlink(name);
    r = mqxi_name_sysv(name + 1, &id, &type);
    if (r == 0 && type == 0)
        return mqx_msgctl(id, IPC_RMID, NULL);
    errno = ENOENT;
    return -1;
}

int cmd_unlink(int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int option, status = EXIT_DONE;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option != 'h')
            usage_exit("unlink");
        fputs(help, stdout);
        return flush_stdout("unlink");
    }
    if (optind == argc) {
        fputs("mqx: unlink: which queue?\n", stderr);
        usage_exit("unlink");
    }
    for (; optind < argc; optind++) {
        const char *name = arg_queue("unlink", argv[optind]);
        bool comes_back = unheard(name);

        if (remove_queue(name) < 0)
            status = errno == ENOENT
                         ? fail_because("unlink", name, "no such queue; 'mqx ls' lists them")
                         : fail("unlink", name, errno);
        else if (comes_back)
            fail_because("unlink", name,
                         "removed, but no mqxd is running: what is stored of it comes back if the "
                         "machine reboots before mqxd has run; start mqxd");
    }
    return status;
}
