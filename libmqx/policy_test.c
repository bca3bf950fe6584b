/* A queue that becomes durable while it is in use: each change is marked, or seen by who makes it
 * so. */
#include "policy.h"

#include <fcntl.h>

#include "engine.h"
#include "names.h"
#include "snapshot.h"
#include "testing.h"
#include "thread.h"

#define SLOTS  6
#define USERS  2
#define ROUNDS (SANITIZED ? 20 : 80)

static struct meeting {
    _Atomic uint32_t round; /* odd: they shall stand still */
    _Atomic uint32_t stopped[USERS];
    _Atomic uint32_t number; /* of the next user */
    _Atomic uint64_t changes;
} * m;

/* Sends and receives, a message at a time; stands still when asked to. */
static void use(void *arg)
{
    struct mqxi_queue *q = attach("q");
    uint32_t me = atomic_fetch_add(&m->number, 1);
    struct mqxi_taken t;

    (void)arg;
    for (;;) {
        uint32_t round = atomic_load(&m->round);

        if (round % 2) {
            atomic_store(&m->stopped[me], round);
            WAIT_FOR(m->round != round);
            continue;
        }
        unsigned token = mqxi_op_enter();

        mqxi_put(q, "12345678", 8, 0, 0, NULL, NULL);
        if (mqxi_take(q, &t) == 0)
            IS(mqxi_take_commit(q, &t), 0);
        mqxi_op_leave(token);
        atomic_fetch_add(&m->changes, 1);
    }
}

static void ask_to_stop(void)
{
    atomic_fetch_add(&m->round, 1);
}

static void await_stop(void)
{
    uint32_t round = m->round;

    for (int i = 0; i < USERS; i++)
        WAIT_FOR(m->stopped[i] == round);
}

static void let_them_go(void)
{
    uint64_t before = m->changes;

    atomic_fetch_add(&m->round, 1);
    WAIT_FOR(m->changes > before);
}

static void signal_all(const pid_t *users, int signal)
{
    siginfo_t info;

    for (int i = 0; i < USERS; i++) {
        IS(kill(users[i], signal), 0);
        IS(waitid(P_PID, (id_t)users[i], &info, signal == SIGSTOP ? WSTOPPED : WCONTINUED), 0);
    }
}

static uint64_t key_of(const struct mqxi_queue *q, uint32_t slot)
{
    uint64_t key;
    int r;

    while ((r = mqxi_snapshot_key(q, slot, &key)) == -EAGAIN)
        ;
    IS(r, 0);
    return key;
}

static int open_segment(void)
{
    char path[PATH_MAX];
    int fd;

    IS(mqxi_path(MQXI_QUEUES, "q", path), 0);
    fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static void in_use(void)
{
    struct mqxi_queue *q = create("q", SLOTS, 8);
    uint64_t seen[SLOTS], marks;
    pid_t users[USERS];
    int fd = open_segment();

    m = shared(sizeof(*m));
    for (int i = 0; i < USERS; i++)
        users[i] = start(use, NULL);
    ask_to_stop();
    for (int round = 0; round < ROUNDS; round++) {
        await_stop();
        mqxi_policy_set(fd, q->header, MQXI_DURABLE_OFF, false);
        mqxi_dirty_begin(q);
        for (uint32_t w = 0; w < mqxi_dirty_words(q); w++)
            mqxi_dirty_take(q, w);
        let_them_go();
        IS(mqxi_dirty_take(q, 0), 0); /* volatile: they mark nothing */
        if (round % 4) /* as a rule they are stopped in the middle of what they do */
            signal_all(users, SIGSTOP);
        IS(mqxi_policy_set(fd, q->header, MQXI_DURABLE_ASYNC, false), 1);
        mqxi_policy_settle();
        for (uint32_t i = 0; i < SLOTS; i++)
            seen[i] = key_of(q, i);
        ask_to_stop(); /* after what they are in the middle of */
        if (round % 4)
            signal_all(users, SIGCONT);
        await_stop();
        marks = mqxi_dirty_take(q, 0);
        for (uint32_t i = 0; i < SLOTS; i++)
            if (key_of(q, i) != seen[i] && !(marks >> i & 1))
                FAIL("round %d: slot %u changed, and nobody knows", round, (unsigned)i);
    }
    for (int i = 0; i < USERS; i++)
        murder(users[i]);
    close(fd);
}

static void is_changed(void)
{
    struct mqxi_queue *q = create("q", SLOTS, 8);
    struct mqxi_header *h = q->header;
    int fd = open_segment();

    IS(mqxi_policy_set(fd, h, MQXI_DURABLE_OFF, false), 0);
    IS(mqxi_policy_set(fd, h, MQXI_DURABLE_SYNC, true), 1);
    IS(h->durable, MQXI_DURABLE_SYNC);
    IS(h->chosen, 1);
    IS(mqxi_policy_set(fd, h, MQXI_DURABLE_SYNC, false), 0);
    IS(h->chosen, 0);
    IS(mqxi_policy_set_sync(fd, h, 0, 77), 0);
    IS(mqxi_policy_set_sync(fd, h, MQXI_SYNC_WAIT, 77 | MQXI_SYNC_RECEIVE), 1);
    IS(h->sync, 77);
    IS(mqxi_policy_set_sync(fd, h, MQXI_SYNC_RECEIVE, MQXI_SYNC_RECEIVE), 1);
    IS(h->sync, 77 | MQXI_SYNC_RECEIVE);
    /* One that msgctl has removed stays so. */
    h->kind = MQXI_KIND_SYSV;
    atomic_store(&h->state, MQXI_SYSV_REMOVED);
    atomic_store(&h->durable, MQXI_DURABLE_OFF);
    IS(mqxi_policy_set(fd, h, MQXI_DURABLE_SYNC, false), 0);
    IS(h->durable, MQXI_DURABLE_OFF);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT(is_changed), UNIT(in_use)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
