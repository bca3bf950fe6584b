/* mqxd's view of slots: whole messages whatever happens meanwhile, and back into their places. */
#include "snapshot.h"

#include "engine.h"
#include "testing.h"

#define WORDS 40 /* 64-bit words in the largest message: more than fits into the slot */

static uint32_t put(struct mqxi_queue *q, const void *data, uint32_t len, uint32_t prio)
{
    uint32_t slot;

    IS(mqxi_put(q, data, len, prio, 5, &slot, NULL), 0);
    return slot;
}

static void states(void)
{
    struct mqxi_queue *q = create("q", 10, 300);
    struct mqxi_snapshot s, t;
    struct mqxi_taken taken;
    uint32_t slot = put(q, "hello", 5, 3);
    uint64_t key = 1;
    char data[300];

    IS(mqxi_snapshot(q, slot, &s, data), 0);
    IS(mqxi_key_prio(s.key), 3);
    IS(s.len, 5);
    IS(s.type, 5);
    IS(s.pid, getpid());
    IS(s.uid, getuid());
    CHECK(s.sent_ns > 0 && memcmp(data, "hello", 5) == 0);
    /* While it is taken it is still there, with the same key. */
    IS(mqxi_take(q, &taken), 0);
    memset(data, 0, sizeof(data));
    IS(mqxi_snapshot(q, slot, &t, data), 0);
    CHECK(memcmp(&s, &t, sizeof(s)) == 0 && memcmp(data, "hello", 5) == 0);
    IS(mqxi_take_commit(q, &taken), 0);
    IS(mqxi_snapshot(q, slot, &t, data), 0);
    IS(t.key, 0);
    atomic_store(&q->ctl[slot], MQXI_CTL_FILLING | 77);
    IS(mqxi_snapshot_key(q, slot, &key), 0);
    IS(key, 0);
}

static void damaged(void)
{
    struct mqxi_queue *q = create("q", 10, 300);
    uint32_t slot = put(q, "hello", 5, 3);
    struct mqxi_snapshot s;
    char data[300];

    mqxi_slot(q, slot)->len = 301;
    IS(mqxi_snapshot(q, slot, &s, data), -EBADMSG);
    atomic_store(&q->ctl[slot], MQXI_CTL_OWNED | UINT64_C(5) << 60);
    IS(mqxi_snapshot(q, slot, &s, data), -EBADMSG);
    atomic_store(&q->ctl[slot], MQXI_CTL_TAKING | 77);
    mqxi_slot(q, slot)->key = 0;
    IS(mqxi_snapshot(q, slot, &s, data), -EBADMSG);
    mqxi_slot(q, slot)->key = MQXI_CTL_OWNED | 1;
    IS(mqxi_snapshot(q, slot, &s, data), -EBADMSG);
}

/* Each message is one number, as many times as the number says, with a priority that follows. */
static void send_and_receive(void *arg)
{
    struct mqxi_queue *q = attach("q");
    uint64_t random = (uint64_t)(uintptr_t)arg, words[WORDS];

    for (;;) {
        uint64_t number = next_random(&random);
        uint32_t n = (uint32_t)(number % WORDS) + 1;
        struct mqxi_taken t;

        for (uint32_t i = 0; i < n; i++)
            words[i] = number;
        mqxi_put(q, words, n * 8, number % 7, 0, NULL, NULL);
        if (mqxi_take(q, &t) == 0 && (number % 3 ? mqxi_take_commit : mqxi_take_abort)(q, &t) < 0)
            _exit(1);
    }
}

