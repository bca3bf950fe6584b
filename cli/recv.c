/*
 * mqx recv: messages to standard output, their bytes and nothing else unless
 * asked for.  A message is consumed when it is written; one that cannot be
 * written is back in its place.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "source.h"

static const char help[] =
    "usage: mqx recv [OPTION...] QUEUE\n"
    "\n"
    "Receive a message and write its bytes to standard output.  Waits while the queue is empty.\n"
    "\n"
    "  --count=N            receive N messages\n"
    "  --line               add a newline after each message\n"
    "  -p, --priority       write the priority (or type) and a tab before each message\n"
    "  --type=N             from a System V queue (.sysv/ID or .sysv/0xKEY): only messages of "
    "this\n"
    "                       type; where it is negative, the lowest type that is at most as high\n"
    "  --nonblock           do not wait: exit with status 3 when the queue is empty\n"
    "  --timeout=SECONDS    exit with status 3 when so much time has passed in all\n";

struct order {
    uint32_t count;
    bool line, priority, nonblock;
    long type;           /* 0: any */
    const char *timeout; /* NULL: none */
};

static const char *parse(int argc, char **argv, struct order *order)
{
    static const struct option options[] = {
        {"count", required_argument, NULL, 'c'}, {"line", no_argument, NULL, 'l'},
        {"priority", no_argument, NULL, 'p'},    {"type", required_argument, NULL, 'T'},
        {"nonblock", no_argument, NULL, 'n'},    {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {0}};
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
        case 'T':
            order->type = arg_type("recv", optarg, LONG_MIN);
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

/* All of it, at once: whoever reads may be waiting for it. */
static bool print(const struct order *order, bool sysv, const char *data,
                  const struct mqxi_taken *taken)
{
    if (order->priority)
        printf("%lld\t", sysv ? (long long)taken->type : (long long)taken->prio);
    fwrite(data, 1, taken->len, stdout);
    if (order->line)
        putchar('\n');
    return fflush(stdout) == 0 && !ferror(stdout);
}

/* Only what was printed is consumed; else it is back in its old place. */
static int settle(const struct source *s, const struct mqxi_taken *taken, bool printed)
{
    int error = errno; /* of standard output */
    int r = source_settle(s, taken, printed);

    if (!printed)
        return fail_because("recv", s->name, "cannot write to standard output: %s; the message %s",
                            strerror(error), r == 0 ? "is back in the queue" : "is lost");
    return r < 0 ? fail("recv", s->name, -r) : EXIT_DONE;
}

static int receive(const struct source *s, const struct order *order, char *data)
{
    struct timespec deadline = {0};
    int status = EXIT_DONE;

    if (order->timeout)
        deadline = arg_deadline("recv", order->timeout);
    for (uint32_t i = 0; i < order->count && status == EXIT_DONE; i++) {
        const struct timespec *until = order->timeout ? &deadline : NULL;
        struct mqxi_taken taken;
        int r = source_take(s, until, data, &taken);

        if (r == 0)
            r = source_leave(s, until, !order->nonblock, &taken);
        status = r < 0 ? recv_failed(s->name, i, -r)
                       : settle(s, &taken, print(order, s->sysv, data, &taken));
    }
    return status;
}

int cmd_recv(int argc, char **argv)
{
    struct order order = {.count = 1};
    const char *name = parse(argc, argv, &order);
    struct source s;
    char *data;
    int status;

    signal(SIGPIPE, SIG_IGN); /* to live on and give the message back */
    order.type = arg_type_of("recv", name, order.type, LONG_MIN);
    arg_is_sysv("recv", name, order.type, false);
    status = source_open(name, order.type, order.nonblock, &s);
    if (status < 0)
        return fail("recv", name, -status);
    data = malloc(s.msgsize);
    if (!data)
        return fail("recv", name, ENOMEM);
    status = receive(&s, &order, data);
    free(data);
    return status;
}
