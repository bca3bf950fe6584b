/* What a process leaves behind that dies at the worst moments is mended; what lives is left alone.
 */
#include "repair.h"

#include <pthread.h>

#include "client.h"
#include "engine.h"
#include "index.h"
#include "testing.h"
#include "wait.h"

enum { MSGSIZE = 1000 };
static const uint32_t sizes[] = {10, 300}; /* scanned; scanned and tree */

/* Long ones lie in the overflow. */
static uint32_t length(uint32_t number)
{
    return number % 3 ? 4 : MSGSIZE;
}

static int put_number(struct mqxi_queue *q, uint32_t number)
{
    uint32_t data[MSGSIZE / 4];

    for (uint32_t i = 0; i < MSGSIZE / 4; i++)
        data[i] = number + i;
    return mqxi_put(q, data, length(number), 0, number, NULL, NULL);
}

static void check_number(const struct mqxi_taken *t, uint32_t number)
{
    const uint32_t *data = (const void *)t->data;

    IS(t->type, number);
    IS(t->len, length(number));
    for (uint32_t i = 0; i < t->len / 4; i++)
        IS(data[i], number + i);
}

static void take_number(struct mqxi_queue *q, uint32_t number)
{
    struct mqxi_taken t;

    IS(mqxi_take(q, &t), 0);
    check_number(&t, number);
    IS(mqxi_take_commit(q, &t), 0);
}

static struct mqxi_queue *make(uint32_t maxmsg, uint32_t messages)
{
    struct mqxi_queue *q = create("q", maxmsg, MSGSIZE);

    for (uint32_t i = 0; i < messages; i++)
        IS(put_number(q, i), 0);
    return q;
}

static void drop(struct mqxi_queue *q)
{
    mqxi_segment_detach(q);
    IS(mqxi_segment_unlink("q"), 0);
}

static void repair(struct mqxi_queue *q, bool claims)
{
    bool found = !claims;

    IS(mqxi_repair(q, &found), 0);
    IS(found, claims);
}

static uint32_t events(struct mqxi_queue *q)
{
    return mqxi_event_read(&q->header->recv_event) + mqxi_event_read(&q->header->send_event);
}

/* The owner id of a process that is dead. */
static void tell_owner(void *arg)
{
    int error;

    IS(mqxi_dirs_make(), 0);
    *(uint64_t *)arg = mqxi_client_self(geteuid(), &error)->owner;
}

static uint64_t dead_owner(void)
{
    uint64_t *owner = shared(sizeof(*owner));

    finish(start(tell_owner, owner));
    CHECK(*owner != 0);
    return *owner;
}

/* --- died while taking ------------------------------------------------------------------------ */

struct taker {
    struct mqxi_queue *q;
    uint32_t messages; /* to take, and then to die, or to wait for it */
    bool lives;
    _Atomic bool took;
};

static void take_and_die(void *arg)
{
    struct taker *taker = arg;

    for (uint32_t i = 0; i < taker->messages; i++)
        IS(mqxi_take(taker->q, &(struct mqxi_taken){0}), 0);
    atomic_store(&taker->took, true);
    while (taker->lives)
        pause();
}

static void died_taking(void)
{
    for (int s = 0; s < 2; s++) {
        uint32_t n = sizes[s];
        struct taker taker = {.q = make(n, n), .messages = n - 3};
        uint32_t before;

        finish(start(take_and_die, &taker));
        IS(mqxi_count(taker.q), n);
        take_number(taker.q, n - 3); /* not given back yet */
        before = mqxi_event_read(&taker.q->header->recv_event);
        repair(taker.q, false);
        CHECK(mqxi_event_read(&taker.q->header->recv_event) != before);
        IS(mqxi_count(taker.q), n - 1);
        for (uint32_t i = 0; i < n - 3; i++)
            take_number(taker.q, i);
        take_number(taker.q, n - 2);
        take_number(taker.q, n - 1);
        IS(mqxi_take(taker.q, &(struct mqxi_taken){0}), -EAGAIN);
        drop(taker.q);
    }
}

/* The living keep what they took, however often it is looked at; when they die, it comes back. */
static void living_takers_are_left_alone(void)
{
    for (int s = 0; s < 2; s++) {
        uint32_t n = sizes[s], before;
        struct taker *taker = shared(sizeof(*taker));
        pid_t child;

        *taker = (struct taker){.q = make(n, n), .messages = n - 2, .lives = true};
        child = start(take_and_die, taker);
        WAIT_FOR(atomic_load(&taker->took));
        before = events(taker->q);
        for (int i = 0; i < 3; i++)
            repair(taker->q, true);
        IS(events(taker->q), before);
        take_number(taker->q, n - 2);
        take_number(taker->q, n - 1);
        IS(mqxi_take(taker->q, &(struct mqxi_taken){0}), -EAGAIN);
        murder(child);
        repair(taker->q, false);
        for (uint32_t i = 0; i < n - 2; i++)
            take_number(taker->q, i);
        drop(taker->q);
    }
}

