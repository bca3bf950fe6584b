/*
 * Each message goes back into its old slot with its old key: so order and
 * priorities are what they were, and the store is right as it is.  A queue
 * appears complete or not at all, as when it is created.
 */
#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anyname.h"
#include "engine.h"
#include "log.h"
#include "msqids.h"
#include "names.h"
#include "peek.h"
#include "progress.h"
#include "segment.h"

struct list {
    struct store_queue *queues; /* that the store has */
    size_t count, room;
    uint8_t (*living)[16]; /* uuids of segments */
    size_t living_count, living_room;
};

static int add_stored(const struct store_queue *queue, void *arg)
{
    struct list *l = arg;

    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 64;
        struct store_queue *queues = realloc(l->queues, room * sizeof(*queues));

        if (!queues)
            return -ENOMEM;
        l->queues = queues;
        l->room = room;
    }
    l->queues[l->count++] = *queue;
    return 0;
}

/* For peek_each_gone. */
static int add_segment(const char *path, void *arg)
{
    struct list *l = arg;
    struct peek p;
    int r = peek_file(path, &p);

    if (r < 0)
        return peek_later(r) ? r : 0;
    if (l->living_count == l->living_room) {
        size_t room = l->living_room ? 2 * l->living_room : 64;
        uint8_t(*living)[16] = realloc(l->living, room * sizeof(*living));

        if (!living)
            return -ENOMEM;
        l->living = living;
        l->living_room = room;
    }
    memcpy(l->living[l->living_count++], p.uuid, 16);
    return 0;
}

/* For mqxi_name_list. */
static int add_living(const char *name, void *arg)
{
    char path[PATH_MAX];

    return mqxi_name_path(name, path) < 0 ? 0 : add_segment(path, arg);
}

static bool lives(const struct list *l, const uint8_t *uuid)
{
    for (size_t i = 0; i < l->living_count; i++)
        if (memcmp(l->living[i], uuid, 16) == 0)
            return true;
    return false;
}

/* Younger ones first: of two queues with one name, the older had lost it already. */
static int younger_first(const void *a, const void *b)
{
    const struct store_queue *x = a, *y = b;

    return (x->created_ns < y->created_ns) - (x->created_ns > y->created_ns);
}

static int put_back(uint32_t slot, const struct mqxi_snapshot *message, const void *data, void *arg)
{
    progress_step();
    return mqxi_snapshot_restore(arg, slot, message, data);
}

static void describe(struct mqxi_header *h, const struct store_sysv *s)
{
    h->key = s->key;
    h->cuid = s->cuid;
    h->cgid = s->cgid;
    atomic_store(&h->uid, s->uid);
    atomic_store(&h->gid, s->gid);
    atomic_store(&h->qbytes, s->qbytes);
    atomic_store(&h->changed_ns, s->changed_ns);
}

static int fill(struct store *s, struct mqxi_unborn *u, const struct store_queue *record)
{
    struct mqxi_header *h = u->queue->header;
    int r;

    memcpy(h->uuid, record->uuid, sizeof(h->uuid));
    h->created_ns = record->created_ns;
    atomic_store(&h->sync, record->sync);
    atomic_store(&h->chosen, record->chosen);
    if (record->kind == MQXI_KIND_SYSV)
        describe(h, &record->sysv);
    r = geteuid() == 0 ? mqxi_segment_give(u, record->uid, record->gid) : 0;
    if (r == 0)
        r = store_each_message(s, record->uuid, put_back, u->queue);
    progress_clear();
    if (r == 0 && atomic_load(&u->queue->dead))
        r = -ENOSPC;
    return r;
}

static int restore(struct store *s, const struct store_queue *record)
{
    struct mqxi_attr attr = {.maxmsg = record->maxmsg,
                             .msgsize = record->msgsize,
                             .mode = record->mode,
                             .durable = record->durable == MQXI_DURABLE_ASYNC ? MQXI_DURABLE_ASYNC
                                                                              : MQXI_DURABLE_SYNC};
    bool sysv = record->kind == MQXI_KIND_SYSV;
    struct mqxi_unborn unborn;
    int r = sysv ? mqxi_segment_build_sysv(&attr, &unborn) : mqxi_segment_build(&attr, &unborn);

    if (r < 0)
        return r;
    r = fill(s, &unborn, record);
    if (r == 0)
        r = sysv ? mqxi_msqid_restore(&unborn, record->sysv.id)
                 : mqxi_segment_link(&unborn, record->name);
    if (r == 0)
        say_event(SAY_INFO, "restored", record->name, "queue /%s: restored, messages: %u",
                  record->name, (unsigned)mqxi_count(unborn.queue));
    if (r == 0 && sysv && unborn.queue->id != record->sysv.id)
        say_event(SAY_WARNING, "not-restored", record->name,
                  "queue /%s: another has its id; it is found by its key, and its id is now %d",
                  record->name, unborn.queue->id);
    mqxi_segment_finish(&unborn, r == 0);
    if (r == 0)
        mqxi_segment_detach(unborn.queue);
    return r;
}

static int restore_one(struct store *s, const struct store_queue *record)
{
    int r;

    if (geteuid() != 0 && record->uid != geteuid()) {
        say_event(SAY_WARNING, "not-restored", record->name,
                  "queue /%s: not restored: it is user %u's; start mqxd as that user or as root",
                  record->name, (unsigned)record->uid);
        return 0;
    }
    r = restore(s, record);
    switch (r) {
    case 0:
        return 0;
    case -EEXIST:
        say_event(
            SAY_WARNING, "not-restored", record->name,
            "queue /%s: not restored: another queue has its %s; unlink that one and start mqxd "
            "again, the stored messages are kept",
            record->name,
            record->kind == MQXI_KIND_POSIX ? "name"
            : record->sysv.key == 0         ? "id"
                                            : "key");
        return 0;
    case -EBADMSG:
    case -EINVAL:
        say_event(SAY_WARNING, "not-restored", record->name,
                  "queue /%s: not restored: the store is damaged", record->name);
        return r;
    case -ENOSPC:
        say_event(SAY_WARNING, "not-restored", record->name,
                  "queue /%s: not restored: no room in %s; make room and start mqxd again",
                  record->name, mqxi_dir());
        return -ENOMEM; /* not the store's disk */
    default:
        say_event(SAY_WARNING, "not-restored", record->name, "queue /%s: not restored: %s",
                  record->name, strerror(-r));
        return r;
    }
}

int restore_queues(struct store *s)
{
    struct list l = {0};
    int r = store_each_queue(s, add_stored, &l);

    if (r == 0)
        r = mqxi_name_list(add_living, &l);
    /* Then what was unlinked since discover_gone: discover() has it forgotten. */
    if (r == 0)
        r = peek_each_gone(add_segment, &l);
    if (peek_later(r))
        say("queues cannot be looked for: %s", strerror(-r));
    if (r == 0 && l.count)
        qsort(l.queues, l.count, sizeof(*l.queues), younger_first);
    for (size_t i = 0; r == 0 && i < l.count; i++)
        if (!lives(&l, l.queues[i].uuid))
            r = restore_one(s, &l.queues[i]);
    free(l.queues);
    free(l.living);
    return r;
}
