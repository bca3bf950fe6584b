/* mqx send: one message, from the command line or from standard input. */
#include <errno.h>
#include <getopt.h>
#include <mqueue.h>
#include <stdlib.h>

#include "cli.h"
#include "mqx.h"
#include "send.h"

static const char help[] =
    "usage: mqx send [OPTION...] QUEUE [MESSAGE]\n"
    "\n"
    "Send MESSAGE, or else all of standard input as one message.  Waits while the queue is full.\n"
    "\n"
    "  -p, --priority=N     0 (default) to 32767; higher ones are received first\n"
    "  --type=N             to a System V queue (.sysv/ID or .sysv/0xKEY): type, 1 (default) and "
    "up\n"
    "  --nonblock           do not wait: exit with status 3 if the queue is full\n"
    "  --timeout=SECONDS    wait no longer than this, then exit with status 3\n";

struct order {
    uint32_t priority;
    bool prioritized; /* that was given */
    long type;        /* 0: not given */
    bool nonblock;
    const char *timeout; /* NULL: none */
};

static int parse(int argc, char **argv, struct order *order)
{
    static const struct option options[] = {
        {"priority", required_argument, NULL, 'p'}, {"type", required_argument, NULL, 'T'},
        {"nonblock", no_argument, NULL, 'n'},       {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},           {0}};
    int option;

    while ((option = getopt_long(argc, argv, "hp:nt:", options, NULL)) != -1) {
        switch (option) {
        case 'p':
            order->priority = arg_number("send", "--priority", optarg, 0, 32767);
            order->prioritized = true;
            break;
        case 'T':
            order->type = arg_type("send", optarg, 1);
            break;
        case 'n':
            order->nonblock = true;
            break;
        case 't':
            order->timeout = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            exit(flush_stdout("send"));
        default:
            usage_exit("send");
        }
    }
    if (argc - optind < 1 || argc - optind > 2) {
        fputs("mqx: send: give a queue and at most one message (quote it)\n", stderr);
        usage_exit("send");
    }
    return optind;
}

int cmd_send(int argc, char **argv)
{
    struct order order = {0};
    int first = parse(argc, argv, &order);
    const char *name = arg_queue("send", argv[first]);
    struct timespec deadline = {0};
    struct mq_attr attr;
    char *message;
    size_t len;
    mqd_t mq;
    int r;

    order.type = arg_type_of("send", name, order.type, 1);
    if (arg_is_sysv("send", name, order.type, order.prioritized))
        return send_sysv(
            name, &(struct sysv_order){order.type ? order.type : 1, order.nonblock, order.timeout},
            argv[first + 1]);
    if (order.timeout)
        deadline = arg_deadline("send", order.timeout);
    mq = mqx_open(name, O_WRONLY | (order.nonblock ? O_NONBLOCK : 0));
    if (mq == (mqd_t)-1 || mqx_getattr(mq, &attr) < 0)
        return fail("send", name, errno);
    message = send_message(argv[first + 1], (size_t)attr.mq_msgsize, &len);
    if (!message)
        return EXIT_FAILED;
    r = mqx_timedsend(mq, message, len, order.priority, order.timeout ? &deadline : NULL);
    r = r < 0 ? send_failed(name, (size_t)attr.mq_msgsize, errno) : EXIT_DONE;
    free(message);
    return r;
}