static void our_own_are_left_alone(void)
{
    struct mqxi_queue *q = make(300, 100);
    struct mqxi_taken t;

    IS(mqxi_take(q, &t), 0);
    repair(q, true);
    check_number(&t, 0);
    IS(mqxi_take_commit(q, &t), 0);
    repair(q, false);
    drop(q);
}

/* --- died while sending ----------------------------------------------------------------------- */

/* Dies in the middle of the copy: half of its message cannot be read. */
static void put_and_crash(void *arg)
{
    uint8_t *pages = shared(2 * MQXI_PAGE);
    uint32_t len = MSGSIZE;

    signal(SIGSEGV, SIG_DFL); /* not the sanitizer's */
    IS(mprotect(pages + MQXI_PAGE, MQXI_PAGE, PROT_NONE), 0);
    mqxi_put(arg, pages + MQXI_PAGE - len / 2, len, 0, 0, NULL, NULL);
    FAIL("did not crash");
}

static void died_filling(void)
{
    for (int s = 0; s < 2; s++) {
        struct mqxi_queue *q = make(sizes[s], sizes[s] - 3);
        uint32_t before;

        for (int i = 0; i < 3; i++) {
            pid_t child = start(put_and_crash, q);
            int status;

            IS(waitpid(child, &status, 0), child);
            CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
        }
        IS(put_number(q, 0), -EAGAIN);
        before = mqxi_event_read(&q->header->send_event);
        repair(q, false);
        CHECK(mqxi_event_read(&q->header->send_event) != before);
        IS(mqxi_count(q), sizes[s] - 3);
        for (uint32_t i = sizes[s] - 3; i < sizes[s]; i++)
            IS(put_number(q, i), 0);
        IS(put_number(q, 0), -EAGAIN);
        for (uint32_t i = 0; i < sizes[s]; i++)
            take_number(q, i);
        drop(q);
    }
}

static void put_large_and_crash(void *arg)
{
    uint8_t *pages = shared(4096 * MQXI_PAGE);

    signal(SIGSEGV, SIG_DFL);
    IS(mprotect(pages + 2048 * MQXI_PAGE, MQXI_PAGE, PROT_NONE), 0);
    mqxi_put(arg, pages, 4096 * MQXI_PAGE, 0, 0, NULL, NULL);
    FAIL("did not crash");
}

