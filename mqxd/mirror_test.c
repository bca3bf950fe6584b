/* From segments to the store and back, in one process: what is mirrored, and what is not. */
#include "mirror.h"

#include <fcntl.h>

#include "discover.h"
#include "durable.h"
#include "engine.h"
#include "restore.h"
#include "testing.h"

static struct mirror m;

static void open_mirror(void)
{
    char dir[PATH_MAX];

    snprintf(dir, sizeof(dir), "%s/store", getenv("MQX_DIR"));
    mkdir(dir, 0700);
    m = (struct mirror){.window_ns = 1000};
    IS(mqxi_dirs_make(), 0);
    IS(store_open(dir, &m.store), 0);
}

static void close_mirror(void)
{
    mirror_free(&m);
    store_close(m.store);
}

/* As mqxd starts. */
static void start_mirror(void)
{
    open_mirror();
    IS(discover_gone(&m), 0);
    IS(restore_queues(m.store), 0);
    IS(discover(&m), 0);
}

static struct mqxi_queue *create_durable(const char *name, uint32_t maxmsg, uint32_t msgsize,
                                         enum mqxi_durable durable)
{
    struct mqxi_attr attr = {maxmsg, msgsize, 0640, durable};
    struct mqxi_unborn unborn;

    IS(mqxi_segment_build(&attr, &unborn), 0);
    IS(mqxi_segment_link(&unborn, name), 0);
    mqxi_segment_finish(&unborn, true);
    return unborn.queue;
}

static void commit(void)
{
    while (mirror_due(&m, mirror_now()))
        CHECK(mirror_commit(&m, UINT64_MAX) >= 0);
}

static int count_message(uint32_t slot, const struct mqxi_snapshot *s, const void *data, void *arg)
{
    (void)slot, (void)s, (void)data;
    ++*(uint32_t *)arg;
    return 0;
}

static uint32_t stored(const struct mqxi_queue *q)
{
    uint32_t n = 0;

    IS(store_each_message(m.store, q->header->uuid, count_message, &n), 0);
    return n;
}

static void send_numbers(struct mqxi_queue *q, uint32_t from, uint32_t to, uint32_t prio)
{
    uint8_t data[4000] = {0};

    for (uint32_t i = from; i < to; i++) {
        memcpy(data, &i, sizeof(i));
        IS(mqxi_put(q, data, 4 + i * 37 % (q->layout.msgsize - 3), prio, 0, NULL, NULL), 0);
    }
}

static uint32_t receive(struct mqxi_queue *q)
{
    struct mqxi_taken t;
    uint32_t number;

    IS(mqxi_take(q, &t), 0);
    memcpy(&number, t.data, sizeof(number));
    IS(t.len, 4 + number * 37 % (q->layout.msgsize - 3));
    IS(mqxi_take_commit(q, &t), 0);
    return number;
}

static void remove_segments(void)
{
    char command[PATH_MAX + 30];

    snprintf(command, sizeof(command), "rm -rf '%s/queues' '%s/fifos'", getenv("MQX_DIR"),
             getenv("MQX_DIR"));
    IS(system(command), 0);
}

static void stores_what_stays(void)
{
    struct mqxi_queue *q = create_durable("q", 100, 300, MQXI_DURABLE_SYNC);
    struct mqxi_queue *off = create_durable("off", 100, 300, MQXI_DURABLE_OFF);
    struct mqxi_taken t;

    start_mirror();
    IS(m.count, 1);
    send_numbers(q, 0, 80, 1);
    send_numbers(off, 0, 5, 1);
    commit();
    IS(stored(q), 80);
    IS(stored(off), 0);
    for (uint32_t i = 0; i < 30; i++)
        IS(receive(q), i);
    commit();
    IS(stored(q), 50);
    /* Sent and received between two commits: never there. */
    send_numbers(q, 100, 101, 9);
    IS(receive(q), 100);
    commit();
    IS(stored(q), 50);
    /* Taken, not yet received: still there; given back as well. */
    IS(mqxi_take(q, &t), 0);
    mqxi_durable_mark(q, t.slot);
    commit();
    IS(stored(q), 50);
    IS(mqxi_take_abort(q, &t), 0);
    commit();
    IS(stored(q), 50);
    close_mirror();
}

