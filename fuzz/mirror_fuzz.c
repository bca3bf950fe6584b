/*
 * mqxd beside a damaged durable queue: it goes on (every error would end it),
 * mirrors the healthy queue message for message, and after a reboot restores
 * that one as it was.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "damage.h"
#include "discover.h"
#include "engine.h"
#include "fence.h"
#include "log.h"
#include "names.h"
#include "repair.h"
#include "restore.h"
#include "target.h"
#include "thread.h"

#define DAMAGED "fuzz"
#define WELL    "well" /* has messages 1, 2, 3, ... */

void say(const char *format, ...)
{
    (void)format; /* not in a hundred thousand runs */
}

void say_event(enum say_level level, const char *event, const char *queue, const char *format, ...)
{
    (void)level;
    (void)event;
    (void)queue;
    (void)format;
}

struct run {
    struct mirror mirror;
    struct mqxi_queue *damaged, *well; /* as their users have them */
    char fifo[2][PATH_MAX];
    uint32_t sent, received; /* messages of the healthy queue */
    uint32_t next;           /* for `check` */
};

static char store_dir[PATH_MAX];

/* --- the healthy queue --------------------------------------------------------------------- */

static void well_put(struct run *run)
{
    unsigned token = mqxi_op_enter();
    uint32_t number = run->sent + 1;
    int r = mqxi_put(run->well, &number, sizeof(number), 0, 0, NULL, NULL);

    mqxi_op_leave(token);
    damage_must(r == 0 || r == -EAGAIN, "send to the healthy queue", r);
    run->sent += r == 0;
}

static void well_take(struct run *run)
{
    unsigned token = mqxi_op_enter();
    struct mqxi_taken t;
    int r = mqxi_take(run->well, &t);

    damage_must(r == 0 || (r == -EAGAIN && run->sent == run->received), "receive from the healthy",
                r);
    if (r == 0) {
        damage_must(memcmp(t.data, &(uint32_t){run->received + 1}, 4) == 0, "its message", 0);
        damage_must(mqxi_take_commit(run->well, &t) == 0, "receive from the healthy queue", 1);
        run->received++;
    }
    mqxi_op_leave(token);
}

static int in_store(uint32_t slot, const struct mqxi_snapshot *message, const void *data, void *arg)
{
    struct run *run = arg;
    uint32_t number;

    (void)slot;
    damage_must(message->len == sizeof(number), "length in the store", message->len);
    memcpy(&number, data, sizeof(number));
    damage_must(number > run->received && number <= run->sent, "message in the store", number);
    run->next++;
    return 0;
}

static void well_stored(struct run *run)
{
    uint8_t uuid[16];

    memcpy(uuid, run->well->header->uuid, sizeof(uuid));
    run->next = 0;
    damage_must(store_each_message(run->mirror.store, uuid, in_store, run) == 0, "the store", 0);
    damage_must(run->next == run->sent - run->received, "messages in the store", run->next);
}

/* --- the damaged one ----------------------------------------------------------------------- */

static void use_damaged(struct run *run, const struct damage_record *d)
{
    static uint8_t bytes[MQXI_PAGE * 4];
    struct mqxi_queue *q = run->damaged;
    unsigned token = mqxi_op_enter();
    struct mqxi_taken t;

    switch (d->what % 4) {
    case 0:
        if (mqxi_take(q, &t) == 0)
            mqxi_take_commit(q, &t);
        break;
    case 1:
        mqxi_repair(q, NULL);
        break;
    default:
        mqxi_put(q, bytes, (uint32_t)d->value % (q->layout.msgsize + 1), d->offset % 32768u, 0,
                 NULL, NULL);
    }
    mqxi_op_leave(token);
}

static void truncate_damaged(uint64_t size)
{
    char path[PATH_MAX];

    mqxi_path(MQXI_QUEUES, DAMAGED, path);
    damage_must(truncate(path, (off_t)size) == 0 || errno == ENOENT, "truncate", errno);
}

/* --- mqxd ---------------------------------------------------------------------------------- */

static void look(struct run *run)
{
    int r = discover(&run->mirror);

    damage_must(r == 0, "discover", r);
}

static void commit(struct run *run)
{
    int r = mirror_commit(&run->mirror, UINT64_MAX);

    damage_must(r >= 0, "commit", r);
}