/* What was reserved for a message that was never sent is given back. */
static void died_filling_a_large_one(void)
{
    struct mqxi_queue *q = create("q", 100, 4096 * MQXI_PAGE);
    uint64_t before;
    int status;

    IS(put_number(q, 1), 0);
    before = occupied("q");
    for (int i = 0; i < 3; i++) {
        pid_t child = start(put_large_and_crash, q);

        IS(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    CHECK(occupied("q") >= before + 3 * 4096 * MQXI_PAGE);
    repair(q, false);
    CHECK(occupied("q") < before + 16 * MQXI_PAGE);
    take_number(q, 1);
    drop(q);
}

/* Died between the publication and the index: the message is in its slot, and nowhere else. */
static void died_before_indexing(void)
{
    struct mqxi_queue *q = make(300, 100);
    uint32_t slot = 64 + 170;
    struct mqxi_slot *s = mqxi_slot(q, slot);

    IS(mqxi_segment_reserve(q, slot), 0);
    IS(q->ctl[slot], MQXI_CTL_FREE);
    for (uint32_t i = 0; i < 100; i++)
        take_number(q, i);
    *s = (struct mqxi_slot){.type = 100, .len = 4};
    memcpy(s->data, (uint32_t[]){100}, 4);
    s->key = (uint64_t)(MQXI_PRIO_MAX - 1) << MQXI_SEQ_BITS | ++q->header->sequence;
    atomic_fetch_or(&q->used[slot / 64], UINT64_C(1) << slot % 64);
    atomic_store(&q->ctl[slot], s->key);
    IS(mqxi_count(q), 1);
    IS(mqxi_take(q, &(struct mqxi_taken){0}), -EAGAIN);
    repair(q, false);
    take_number(q, 100);
    IS(mqxi_count(q), 0);
    drop(q);
}

/* Died between giving a slot back and clearing its bit. */
static void used_bits_left_set(void)
{
    struct mqxi_queue *q = make(300, 300);
    uint32_t before;

    for (uint32_t i = 0; i < 300; i++)
        take_number(q, i);
    for (uint32_t w = 1; w < q->layout.words; w++)
        atomic_store(&q->used[w], UINT64_MAX);
    for (uint32_t i = 0; i < 64; i++)
        IS(put_number(q, i), 0);
    IS(put_number(q, 64), -EAGAIN);
    before = mqxi_event_read(&q->header->send_event);
    repair(q, false);
    CHECK(mqxi_event_read(&q->header->send_event) != before);
    for (uint32_t i = 64; i < 300; i++)
        IS(put_number(q, i), 0);
    for (uint32_t i = 0; i < 300; i++)
        take_number(q, i);
    drop(q);
}

static void used_bits_left_clear(void)
{
    struct mqxi_queue *q = make(300, 250);

    for (uint32_t w = 1; w < q->layout.words; w++)
        atomic_store(&q->used[w], 0);
    IS(mqxi_count(q), 64);
    IS(put_number(q, 250), 0); /* they are hints: nothing is overwritten */
    repair(q, false);
    IS(mqxi_count(q), 251);
    for (uint32_t i = 0; i < 251; i++)
        take_number(q, i);
    drop(q);
}

/* --- words that nobody writes ----------------------------------------------------------------- */

static void damaged_words(void)
{
    static const uint32_t slots[] = {3, 100};
    uint64_t dead = dead_owner();

    for (int s = 0; s < 2; s++) {
        struct mqxi_queue *q = make(300, 300);
        const uint64_t words[] = {MQXI_CTL_OWNED, MQXI_CTL_OWNED | UINT64_C(5) << 60 | dead,
                                  UINT64_MAX, MQXI_CTL_FILLING | MQXI_CTL_OWNER};

        for (int i = 0; i < 4; i++)
            atomic_store(&q->ctl[slots[s] + (uint32_t)i], words[i]);
        repair(q, false);
        for (int i = 0; i < 4; i++)
            IS(q->ctl[slots[s] + (uint32_t)i], MQXI_CTL_FREE);
        IS(mqxi_count(q), 296);
        /* Taken, and its key is none. */
        atomic_store(&q->ctl[slots[s]], MQXI_CTL_TAKING | dead);
        mqxi_slot(q, slots[s])->key = MQXI_CTL_OWNED | 5;
        repair(q, false);
        IS(q->ctl[slots[s]], MQXI_CTL_FREE);
        drop(q);
    }
}

static void damaged_header(void)
{
    struct mqxi_queue *q = make(300, 100);

    q->header->reserved = 301;
    IS(mqxi_repair(q, NULL), -EBADMSG);
    q->header->reserved = 128;
    IS(mqxi_repair(q, NULL), 0);
    atomic_store(&q->dead, true);
    IS(mqxi_repair(q, NULL), -EIO);
    drop(q);
}

/* --- how often -------------------------------------------------------------------------------- */

static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sometimes(void)
{
    struct mqxi_queue *q = make(10, 10);
    uint64_t began;
    bool first, second;

    do { /* until two calls come within a second */
        q->header->last_sweep = 0;
        began = monotonic();
        q->ctl[0] = MQXI_CTL_FILLING | MQXI_CTL_OWNER;
        IS(mqxi_repair_sometimes(q, &first), 0);
        IS(first, true);
        IS(q->ctl[0], MQXI_CTL_FREE);
        q->ctl[0] = MQXI_CTL_FILLING | MQXI_CTL_OWNER;
        IS(mqxi_repair_sometimes(q, &second), 0);
    } while (monotonic() - began > 900000000u);
    IS(second, false);
    CHECK(q->ctl[0] != MQXI_CTL_FREE);
    q->header->last_sweep = began + 3600000000000u; /* of another boot */
    IS(mqxi_repair_sometimes(q, &second), 0);
    IS(second, true);
    IS(q->ctl[0], MQXI_CTL_FREE);
    drop(q);
}

/* --- several at once -------------------------------------------------------------------------- */

static void repair_for_ever(void *queue)
{
    for (;;)
        IS(mqxi_repair(queue, NULL), 0);
}

/* Repairs beside living senders and receivers take nothing from them. */
static void beside_the_living(void)
{
    for (int s = 0; s < 2; s++) {
        struct mqxi_queue *q = make(sizes[s], 0);
        uint32_t sent = 0, received = 0, half = sizes[s] / 2;
        pid_t child[2];

        for (int i = 0; i < 2; i++)
            child[i] = start(repair_for_ever, q);
        while (received < (SANITIZED ? 3000 : 20000)) {
            for (uint32_t i = 0; i < half; i++)
                IS(put_number(q, sent++), 0);
            for (uint32_t i = 0; i < half; i++)
                take_number(q, received++);
        }
        for (int i = 0; i < 2; i++)
            murder(child[i]);
        IS(mqxi_take(q, &(struct mqxi_taken){0}), -EAGAIN);
        drop(q);
    }
}

/* Many repair the same dead at once: each message comes back once. */
static void at_the_same_time(void)
{
    for (int round = 0; round < 50; round++) {
        struct taker taker = {.q = make(300, 300), .messages = 300};
        pid_t child[3];

        finish(start(take_and_die, &taker));
        for (int i = 0; i < 3; i++)
            child[i] = start(repair_for_ever, taker.q);
        repair(taker.q, false);
        for (uint32_t i = 0; i < 300; i++)
            take_number(taker.q, i);
        IS(mqxi_take(taker.q, &(struct mqxi_taken){0}), -EAGAIN);
        for (int i = 0; i < 3; i++)
            murder(child[i]);
        drop(taker.q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(died_taking),
        UNIT(living_takers_are_left_alone),
        UNIT(our_own_are_left_alone),
        UNIT(died_filling),
        UNIT(died_filling_a_large_one),
        UNIT(died_before_indexing),
        UNIT(used_bits_left_set),
        UNIT(used_bits_left_clear),
        UNIT(damaged_words),
        UNIT(damaged_header),
        UNIT(sometimes),
        UNIT(beside_the_living),
        UNIT(at_the_same_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