/* Queues that always have more changes than fit into a commit do not keep the others out, whichever
 * are looked at first, nor their own slots. */
static void busy_queues_take_turns(void)
{
    static const char *const names[] = {"busy", "a", "b", "busy too"};
    struct mqxi_queue *q[4];

    for (int i = 0; i < 4; i++)
        q[i] = create_durable(names[i], 20000, 300, MQXI_DURABLE_ASYNC);
    start_mirror();
    send_numbers(q[1], 0, 1, 1);
    send_numbers(q[2], 0, 1, 1);
    for (int i = 0; i < 4; i += 3)
        for (uint32_t n = 0; n < 20000; n++)
            IS(mqxi_put(q[i], &n, sizeof(n), 0, 0, NULL, NULL), 0);
    for (int round = 0; round < 8; round++) {
        CHECK(mirror_commit(&m, UINT64_MAX) >= 0);
        for (uint32_t slot = 0; slot < 20000; slot++) {
            mqxi_dirty_again(q[0], slot);
            mqxi_dirty_again(q[3], slot);
        }
    }
    IS(stored(q[1]), 1);
    IS(stored(q[2]), 1);
    IS(stored(q[0]), 20000);
    IS(stored(q[3]), 20000);
    close_mirror();
}

/* Sends wait for exactly what is in the store. */
static void says_what_is_stored(void)
{
    struct mqxi_queue *q = create_durable("q", 100, 300, MQXI_DURABLE_SYNC);
    uint32_t slot, seen;
    uint64_t key;

    start_mirror();
    IS(mqxi_put(q, "x", 1, 0, 0, &slot, &key), 0);
    IS(atomic_load(&mqxi_slot(q, slot)->disk_key), 0);
    seen = atomic_load(&q->header->commit_event);
    commit();
    CHECK(atomic_load(&mqxi_slot(q, slot)->disk_key) == key);
    CHECK(atomic_load(&q->header->commit_event) != seen);
    close_mirror();
    /* Killed after the commit and before it said so: the next mqxd says it. */
    mqxi_snapshot_stored(q, slot, 0);
    start_mirror();
    commit();
    CHECK(atomic_load(&mqxi_slot(q, slot)->disk_key) == key);
    close_mirror();
}

static void async_waits_for_its_window(void)
{
    struct mqxi_queue *q = create_durable("q", 100, 300, MQXI_DURABLE_ASYNC);
    uint64_t now, due;

    start_mirror();
    commit();
    m.window_ns = 1000000;
    now = mirror_now();
    IS(mirror_due(&m, now), 0);
    send_numbers(q, 0, 1, 0);
    due = mirror_due(&m, now);
    IS(due, now + 1000000);
    IS(mirror_due(&m, now + 500), due); /* the first change counts */
    IS(mirror_commit(&m, now + 500), 0);
    IS(stored(q), 0);
    IS(mirror_commit(&m, due), 1);
    IS(stored(q), 1);
    IS(mirror_due(&m, now), 0);
    close_mirror();
}

/* While no mqxd ran, its queues were worked with. */
static void finds_its_place(void)
{
    struct mqxi_queue *q = create_durable("q", 1000, 300, MQXI_DURABLE_SYNC), *new;

    start_mirror();
    send_numbers(q, 0, 500, 1);
    commit();
    close_mirror();
    for (uint32_t i = 0; i < 400; i++)
        IS(receive(q), i);
    send_numbers(q, 500, 800, 1);
    start_mirror();
    commit();
    IS(stored(q), 400);
    close_mirror();
    remove_segments();
    start_mirror();
    new = attach("q");
    for (uint32_t i = 400; i < 800; i++)
        IS(receive(new), i);
    IS(mqxi_count(new), 0);
    close_mirror();
}