static void whole_messages(void)
{
    struct mqxi_queue *q = create("q", 3, WORDS * 8);
    pid_t children[2];
    uint64_t words[WORDS], last[3] = {0};
    int different = 0, unstable = 0;

    for (uintptr_t i = 0; i < 2; i++)
        children[i] = start(send_and_receive, (void *)(i + 1));
    while (different < 3000) {
        for (uint32_t slot = 0; slot < 3; slot++) {
            struct mqxi_snapshot s;
            int r = mqxi_snapshot(q, slot, &s, words);

            if (r == -EAGAIN) {
                unstable++;
                continue;
            }
            IS(r, 0);
            if (s.key == 0)
                continue;
            IS(s.len, (words[0] % WORDS + 1) * 8);
            IS(mqxi_key_prio(s.key), words[0] % 7);
            for (uint32_t i = 1; i < s.len / 8; i++)
                IS(words[i], words[0]);
            different += s.key != last[slot];
            last[slot] = s.key;
        }
    }
    printf("%d messages, %d times unstable\n", different, unstable);
    for (int i = 0; i < 2; i++)
        murder(children[i]);
}

/* Out of one queue, slot by slot, into a new one: the same order and content, and room to go on. */
static void restored(void)
{
    struct mqxi_attr attr = {1000, 400, 0600, MQXI_DURABLE_OFF};
    struct mqxi_queue *q = create("q", 1000, 400), *new;
    struct mqxi_unborn unborn;
    uint64_t random = 1;
    char data[400] = {0};

    for (uint32_t i = 0; i < 800; i++) {
        memcpy(data, &i, sizeof(i));
        put(q, data, 4 + below(&random, 390), below(&random, 5));
        if (i % 3 == 0) {
            struct mqxi_taken t;

            IS(mqxi_take(q, &t), 0);
            IS(mqxi_take_commit(q, &t), 0);
        }
    }
    IS(mqxi_segment_build(&attr, &unborn), 0);
    new = unborn.queue;
    for (uint32_t slot = mqxi_dirty_slots(q); slot-- > 0;) {
        struct mqxi_snapshot s;

        IS(mqxi_snapshot(q, slot, &s, data), 0);
        if (s.key)
            IS(mqxi_snapshot_restore(new, slot, &s, data), 0);
    }
    IS(mqxi_segment_link(&unborn, "new"), 0);
    mqxi_segment_finish(&unborn, true);
    IS(mqxi_count(new), mqxi_count(q));
    IS(mqxi_bytes(new), mqxi_bytes(q));
    put(q, "last", 4, 0);
    put(new, "last", 4, 0);
    for (;;) {
        struct mqxi_taken a, b;
        int r = mqxi_take(q, &a);

        IS(mqxi_take(new, &b), r);
        if (r < 0)
            break;
        IS(a.len, b.len);
        IS(a.key, b.key); /* the sequence went on from where it was */
        IS(a.sent_ns <= b.sent_ns, 1);
        CHECK(memcmp(a.data, b.data, a.len) == 0);
        IS(mqxi_take_commit(q, &a), 0);
        IS(mqxi_take_commit(new, &b), 0);
    }
    IS(mqxi_count(new), 0);
}

static void restore_refuses(void)
{
    struct mqxi_queue *q = create("q", 10, 100);
    struct mqxi_snapshot s = {.key = 7, .len = 100};
    char data[200] = {0};

    IS(mqxi_snapshot_restore(q, 10, &s, data), -EBADMSG);
    s.len = 101;
    IS(mqxi_snapshot_restore(q, 9, &s, data), -EBADMSG);
    s.len = 100;
    s.key = 0;
    IS(mqxi_snapshot_restore(q, 9, &s, data), -EBADMSG);
    s.key = MQXI_CTL_FILLING | 5;
    IS(mqxi_snapshot_restore(q, 9, &s, data), -EBADMSG);
    s.key = 7;
    IS(mqxi_snapshot_restore(q, 9, &s, data), 0);
    IS(mqxi_snapshot_restore(q, 9, &s, data), -EBADMSG); /* not free */
}

int main(void)
{
    const struct CMUnitTest tests[] = {UNIT(states), UNIT(damaged), UNIT(whole_messages),
                                       UNIT(restored), UNIT(restore_refuses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
