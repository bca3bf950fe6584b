/*
 * Senders are processes, each with a connection of its own.  They live as long
 * as a row of the table, asleep while others have their turn, so that turns can
 * be short and follow each other: a disk that others use, too, is then as slow
 * for one as for the next.  In a turn each sends one message after the other,
 * the next when the last is on disk.
 */
#include "durable.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct team {
    const struct peer *peer;
    unsigned count;
    pid_t pid[SENDERS_MAX];
    int line[SENDERS_MAX]; /* orders and answers */
};

struct order {
    double from, until; /* 0: the end */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Messages a second, up to the last that was on disk. */
static double work(const struct peer *peer, void *connection, const char *message, size_t size,
                   unsigned group, const struct order *order)
{
    struct timespec start = {.tv_sec = (time_t)order->from};
    double end;
    long count = 0;

    start.tv_nsec = (long)((order->from - (double)start.tv_sec) * 1e9);
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &start, NULL);
    do {
        peer->send(connection, message, size, group);
        count += group;
        end = now();
    } while (end < order->until);
    return (double)count / (end - order->from);
}

static void sender(const struct peer *peer, int line, size_t size, unsigned group)
{
    static char messages[SENDERS_MAX * SIZE_MAX_MESSAGE];
    struct order order;
    void *connection;
    double rate = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    memset(messages, 'm', sizeof messages);
    connection = peer->open(size);
    while (write(line, &rate, sizeof rate) == sizeof rate &&
           read(line, &order, sizeof order) == sizeof order && order.until > 0)
        rate = work(peer, connection, messages, size, group, &order);
    _exit(0);
}

static double answer(const struct team *t, unsigned i)
{
    double rate;

    if (read(t->line[i], &rate, sizeof rate) != sizeof rate)
        durable_fail("a sender died: to", t->peer->name);
    return rate;
}

struct team *team_open(const struct peer *peer, unsigned senders, size_t size)
{
    struct team *t = calloc(1, sizeof *t);
    int line[2];

    if (!t)
        durable_fail("not enough memory", NULL);
    t->peer = peer;
    t->count = peer->grouped ? 1 : senders;
    for (unsigned i = 0; i < t->count; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0)
            durable_fail("cannot make a socket", NULL);
        fflush(stdout);
        t->pid[i] = fork();
        if (t->pid[i] < 0)
            durable_fail("cannot start a sender", NULL);
        if (t->pid[i] == 0)
            sender(peer, line[1], size, peer->grouped ? senders : 1);
        close(line[1]);
        t->line[i] = line[0];
    }
    for (unsigned i = 0; i < t->count; i++)
        answer(t, i); /* it is connected */
    return t;
}

double team_turn(struct team *t, double seconds)
{
    struct order order = {.from = now() + 0.003};
    double sum = 0;

    order.until = order.from + seconds;
    for (unsigned i = 0; i < t->count; i++)
        if (write(t->line[i], &order, sizeof order) != sizeof order)
            durable_fail("a sender died: to", t->peer->name);
    for (unsigned i = 0; i < t->count; i++)
        sum += answer(t, i);
    return sum;
}

void team_close(struct team *t)
{
    static const struct order end = {0};

    for (unsigned i = 0; i < t->count; i++)
        if (write(t->line[i], &end, sizeof end) != sizeof end || waitpid(t->pid[i], NULL, 0) < 0 ||
            close(t->line[i]) != 0)
            durable_fail("a sender died: to", t->peer->name);
    free(t);
}