static void restores(void)
{
    struct mqxi_queue *q = create_durable("q", 1000, 3000, MQXI_DURABLE_ASYNC), *new;
    uint64_t sequence;

    start_mirror();
    for (uint32_t i = 0; i < 600; i++)
        send_numbers(q, i, i + 1, i % 6);
    for (int i = 0; i < 150; i++)
        receive(q);
    atomic_store(&q->header->mode, 0604); /* chmod */
    send_numbers(q, 700, 701, 0);
    commit();
    close_mirror();
    remove_segments();
    start_mirror();
    new = attach("q");
    CHECK(memcmp(new->header->uuid, q->header->uuid, 16) == 0);
    IS(new->layout.maxmsg, 1000);
    IS(new->layout.msgsize, 3000);
    IS(atomic_load(&new->header->mode), 0604);
    IS(atomic_load(&new->header->durable), MQXI_DURABLE_ASYNC);
    IS(new->header->created_ns, q->header->created_ns);
    sequence = atomic_load(&q->header->sequence);
    IS(atomic_load(&new->header->sequence), sequence);
    IS(mqxi_count(new), 451);
    while (mqxi_count(q))
        IS(receive(new), receive(q));
    IS(mqxi_count(new), 0);
    close_mirror();
}

static void unlinked_stay_away(void)
{
    struct mqxi_queue *q = create_durable("q", 10, 300, MQXI_DURABLE_SYNC);
    struct mqxi_queue *r = create_durable("r", 10, 300, MQXI_DURABLE_SYNC), *none;

    start_mirror();
    send_numbers(q, 0, 10, 0);
    send_numbers(r, 0, 10, 0);
    commit();
    IS(mqxi_segment_unlink("q"), 0);
    IS(discover(&m), 0);
    IS(m.count, 1);
    IS(stored(q), 0);
    IS(atomic_load(&q->header->durable), MQXI_DURABLE_OFF); /* for those who still have it open */
    close_mirror();
    IS(mqxi_segment_unlink("r"), 0); /* no mqxd */
    start_mirror();
    IS(m.count, 0);
    IS(stored(r), 0);
    close_mirror();
    remove_segments();
    start_mirror();
    IS(mqxi_segment_attach("q", &none), -ENOENT);
    IS(mqxi_segment_attach("r", &none), -ENOENT);
    close_mirror();
}

/* Another queue got the name meanwhile: both keep what they have. */
static void name_is_taken(void)
{
    struct mqxi_queue *q = create_durable("q", 10, 300, MQXI_DURABLE_SYNC), *other, *new;

    start_mirror();
    send_numbers(q, 0, 10, 0);
    commit();
    close_mirror();
    remove_segments();
    other = create_durable("q", 10, 300, MQXI_DURABLE_SYNC);
    send_numbers(other, 50, 52, 0);
    start_mirror();
    commit();
    IS(stored(q), 10);
    IS(stored(other), 2);
    close_mirror();
    /* Both lost: the younger has the name. */
    remove_segments();
    start_mirror();
    new = attach("q");
    IS(receive(new), 50);
    IS(mqxi_segment_unlink("q"), 0);
    close_mirror();
    start_mirror();
    new = attach("q");
    IS(receive(new), 0);
    IS(mqxi_count(new), 9);
    close_mirror();
}

/* --- damaged and hostile segments ------------------------------------------------------------- */

static void truncated(void)
{
    struct mqxi_queue *q = create_durable("q", 1000, 3000, MQXI_DURABLE_SYNC);
    uint8_t uuid[16];
    char path[PATH_MAX];
    uint32_t n = 0;

    memcpy(uuid, q->header->uuid, 16);
    start_mirror();
    send_numbers(q, 0, 100, 0);
    commit();
    send_numbers(q, 100, 200, 0);
    for (uint32_t slot = 0; slot < 100; slot++)
        mqxi_durable_mark(q, slot);
    IS(mqxi_path(MQXI_QUEUES, "q", path), 0);
    IS(truncate(path, 4096), 0); /* the header stays, and some control words */
    IS(mirror_commit(&m, UINT64_MAX), 0);
    IS(m.count, 0);
    /* All its slots look free now, and that is not believed. */
    IS(store_each_message(m.store, uuid, count_message, &n), 0);
    IS(n, 100);
    close_mirror();
}

