/*
 * One message an open: the first read takes the next message, further reads
 * continue it, and behind its last byte there is end of file.  Who then seeks
 * to offset 0 and reads gets the next one; so does who reads where a write
 * through the same descriptor has moved the offset to.
 *
 * What was taken is ours in state "taking" until its last byte was handed
 * over, that is until the kernel accepted our answer, and goes back otherwise:
 * at close, when the reader was interrupted, when mqxfs ends in whatever way.
 * Messages are read from a private copy: what lies in the segment may be
 * changed by its owner, or vanish.  The copy serves after the message was
 * consumed, too: shells read ahead and seek back.
 */
#include "file.h"

#include <stdlib.h>
#include <string.h>

#include "durable.h"
#include "engine.h"
#include "held.h"
#include "parked.h"
#include "repair.h"
#include "sysv.h"
#include "thread.h"
#include "wait.h"

#define LOOK_MS 900u   /* how often to look for mqxd: at each tick */
#define DEAD_MS 30000u /* without mqxd for so long, a writer to a sync queue gives up */
#define DISK_MS 1000u  /* so long the disk may take before a signal ends the wait for it */

enum state {
    NOTHING,  /* no message yet */
    HELD,     /* taken, not consumed */
    CONSUMED, /* its copy is still there */
};

struct file {
    struct attached *attached;
    struct remote *remote; /* once it was used by ioctl or polled; else NULL */
    int flags;             /* of open(2) */
    long type;             /* of a System V queue's messages; 0: any, and 1 for those written */
    enum state state;
    struct mqxi_taken taken; /* HELD */
    uint8_t *copy;
    uint32_t room; /* bytes at copy */
    uint32_t len;
    uint64_t base;                /* the offset at which the message begins */
    struct file *next, *previous; /* all open files */
};

static struct file *files;

struct file *file_open(struct attached *a, int flags, long type)
{
    struct file *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->attached = a;
    f->flags = flags;
    f->type = type;
    f->next = files;
    if (files)
        files->previous = f;
    files = f;
    return f;
}

static void give_back(struct file *f)
{
    unsigned token = mqxi_op_enter();

    mqxi_take_abort(f->attached->queue, &f->taken);
    mqxi_op_leave(token);
    f->state = NOTHING;
    parked_due(f->attached, FOR_MESSAGE);
}

static void consume(struct file *f)
{
    unsigned token = mqxi_op_enter();

    mqxi_take_commit(f->attached->queue, &f->taken);
    mqxi_op_leave(token);
    f->state = CONSUMED;
    parked_due(f->attached, FOR_ROOM);
}

void file_close(struct file *f)
{
    if (f->state == HELD)
        give_back(f);
    if (f->remote)
        remote_close(f->remote);
    *(f->previous ? &f->previous->next : &files) = f->next;
    if (f->next)
        f->next->previous = f->previous;
    attached_put(f->attached);
    free(f->copy);
    free(f);
}

void file_close_all(void)
{
    while (files)
        file_close(files);
}

struct remote *file_remote(struct file *f)
{
    if (!f->remote)
        f->remote = remote_open(f->attached, f->flags);
    return f->remote;
}

bool file_is_read(const struct file *f)
{
    return f->state != NOTHING;
}

bool file_is_remote(const struct file *f)
{
    return f->remote;
}

struct attached *file_attached(const struct file *f)
{
    return f->attached;
}

static int make_copy(struct file *f)
{
    if (f->taken.len > f->room) {
        free(f->copy);
        f->copy = malloc(f->taken.len);
        f->room = f->copy ? f->taken.len : 0;
        if (!f->copy)
            return -ENOMEM;
    }
    f->len = f->taken.len;
    if (f->len > 0)
        memcpy(f->copy, f->taken.data, f->len);
    return atomic_load(&f->attached->queue->dead) ? -EIO : 0;
}

static int take(struct file *f)
{
    struct mqxi_queue *q = f->attached->queue;
    struct mqxi_choice choice = mqxi_choice_of(f->type, UINT32_MAX);

    if (!is_sysv(f->attached))
        return mqxi_take(q, &f->taken);
    return mqxi_held_removed(q) ? -EIDRM : mqxi_take_chosen(q, &choice, &f->taken);
}

