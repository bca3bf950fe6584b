/*
 * mqx each: a command for each message, whose exit status decides whether it is
 * consumed.  Meanwhile the message is taken, and not consumed: if we die, others find
 * that and put it back in its place; and the command dies with us, lest two work on
 * the same message.
 *
 * One at a time: for more at once, there can be any number of us.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "command.h"
#include "source.h"

#define KEPT_SECONDS 60

static const char help[] =
    "usage: mqx each [OPTION...] QUEUE [--] COMMAND [ARGUMENT...]\n"
    "\n"
    "Run a command for each message, with the message as its standard input, and in its\n"
    "environment MQX_QUEUE and MQX_PRIORITY (or MQX_TYPE).  If it exits with 0 the message is\n"
    "consumed; else it is back in its place, and mqx each ends with the command's status.\n"
    "\n"
    "  --argument               give the message as the command's last argument instead, without "
    "a\n"
    "                           newline at its end\n"
    "  --count=N                end after N messages\n"
    "  --drain                  end when there is no message, instead of waiting\n"
    "  --keep-going[=SECONDS]   keep a message whose command failed back for so long (60), then "
    "put\n"
    "                           it back in its place; meanwhile go on with others\n"
    "  --type=N                 from a System V queue: as mqx recv\n";

/* Messages whose command failed, the first to go back first. */
struct kept {
    struct mqxi_taken taken;
    struct timespec until;
    struct kept *next;
};

struct order {
    const char *name;
    struct command command;
    uint32_t count, keep_seconds;
    bool drain, keep_going;
    long type; /* 0: any */
    struct kept *first, **end;
    bool failed; /* a command has */
};

static void parse_option(int option, struct order *order)
{
    switch (option) {
    case 'a':
        order->command.as_argument = true;
        break;
    case 'c':
        order->count = arg_number("each", "--count", optarg, 1, UINT32_MAX);
        break;
    case 'd':
        order->drain = true;
        break;
    case 'k':
        order->keep_going = true;
        order->keep_seconds =
            optarg ? arg_number("each", "--keep-going", optarg, 1, 1000000000) : KEPT_SECONDS;
        break;
    case 'T':
        order->type = arg_type("each", optarg, LONG_MIN);
        break;
    case 'h':
        fputs(help, stdout);
        exit(flush_stdout("each"));
    default:
        usage_exit("each");
    }
}

/* Options may also stand behind the queue, but behind the command they are its own. */
static void parse(int argc, char **argv, struct order *order)
{
    static const struct option options[] = {{"argument", no_argument, NULL, 'a'},
                                            {"count", required_argument, NULL, 'c'},
                                            {"drain", no_argument, NULL, 'd'},
                                            {"keep-going", optional_argument, NULL, 'k'},
                                            {"type", required_argument, NULL, 'T'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int option;

    while (optind < argc) {
        while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1)
            parse_option(option, order);
        if (order->name || optind >= argc)
            break;
        order->name = arg_queue("each", argv[optind++]);
    }
    if (optind >= argc) {
        fputs("mqx: each: give a queue and a command\n", stderr);
        usage_exit("each");
    }
    order->command.argv = argv + optind;
    order->command.argc = argc - optind;
}

/* --- messages that are kept back ----------------------------------------------------------------
 */

static bool is_over(const struct timespec *t)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return t->tv_sec < now.tv_sec || (t->tv_sec == now.tv_sec && t->tv_nsec <= now.tv_nsec);
}

/* False: no memory. */
static bool keep(struct order *order, const struct mqxi_taken *taken)
{
    struct kept *k = malloc(sizeof(*k));

    if (!k)
        return false;
    *k = (struct kept){.taken = *taken};
    clock_gettime(CLOCK_REALTIME, &k->until);
    k->until.tv_sec += order->keep_seconds;
    *order->end = k;
    order->end = &k->next;
    return true;
}

/* Those whose time has come; or all of them. */
static void give_back(const struct source *s, struct order *order, bool all)
{
    struct kept *k;

    while ((k = order->first) && (all || is_over(&k->until))) {
        source_settle(s, &k->taken, false); /* where that fails, it goes back when we end */
        order->first = k->next;
        free(k);
    }
    if (!order->first)
        order->end = &order->first;
}