/* Another mqxd takes its place. */
static void restart(struct run *run)
{
    struct store *s = run->mirror.store;

    mirror_free(&run->mirror);
    store_close(s);
    run->mirror = (struct mirror){0};
    damage_must(store_open(store_dir, &run->mirror.store) == 0, "open the store", 0);
    damage_must(discover_gone(&run->mirror) == 0, "discover the unlinked", 0);
    damage_must(restore_queues(run->mirror.store) == 0, "restore", 0);
    look(run);
}

static void operate(struct run *run, const struct damage_record *d)
{
    switch (d->what % 16) {
    case 0:
    case 1:
        look(run);
        break;
    case 2:
    case 3:
    case 4:
        commit(run);
        break;
    case 5:
        well_put(run);
        break;
    case 6:
        well_take(run);
        break;
    case 7:
        if (d->region == 77)
            truncate_damaged(d->value % run->damaged->layout.size);
        break;
    case 8:
        if (d->region == 77)
            mqxi_segment_unlink(DAMAGED);
        break;
    case 9:
        if (d->region == 77)
            restart(run);
        break;
    default:
        use_damaged(run, d);
    }
}

/* --- a reboot ------------------------------------------------------------------------------ */

static int drain(const char *name, void *arg)
{
    struct mqxi_queue *q;

    (void)arg;
    if (strcmp(name, WELL) == 0 || mqxi_segment_attach(name, &q) < 0)
        return 0;
    for (unsigned i = 0; i < 300; i++) {
        struct mqxi_taken t;

        if (mqxi_take(q, &t) == 0)
            mqxi_take_commit(q, &t);
    }
    mqxi_segment_detach(q);
    return 0;
}

static void reboot(struct run *run)
{
    int r;

    mirror_free(&run->mirror);
    target_clean(run->fifo[0]);
    target_clean(run->fifo[1]);
    r = restore_queues(run->mirror.store);
    damage_must(r == 0, "restore", r);
    r = mqxi_segment_attach(WELL, &run->well);
    damage_must(r == 0, "the healthy queue is restored", r);
    mqxi_segment_fifo(run->well, run->fifo[0]);
    damage_must(mqxi_count(run->well) == run->sent - run->received, "its messages", 0);
    while (run->received < run->sent)
        well_take(run);
    mqxi_segment_detach(run->well);
    mqxi_segment_list(drain, NULL);
}

static int forget_queue(const struct store_queue *q, void *arg)
{
    struct store_queue *last = arg;

    *last = *q;
    return 1;
}

static int forget(struct store *s, void *arg)
{
    const struct store_queue *q = arg;

    return store_delete_queue(s, q->uuid);
}

static void empty_store(struct store *s)
{
    struct store_queue q;

    while (store_each_queue(s, forget_queue, &q) == 1)
        damage_must(store_transact(s, forget, &q) == 0, "empty the store", 0);
}

/* ------------------------------------------------------------------------------------------- */

static struct mqxi_queue *attach(const char *name)
{
    struct mqxi_queue *q = NULL;

    mqxi_segment_attach(name, &q);
    return q;
}

static void begin(struct run *run, struct damage_input *in)
{
    static const struct mqxi_attr attr = {10, 64, 0600, MQXI_DURABLE_SYNC};

    damage_must(snprintf(store_dir, sizeof(store_dir), "%s/store", mqxi_dir()) > 0, "name", 0);
    damage_must(mkdir(store_dir, 0700) == 0 || errno == EEXIST, "directory of the store", errno);
    damage_make_bell();
    damage_fill(&attr, 0, WELL, run->fifo[0]);
    damage_build(in, DAMAGED, run->fifo[1]);
    run->well = attach(WELL);
    run->damaged = attach(DAMAGED);
    damage_must(run->well != NULL, "attach the healthy queue", 0);
    well_put(run);
    well_put(run);
    damage_must(store_open(store_dir, &run->mirror.store) == 0, "open the store", 0);
    look(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct damage_input in = {data, size};
    struct damage_record record;
    struct run run = {0};

    begin(&run, &in);
    while (run.damaged && damage_next(&in, &record))
        if (record.what & DAMAGE_OPERATION)
            operate(&run, &record);
        else
            damage_do(run.damaged, &record);
    well_put(&run);
    look(&run);
    commit(&run);
    well_stored(&run);
    mqxi_segment_detach(run.well);
    if (run.damaged)
        mqxi_segment_detach(run.damaged);
    reboot(&run);
    empty_store(run.mirror.store);
    store_close(run.mirror.store);
    target_clean(run.fifo[0]);
    damage_must(fence_count() == 0, "segments that are still mapped", fence_count());
    return 0;
}