/* Hold the next message.  -EAGAIN: there is none. */
static int take_next(struct file *f)
{
    struct mqxi_queue *q = f->attached->queue;
    unsigned token = mqxi_op_enter();
    int r = take(f);

    f->state = NOTHING;
    if (r == 0) {
        r = make_copy(f);
        if (r == 0)
            f->state = HELD;
        else
            mqxi_take_abort(q, &f->taken);
    }
    mqxi_op_leave(token);
    return r;
}

/* Does a read at this offset want another message than the one we have? */
static bool wants_next(const struct file *f, uint64_t offset)
{
    if (f->state == CONSUMED)
        return offset == 0 || offset < f->base || offset > f->base + f->len;
    return f->state == NOTHING;
}

/* Answer a read with what is held or was consumed. */
static void hand_over(struct file *f, struct parked *p)
{
    uint64_t offset = (uint64_t)p->offset;
    size_t at, n = 0;
    int r;

    if (offset == 0)
        f->base = 0;       /* from the start, wherever that was before */
    at = offset - f->base; /* huge where before the start: nothing is there */
    if (at < f->len)
        n = p->size < f->len - at ? p->size : f->len - at;
    r = fuse_reply_buf(p->request, n ? (const char *)f->copy + at : NULL, n);
    if (f->state != HELD)
        return;
    if (r < 0) /* nobody got it: the request was aborted */
        give_back(f);
    else if (at + n == f->len)
        consume(f);
}

static bool attempt_read(struct parked *p)
{
    struct file *f = p->file;

    if (wants_next(f, (uint64_t)p->offset)) {
        int r = take_next(f);

        if (r == -EAGAIN)
            return false;
        if (r < 0) {
            fuse_reply_err(p->request, -r);
            return true;
        }
        f->base = (uint64_t)p->offset;
    }
    hand_over(f, p);
    return true;
}

static bool attempt_write(struct parked *p)
{
    struct mqxi_queue *q = p->attached->queue;
    unsigned token = mqxi_op_enter();
    uint32_t slot = 0;
    uint64_t key = 0;
    int64_t type = !is_sysv(p->attached) ? 0 : p->file->type ? p->file->type : 1;
    int r = is_sysv(p->attached) && mqxi_held_removed(q)
                ? -EIDRM
                : mqxi_put(q, p->data, p->len, 0, type, &slot, &key);
    bool sync = r == 0 && atomic_load(&q->header->durable) == MQXI_DURABLE_SYNC;

    mqxi_op_leave(token);
    if (r == -EAGAIN)
        return false;
    if (r < 0) {
        fuse_reply_err(p->request, -r);
        return true;
    }
    parked_due(p->attached, FOR_MESSAGE);
    if (sync)
        file_wait_for_disk(p, slot, key);
    else
        fuse_reply_write(p->request, p->len);
    return true;
}

static void discard(struct parked *p)
{
    free(p->data);
    free(p);
}

/* A copy to be parked; its data is copied, too.  NULL: no memory. */
static struct parked *keep(const struct parked *p)
{
    struct parked *kept = malloc(sizeof(*kept));

    if (!kept)
        return NULL;
    *kept = *p;
    kept->data = NULL;
    if (p->len == 0)
        return kept;
    kept->data = malloc(p->len);
    if (!kept->data) {
        free(kept);
        return NULL;
    }
    memcpy(kept->data, p->data, p->len);
    return kept;
}

/* As mqxi_durable_wait, which blocks: about every second look whether there still is an mqxd, and
 * give up when there was none for long. */
