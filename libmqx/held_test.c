/* What a System V queue holds is right again after processes died at it, wherever they did. */
#include "held.h"

#include <sys/ptrace.h>

#include "choose.h"
#include "client.h"
#include "engine.h"
#include "msqids.h"
#include "repair.h"
#include "testing.h"

static struct mqxi_queue *typed(uint64_t qbytes)
{
    struct mqxi_queue *q;

    IS(mqxi_msqid_create(
           &(struct mqxi_msqid_new){
               .mode = 0600, .maxmsg = 100, .msgsize = 5000, .qbytes = qbytes, .most = 10},
           &q),
       0);
    return q;
}

static uint64_t held(struct mqxi_queue *q)
{
    return mqxi_held(q);
}

static void set_held(struct mqxi_queue *q, uint64_t to)
{
    atomic_store(&q->header->entered, atomic_load(&q->header->left) + to);
}

static int put(struct mqxi_queue *q, uint32_t len)
{
    static const char text[5000];

    return mqxi_put(q, text, len, 0, 1, NULL, NULL);
}

/* The kernel's rule, for bytes and for messages. */
static void room(void)
{
    struct mqxi_queue *q = typed(100);
    struct mqxi_taken taken;

    IS(put(q, 101), -EAGAIN);
    IS(put(q, 60), 0);
    IS(put(q, 41), -EAGAIN);
    IS(put(q, 40), 0);
    IS(put(q, 1), -EAGAIN);
    IS(put(q, 0), 0);
    IS(held(q), 3 * MQXI_HELD_ONE + 100);
    atomic_store(&q->header->qbytes, 3);
    IS(put(q, 0), -EAGAIN); /* a fourth message */
    IS(mqxi_readiness(q), MQXI_CAN_RECEIVE);
    atomic_store(&q->header->qbytes, 200);
    IS(mqxi_readiness(q), MQXI_CAN_RECEIVE | MQXI_CAN_SEND);
    IS(mqxi_take(q, &taken), 0);
    IS(held(q), 3 * MQXI_HELD_ONE + 100); /* until it is consumed */
    IS(mqxi_take_commit(q, &taken), 0);
    IS(held(q), 2 * MQXI_HELD_ONE + 40);
}

/* Not while somebody is at work, who may have added and not yet published. */
static void not_beside_an_owner(void)
{
    struct mqxi_queue *q = typed(100000);
    struct mqxi_taken taken;

    IS(put(q, 10), 0);
    IS(put(q, 20), 0);
    set_held(q, 77);
    mqxi_held_recount(q);
    IS(held(q), 77); /* nobody doubts it */
    mqxi_held_doubt(q);
    IS(mqxi_take(q, &taken), 0);
    mqxi_held_recount(q);
    IS(held(q), 77);
    IS(mqxi_take_abort(q, &taken), 0);
    mqxi_held_recount(q);
    IS(held(q), 2 * MQXI_HELD_ONE + 30);
    IS(q->header->recount, 0);
}

/* More is taken than was there: a damaged word. */
static void underflow(void)
{
    struct mqxi_queue *q = typed(100000);
    struct mqxi_taken taken;

    IS(put(q, 10), 0);
    IS(put(q, 10), 0);
    set_held(q, 0);
    IS(mqxi_take(q, &taken), 0);
    IS(mqxi_take_commit(q, &taken), 0);
    IS(mqxi_repair(q, NULL), 0);
    IS(held(q), MQXI_HELD_ONE + 10);
}

static void work(void *arg)
{
    struct mqxi_queue *q = arg;
    uint64_t chance = (uint64_t)getpid();

    for (;;) {
        struct mqxi_choice c = {.mode = (enum mqxi_mode)below(&chance, 4), .type = 1, .longest = 5000};
        struct mqxi_taken taken;

        if (below(&chance, 2))
            put(q, below(&chance, 20) ? below(&chance, 100) : 3000);
        else if (mqxi_take_chosen(q, &c, &taken) == 0)
            mqxi_take_commit(q, &taken);
    }
}