/* --- one message --------------------------------------------------------------------------------
 */

/* How a command failed, for people. */
static void describe(int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "ended with status %d", WEXITSTATUS(status));
}

/* It could not be run, and so it is with all others; or somebody wants us to end. */
static bool is_hopeless(int status)
{
    return command_signal() || (WIFEXITED(status) && (WEXITSTATUS(status) == COMMAND_NOT_RUN ||
                                                      WEXITSTATUS(status) == COMMAND_NOT_FOUND));
}

/* The command has failed. */
static int fail_one(const struct source *s, struct order *order, const struct mqxi_taken *taken,
                    int status)
{
    bool kept = order->keep_going && !is_hopeless(status) && keep(order, taken);
    char how[100];

    order->failed = true;
    describe(status, how, sizeof(how));
    if (kept) {
        fail_because("each", s->name, "'%s' %s; the message is kept back for %u seconds",
                     order->command.argv[0], how, order->keep_seconds);
        return EXIT_DONE;
    }
    source_settle(s, taken, false);
    fail_because("each", s->name, "'%s' %s; the message is back in the queue",
                 order->command.argv[0], how);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int do_one(const struct source *s, struct order *order, const struct mqxi_taken *taken,
                  const char *data)
{
    const struct command_message m = {.bytes = data,
                                      .len = taken->len,
                                      .sysv = s->sysv,
                                      .number = s->sysv ? taken->type : (int64_t)taken->prio};
    int status = 0, r = command_run(&order->command, &m, &status);

    if (r < 0) {
        source_settle(s, taken, false);
        if (r == -EILSEQ)
            return fail_because("each", s->name,
                                "the message, which is back in the queue, has a zero byte: it "
                                "cannot be an argument; leave --argument away");
        return fail_because("each", s->name,
                            "cannot run '%s': %s; the message is back in the queue",
                            order->command.argv[0], strerror(-r));
    }
    if (status != 0)
        return fail_one(s, order, taken, status);
    r = source_leave(s, NULL, true, taken);
    if (r == 0)
        r = source_settle(s, taken, true);
    return r < 0 ? fail_because("each", s->name,
                                "'%s' is done, but the message could not be consumed, and may "
                                "come again: %s",
                                order->command.argv[0], strerror(-r))
                 : EXIT_DONE;
}

/* --- all of them --------------------------------------------------------------------------------
 */

static int each(const struct source *s, struct order *order, char *data)
{
    int status = EXIT_DONE;

    for (uint32_t i = 0; status == EXIT_DONE && i < order->count && !command_signal();) {
        struct mqxi_taken taken;
        int r;

        give_back(s, order, false);
        r = source_take(s, order->first ? &order->first->until : NULL, data, &taken);
        if (r == -EAGAIN) /* only with --drain */
            break;
        if (r == -ETIMEDOUT)
            continue;
        if (r < 0)
            return fail("each", s->name, -r);
        command_signals_hold(); /* from here on they let us settle it */
        status = do_one(s, order, &taken, data);
        command_signals_release();
        i++;
    }
    return status == EXIT_DONE && order->failed ? EXIT_FAILED : status;
}

int cmd_each(int argc, char **argv)
{
    struct order order = {.count = UINT32_MAX};
    struct source s;
    char *data;
    int status;

    order.end = &order.first;
    parse(argc, argv, &order);
    order.command.queue = order.name + 1;
    order.type = arg_type_of("each", order.name, order.type, LONG_MIN);
    arg_is_sysv("each", order.name, order.type, false);
    status = source_open(order.name, order.type, order.drain, &s);
    if (status < 0)
        return fail("each", order.name, -status);
    data = malloc(s.msgsize);
    if (!data)
        return fail("each", order.name, ENOMEM);
    status = each(&s, &order, data);
    give_back(&s, &order, true);
    free(data);
    if (command_signal()) /* the end that it asked for */
        raise(command_signal());
    return status;
}