static void damaged(void)
{
    struct mqxi_queue *q = create_durable("q", 100, 300, MQXI_DURABLE_SYNC);
    struct mqxi_queue *r = create_durable("r", 100, 300, MQXI_DURABLE_SYNC);
    uint32_t slot;

    start_mirror();
    send_numbers(q, 0, 10, 0);
    send_numbers(r, 0, 10, 0);
    IS(mqxi_put(q, "x", 1, 0, 0, &slot, NULL), 0);
    mqxi_slot(q, slot)->len = UINT32_MAX;
    atomic_store(&r->header->reserved, UINT32_MAX);
    memset((void *)r->dirty, 0xff, 16);
    commit();
    IS(m.count, 1); /* r is odd, but all its messages can be */
    IS(stored(r), 10);
    close_mirror();
}

static int put_beyond(struct store *s, void *uuid)
{
    struct mqxi_snapshot message = {.key = 1, .len = 1};

    return store_put_message(s, uuid, 1u << 28, &message, "x");
}

/* The store has a message in a slot that the living queue has not. */
static void stored_beyond(void)
{
    struct mqxi_queue *q = create_durable("q", 10, 300, MQXI_DURABLE_SYNC);

    start_mirror();
    commit();
    IS(store_transact(m.store, put_beyond, q->header->uuid), 0);
    close_mirror();
    open_mirror();
    IS(discover(&m), -EBADMSG);
    close_mirror();
    mqxi_segment_detach(q);
}

/* A segment that says it is another queue: its messages would take the place of that one's. */
static void copied(void)
{
    struct mqxi_queue *q = create_durable("q", 10, 300, MQXI_DURABLE_SYNC), *copy;

    start_mirror();
    send_numbers(q, 0, 10, 0);
    commit();
    copy = create_durable("copy", 10, 300, MQXI_DURABLE_SYNC);
    memcpy(copy->header->uuid, q->header->uuid, 16);
    IS(discover(&m), 0);
    commit();
    IS(m.count, 1);
    IS(stored(q), 10);
    close_mirror();
}

static void anothers(void)
{
    struct mqxi_queue *q = create_durable("q", 10, 300, MQXI_DURABLE_SYNC), *copy;
    char path[PATH_MAX];

    if (geteuid() != 0)
        SKIP("only root can give files away");
    start_mirror();
    send_numbers(q, 0, 10, 0);
    commit();
    close_mirror();
    /* Another user names root's queue, once as his own living one and once as his unlinked one. */
    copy = create_durable("copy", 10, 300, MQXI_DURABLE_SYNC);
    memcpy(copy->header->uuid, q->header->uuid, 16);
    IS(mqxi_path(MQXI_QUEUES, "copy", path), 0);
    IS(chown(path, 12345, 12345), 0);
    start_mirror();
    commit();
    IS(m.count, 1);
    IS(stored(q), 10);
    IS(mqxi_segment_unlink("copy"), 0);
    IS(discover(&m), 0);
    IS(stored(q), 10);
    close_mirror();
}

static void vanished(void)
{
    struct mqxi_queue *q = create_durable("q", 10, 300, MQXI_DURABLE_SYNC), *new;

    start_mirror();
    send_numbers(q, 0, 10, 0);
    commit();
    remove_segments();
    IS(discover(&m), 0);
    IS(m.count, 0);
    IS(stored(q), 10);
    close_mirror();
    start_mirror();
    new = attach("q");
    IS(mqxi_count(new), 10);
    close_mirror();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(stores_what_stays),
        UNIT(busy_queues_take_turns),
        UNIT(says_what_is_stored),
        UNIT(async_waits_for_its_window),
        UNIT(finds_its_place),
        UNIT(restores),
        UNIT(unlinked_stay_away),
        UNIT(name_is_taken),
        UNIT(truncated),
        UNIT(damaged),
        UNIT(stored_beyond),
        UNIT(copied),
        UNIT(anothers),
        UNIT(vanished),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
