/*
 * What others do between two steps of who shows readiness, met for certain.  Somebody who changes
 * the queue is held up before one of his system calls or looks at the queue; meanwhile another one
 * changes it, and is held up in the same way.  When all are done, the FIFO shows what the queue is.
 */
#include "bell_testing.h"

#include "engine.h"

#define HELD  4  /* so many are held up at most */
#define STEPS 12 /* so many steps after another at most */

unsigned __real_mqxi_readiness(struct mqxi_queue *q);
unsigned __wrap_mqxi_readiness(struct mqxi_queue *q);
long __real_syscall(long number, ...);
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f);

/* p: put.  t: take.  l: look, as who was told by the FIFO what is not so.  The first is held up
 * before the step at[0], when the second begins; he, or again the first, before at[1] ... */
struct game {
    char what[HELD + 2];
    unsigned at[HELD];
};

static const struct game *game;
static struct mqxi_queue *queue;
static unsigned begun, steps;

static void go_on(void)
{
    struct mqxi_taken taken;
    char what = game->what[begun++];
    int r = 0;

    if (what == 'p')
        r = mqxi_put(queue, "x", 1, 0, 0, NULL, NULL);
    else if (what == 'l')
        r = mqxi_bell_adjust(queue);
    else if ((r = mqxi_take(queue, &taken)) == 0)
        r = mqxi_take_commit(queue, &taken);
    CHECK(r == 0 || (r == -EAGAIN && what != 'l'));
}

static void before_step(void)
{
    steps++;
    while (game && game->what[begun] && game->at[begun - 1] == steps)
        go_on();
}

unsigned __wrap_mqxi_readiness(struct mqxi_queue *q)
{
    before_step();
    return __real_mqxi_readiness(q);
}

/* Not with "...": which of the six there are, only the kernel knows. */
long __wrap_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    before_step();
    return __real_syscall(number, a, b, c, d, e, f);
}

static void play(const struct game *g, int fd, uint32_t tells)
{
    unsigned is, seen, said;

    begun = steps = 0;
    game = g;
    go_on();
    game = NULL;
    is = mqxi_readiness(queue);
    seen = shows(fd);
    said = atomic_load(&queue->header->shown) & BOTH;
    if (is & ~seen || said & ~seen || (tells && (is != seen || is != said)))
        FAIL("%s at %u %u %u %u of %u, told %u: the queue is %u, shown is %u, said to be %u",
             g->what, g->at[0], g->at[1], g->at[2], g->at[3], queue->layout.maxmsg, tells, is, seen,
             said);
}

/* Each game goes on with what the last one left. */
static void games_of(uint32_t maxmsg, uint32_t tells)
{
    uint64_t random = 1;
    int fd;

    queue = create("q", maxmsg, 8);
    fd = open_fifo(queue);
    IS(mqxi_bell_watch(queue, tells), 0);
    for (int i = 0; i < 10000 && !time_is_up(); i++) {
        struct game g = {0};
        unsigned last = 0;

        for (int j = 0; j <= HELD; j++)
            g.what[j] = "pptttpl"[below(&random, 7)];
        for (int j = 0; j < HELD; j++)
            last = g.at[j] = last + 1 + (unsigned)below(&random, STEPS);
        play(&g, fd, tells);
    }
    close(fd);
    IS(mqxi_segment_unlink("q"), 0);
}

static void others_in_between(void)
{
    for (uint32_t maxmsg = 1; maxmsg < 4; maxmsg++)
        games_of(maxmsg, 0);
}

static void others_in_between_exactly(void)
{
    for (uint32_t maxmsg = 1; maxmsg < 4; maxmsg++)
        games_of(maxmsg, MQXI_TELLS_EXACT);
}

static void others_in_between_with_edges(void)
{
    for (uint32_t maxmsg = 1; maxmsg < 4; maxmsg++)
        games_of(maxmsg, MQXI_TELLS_EDGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(others_in_between),
        UNIT(others_in_between_exactly),
        UNIT(others_in_between_with_edges),
    };

    return cmocka_run_group_tests_name("bell, step by step", tests, NULL, NULL);
}