static bool attempt_disk(struct parked *p)
{
    const struct mqxi_queue *q = p->attached->queue;
    uint64_t now = now_ms();
    bool settled = mqxi_durable_settled(q, p->slot, p->key);
    bool failed = atomic_load(&q->dead) || (!settled && mqxi_durable_refused(q)) ||
                  (!settled && p->interrupted && now - p->began_ms > DISK_MS);

    if (!failed && !settled) {
        if (now - p->looked_ms < LOOK_MS)
            return false;
        p->looked_ms = now;
        if (mqxi_mqxd_alive(q->uid))
            p->alive_ms = now;
        failed = now - p->alive_ms > DEAD_MS;
        mqxi_durable_rescan(q->uid); /* a new mqxd hears of the queue here */
        if (!failed)
            return false;
    }
    if (failed) {
        mqxi_durable_rescan(q->uid); /* for the next message: perhaps it can be mirrored by then */
        fuse_reply_err(p->request, EIO);
    } else if (p->control) {
        fuse_reply_ioctl(p->request, 0, NULL, 0);
    } else {
        fuse_reply_write(p->request, p->len);
    }
    return true;
}

void file_wait_for_disk(const struct parked *writer, uint32_t slot, uint64_t key)
{
    uint32_t seen = mqxi_event_read(attached_event(writer->attached, FOR_DISK));
    struct parked p = *writer, *kept;

    p.direction = FOR_DISK;
    p.attempt = attempt_disk;
    p.discard = discard;
    p.data = NULL;
    p.slot = slot;
    p.key = key;
    p.looked_ms = p.alive_ms = p.began_ms = now_ms();
    p.interrupted = fuse_req_interrupted(p.request);
    if (attempt_disk(&p))
        return;
    kept = malloc(sizeof(*kept));
    if (!kept) {
        fuse_reply_err(p.request, EIO); /* sent, but not known to be on disk */
        return;
    }
    *kept = p;
    parked_add(kept, seen); /* its interrupt function replaces the writer's */
}

/* Dead processes may hold what it wants. */
static bool attempt_after_repair(struct parked *p)
{
    unsigned token = mqxi_op_enter();
    bool swept = false;
    int r = mqxi_repair_sometimes(p->attached->queue, &swept);

    mqxi_op_leave(token);
    return r == 0 && swept && p->attempt(p);
}

/* Try a request; where it must wait, park it or refuse it. */
static void try_or_park(struct parked *p, bool block)
{
    uint32_t seen = 0;
    bool answered = false;
    struct parked *kept;

    if (fuse_req_interrupted(p->request)) {
        fuse_reply_err(p->request, EINTR);
        return;
    }
    if (parked_any(p->attached, p->direction)) /* who came first goes first */
        parked_serve(p->attached, p->direction);
    if (!parked_any(p->attached, p->direction) || !block || is_sysv(p->attached)) {
        seen = mqxi_event_read(attached_event(p->attached, p->direction));
        answered = p->attempt(p) || attempt_after_repair(p);
    }
    if (answered)
        return;
    kept = block ? keep(p) : NULL;
    if (kept)
        parked_add(kept, seen);
    else
        fuse_reply_err(p->request, block ? ENOMEM : EAGAIN);
}

void file_read(struct file *f, fuse_req_t request, size_t size, off_t offset, bool block)
{
    struct parked p = {.attached = f->attached,
                       .direction = FOR_MESSAGE,
                       .request = request,
                       .attempt = attempt_read,
                       .discard = discard,
                       .file = f,
                       .offset = offset,
                       .size = size};

    if (wants_next(f, (uint64_t)offset))
        try_or_park(&p, block);
    else
        hand_over(f, &p);
}

void file_write(struct file *f, fuse_req_t request, const void *data, size_t size, size_t largest,
                bool block)
{
    struct parked p = {.attached = f->attached,
                       .direction = FOR_ROOM,
                       .request = request,
                       .attempt = attempt_write,
                       .discard = discard,
                       .file = f,
                       .data = (void *)(uintptr_t)data, /* read only; keep copies it */
                       .len = (uint32_t)size};

    if (size > largest || size > f->attached->queue->layout.msgsize)
        fuse_reply_err(request, EMSGSIZE);
    else if (f->type < 0) /* that is for reading */
        fuse_reply_err(request, EINVAL);
    else
        try_or_park(&p, block);
}