static void killed(void)
{
    struct mqxi_queue *q = typed(3000);
    uint64_t chance = 3;

    for (int round = 0; round < 400 && !time_is_up(); round++) {
        pid_t a = start(work, q), b = start(work, q);
        uint64_t sum = 0, total = 0;
        struct mqxi_taken taken;

        nanosleep(&(struct timespec){.tv_nsec = 100000 + below(&chance, 2000000)}, NULL);
        murder(a);
        murder(b);
        IS(mqxi_repair(q, NULL), 0);
        IS(mqxi_repair(q, NULL), 0);
        IS(q->header->recount, 0);
        total = held(q);
        while (mqxi_take(q, &taken) == 0) {
            sum += MQXI_HELD_ONE + taken.len;
            IS(mqxi_take_commit(q, &taken), 0);
        }
        IS(total, sum);
        IS(held(q), 0);
    }
}

/* --- killed at every few instructions
 * -----------------------------------------------------------------
 */

struct errand {
    struct mqxi_queue *q;
    void (*run)(struct mqxi_queue *q);
};

static void send_one(struct mqxi_queue *q)
{
    put(q, 70);
}

static void send_long(struct mqxi_queue *q)
{
    put(q, 300);
}

static void receive_first(struct mqxi_queue *q)
{
    struct mqxi_choice c = {.mode = MQXI_ANY, .type = 0, .longest = 5000};
    struct mqxi_taken taken;

    if (mqxi_take_chosen(q, &c, &taken) == 0)
        mqxi_take_commit(q, &taken);
}

static void receive_typed(struct mqxi_queue *q)
{
    struct mqxi_choice c = {.mode = MQXI_LOWEST, .type = 9, .longest = 5000};
    struct mqxi_taken taken;

    if (mqxi_take_chosen(q, &c, &taken) == 0)
        mqxi_take_commit(q, &taken);
}

static void run_traced(void *arg)
{
    const struct errand *e = arg;
    int error;

    mqxi_client_self(e->q->registry, &error); /* not this time */
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    e->run(e->q);
}

/* Kill one who runs that errand after n instructions.  False: it had ended. */
static bool kill_at(struct errand *e, int n)
{
    pid_t child = start(run_traced, e);
    int status;

    for (int i = 0; i <= n; i++) {
        IS(waitpid(child, &status, 0), child);
        if (WIFEXITED(status))
            return false;
        CHECK(WIFSTOPPED(status));
        if (i < n)
            IS(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
    }
    murder(child);
    return true;
}

/* Three messages were there, perhaps one more or one less is now: what the word says, and the
 * slots, and the three's types and order. */
static void check_three(struct mqxi_queue *q, bool sends)
{
    uint64_t word, sum = 0;
    struct mqxi_taken taken;
    int count = 0;

    IS(mqxi_repair(q, NULL), 0);
    IS(mqxi_repair(q, NULL), 0);
    IS(q->header->recount, 0);
    word = held(q);
    while (mqxi_take(q, &taken) == 0) {
        sum += MQXI_HELD_ONE + taken.len;
        IS(mqxi_take_commit(q, &taken), 0);
        count++;
    }
    IS(word, sum);
    CHECK(sends ? count == 3 || count == 4 : count == 2 || count == 3);
    IS(held(q), 0);
}

static void kill_at_each(void (*run)(struct mqxi_queue *q), bool sends)
{
    struct errand e = {typed(100000), run};
    int n;

    for (n = 1;; n += SANITIZED ? 701 : 5) {
        for (int i = 0; i < 3; i++)
            IS(mqxi_put(e.q, "text", 4, 0, 3 - i, NULL, NULL), 0);
        if (!kill_at(&e, n))
            break;
        check_three(e.q, sends);
    }
    CHECK(n > 300);
}

static void killed_sending(void)
{
    kill_at_each(send_one, true);
}

static void killed_sending_much(void)
{
    kill_at_each(send_long, true);
}

static void killed_receiving(void)
{
    kill_at_each(receive_first, false);
}

static void killed_choosing(void)
{
    kill_at_each(receive_typed, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(room),
        UNIT(not_beside_an_owner),
        UNIT(underflow),
        UNIT(killed),
        UNIT(killed_sending),
        UNIT(killed_sending_much),
        UNIT(killed_receiving),
        UNIT(killed_choosing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
