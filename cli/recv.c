/*
 * mqx recv: messages to standard output, their bytes and nothing else unless
 * asked for.  A message is consumed when it is written; one that cannot be
 * written is back in its place.  mq_receive cannot do that: the engine can.
 */
#include <errno.h>
#include <getopt.h>
#include <mqueue.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "anyname.h"
#include "cli.h"
#include "guard.h"
#include "handles.h"
#include "held.h"
#include "mqx.h"
#include "msqs.h"
#include "remote.h"
#include "repair.h"
#include "stored.h"
#include "thread.h"
#include "wait.h"
#include "withdraw.h"

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

/* How long a sleep lasts before it is time to look for what the dead left. */
#define LOOK_NS UINT64_C(1000000000)

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

/* Where messages come from. */
struct source {
    const char *name;
    struct mqxi_queue *q; /* NULL: another user's, by its descriptor */
    mqd_t mq;
    size_t msgsize;
    bool sysv;
    struct mqxi_choice choice; /* of a System V queue */
};

static int take_remote(const struct source *s, const struct timespec *deadline, char *data,
                       struct mqxi_taken *taken)
{
    ssize_t n = mqxi_remote_take(s->mq, data, s->msgsize, &taken->prio, deadline, &taken->key);

    taken->len = n < 0 ? 0 : (uint32_t)n;
    return n < 0 ? (int)n : 0;
}

static int take_local(const struct source *s, struct mqxi_taken *taken)
{
    int r;

    if (!s->sysv)
        return mqxi_take(s->q, taken);
    r = mqxi_take_chosen(s->q, &s->choice, taken);
    return r < 0 && mqxi_held_removed(s->q) ? -EIDRM : r;
}

/*
 * As mqx_timedreceive, except that the message is not consumed yet: taken and
 * in data, and given back by others should this process die.
 */
static int take(const struct source *s, const struct timespec *deadline, bool wait, char *data,
                struct mqxi_taken *taken)
{
    struct mqxi_queue *q = s->q;
    _Atomic uint32_t *event;

    if (!q)
        return take_remote(s, deadline, data, taken);
    event = &q->header->recv_event;
    for (;;) {
        unsigned token = mqxi_op_enter();
        int r = take_local(s, taken);

        /* Nothing comes: is it because somebody died who had a message? */
        if (r == -EAGAIN && mqxi_event_read(event) == taken->seen) {
            r = mqxi_guard_check(q);
            if (r == 0)
                r = mqxi_repair(q, NULL);
            if (r == 0)
                r = take_local(s, taken);
        }
        if (r == 0)
            memcpy(data, taken->data, taken->len);
        mqxi_op_leave(token);
        if (r != -EAGAIN || !wait)
            return r;
        r = mqxi_event_sleep(event, taken->seen, deadline, LOOK_NS, false);
        if (r < 0 && r != -EINTR)
            return r;
    }
}

/* Where receivers wait for that, it is gone from the disk before it is printed; or it is back. */
static int leave(const struct source *s, const struct timespec *deadline, bool wait,
                 const struct mqxi_taken *taken)
{
    struct mqxi_stored stored = {.q = s->q,
                                 .slot = taken->slot,
                                 .key = taken->key,
                                 .leaving = true,
                                 .deadline = deadline,
                                 .nonblock = !wait};
    unsigned token;
    int r;

    if (!s->q || !mqxi_stored_receives(s->q))
        return 0;
    token = mqxi_op_enter();
    r = mqxi_take_leave(s->q, taken);
    mqxi_op_leave(token);
    if (r == 0)
        r = mqxi_stored_wait(&stored, true);
    token = mqxi_op_enter();
    if (r < 0)
        mqxi_take_abort(s->q, taken);
    mqxi_op_leave(token);
    return r;
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
    unsigned token = mqxi_op_enter();
    int r = s->q ? (printed ? mqxi_take_commit(s->q, taken) : mqxi_take_abort(s->q, taken)) : 0;

    mqxi_op_leave(token);
    if (!s->q && printed) /* else it goes back when we end */
        r = mqxi_remote_accept(s->mq, taken->key);
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
        int r = take(s, until, !order->nonblock, data, &taken);

        if (r == 0)
            r = leave(s, until, !order->nonblock, &taken);
        status = r < 0 ? recv_failed(s->name, i, -r)
                       : settle(s, &taken, print(order, s->sysv, data, &taken));
    }
    return status;
}

/* The queue behind a descriptor; as long as that is open, which it stays. */
static int find_source(mqd_t mq, struct source *s)
{
    unsigned access, token = mqxi_op_enter();
    int r = mqxi_handle_get(mq, &s->q, &access);
    struct mq_attr attr;

    mqxi_op_leave(token);
    s->mq = mq;
    if (r == -EREMOTE)
        s->q = NULL;
    else if (r < 0)
        return r;
    if (mqx_getattr(mq, &attr) < 0)
        return -errno;
    s->msgsize = (size_t)attr.mq_msgsize;
    return 0;
}

static int find_sysv(const struct order *order, struct source *s)
{
    struct mqxi_asker self = mqxi_msqs_self();
    int r = mqxi_name_attach(s->name + 1, &s->q);

    if (r < 0)
        return r;
    if (!mqxi_msq_rights(s->q, &self, MQXI_MAY_READ))
        return -EACCES;
    s->sysv = true;
    s->choice = mqxi_choice_of(order->type, UINT32_MAX);
    s->msgsize = s->q->layout.msgsize;
    return 0;
}

static int find_posix(const struct order *order, struct source *s)
{
    mqd_t mq = mqx_open(s->name, O_RDONLY | (order->nonblock ? O_NONBLOCK : 0));

    return mq == (mqd_t)-1 ? -errno : find_source(mq, s);
}

int cmd_recv(int argc, char **argv)
{
    struct order order = {.count = 1};
    struct source s = {.name = parse(argc, argv, &order)};
    char *data;
    int status;

    signal(SIGPIPE, SIG_IGN); /* to live on and give the message back */
    status = arg_is_sysv("recv", s.name, order.type, false) ? find_sysv(&order, &s)
                                                            : find_posix(&order, &s);
    if (status < 0)
        return fail("recv", s.name, -status);
    data = malloc(s.msgsize);
    if (!data)
        return fail("recv", s.name, ENOMEM);
    status = receive(&s, &order, data);
    free(data);
    return status;
}
