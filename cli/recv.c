/*
 * mqx recv: messages to standard output, their bytes and nothing else unless
 * asked for.  A message that cannot be written goes back into the queue.
 */
#include <errno.h>
#include <getopt.h>
#include <mqueue.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "mqx.h"

static const char help[] =
    "usage: mqx recv [OPTION...] QUEUE\n"
    "\n"
    "Receive a message and write its bytes to standard output.  Waits while the queue is empty.\n"
    "\n"
    "  --count=N            receive N messages\n"
    "  --line               add a newline after each message\n"
    "  -p, --priority       write the priority and a tab before each message\n"
    "  --nonblock           do not wait: exit with status 3 when the queue is empty\n"
    "  --timeout=SECONDS    exit with status 3 when so much time has passed in all\n";

struct order {
    uint32_t count;
    bool line, priority, nonblock;
    const char *timeout; /* NULL: none */
};

static const char *parse(int argc, char **argv, struct order *order)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'c'},
                                            {"line", no_argument, NULL, 'l'},
                                            {"priority", no_argument, NULL, 'p'},
                                            {"nonblock", no_argument, NULL, 'n'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;

    while ((option = getopt_long(argc, argv, "hc:lpnt:", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            order->count = arg_number("recv", "--count", optarg, 1, UINT32_MAX);
            break;
        case 'l':
            order->line = true;
            break;
        case 'p':
            order->priority = true;
            break;
        case 'n':
            order->nonblock = true;
            break;
        case 't':
            order->timeout = optarg;
            break;
        case 'h':
            fputs(help, stdout);
            exit(flush_stdout("recv"));
        default:
            usage_exit("recv");
        }
    }
    if (argc - optind != 1) {
        fputs("mqx: recv: give one queue\n", stderr);
        usage_exit("recv");
    }
    return arg_queue("recv", argv[optind]);
}

/* The time is up, or it is empty: only the status says so where messages came before. */
static int recv_failed(const char *name, uint32_t received, int error)
{
    if (error != EAGAIN && error != ETIMEDOUT)
        return fail("recv", name, error);
    if (received == 0)
        fail_because("recv", name, error == EAGAIN ? "it is empty" : "it stayed empty; gave up");
    else
        fail_because("recv", name, "%s after %u messages",
                     error == EAGAIN ? "it was empty" : "the time was up", received);
    return EXIT_NOT_NOW;
}

/* Standard output failed.  Behind messages of the same priority that wait, but not lost. */
static int give_back(mqd_t mq, const char *name, const char *data, size_t len, unsigned priority)
{
    int error = errno;
    bool back;
    mqd_t out = mqx_open(name, O_WRONLY | O_NONBLOCK);

    mqx_close(mq);
    back = out != (mqd_t)-1 && mqx_send(out, data, len, priority) == 0;
    return fail_because("recv", name, "cannot write to standard output: %s; the message %s",
                        strerror(error), back ? "is back in the queue" : "is lost");
}

static int receive(mqd_t mq, const char *name, const struct order *order, char *data, size_t size)
{
    struct timespec deadline = {0};

    if (order->timeout)
        deadline = arg_deadline("recv", order->timeout);
    for (uint32_t i = 0; i < order->count; i++) {
        unsigned priority;
        ssize_t len =
            mqx_timedreceive(mq, data, size, &priority, order->timeout ? &deadline : NULL);

        if (len < 0)
            return recv_failed(name, i, errno);
        if (order->priority)
            printf("%u\t", priority);
        fwrite(data, 1, (size_t)len, stdout);
        if (order->line)
            putchar('\n');
        /* Each at once: whoever reads may be waiting for it. */
        if (fflush(stdout) != 0 || ferror(stdout))
            return give_back(mq, name, data, (size_t)len, priority);
    }
    return EXIT_DONE;
}

int cmd_recv(int argc, char **argv)
{
    struct order order = {.count = 1};
    const char *name = parse(argc, argv, &order);
    struct mq_attr attr;
    char *data;
    mqd_t mq;
    int status;

    signal(SIGPIPE, SIG_IGN); /* to live on and give the message back */
    mq = mqx_open(name, O_RDONLY | (order.nonblock ? O_NONBLOCK : 0));
    if (mq == (mqd_t)-1 || mqx_getattr(mq, &attr) < 0)
        return fail("recv", name, errno);
    data = malloc((size_t)attr.mq_msgsize);
    if (!data)
        return fail("recv", name, ENOMEM);
    status = receive(mq, name, &order, data, (size_t)attr.mq_msgsize);
    free(data);
    return status;
}
