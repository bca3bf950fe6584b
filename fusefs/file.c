/*
 * One message an open: the first read takes the next message, further reads
 * continue it, and behind its last byte there is end of file.  Who then seeks
 * to offset 0 and reads gets the next one.
 * A stream (views.h) goes on with the next one instead of ending.  Where a message is
 * to be acknowledged, it stays what it is until then.
 *
 * A file that is open for both has no offset (opened.c): behind the end of file, which is told
 * once, there is the next message; and where something was written, it is not told.
 */
#include "file.h"

#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "engine.h"
#include "form.h"
#include "held.h"
#include "parked.h"
#include "record.h"
#include "repair.h"
#include "sysv.h"
#include "thread.h"
#include "wait.h"

struct file {
    struct attached *attached; /* NULL: a text */
    struct view view;
    struct remote *remote; /* once it was used by ioctl or polled; else NULL */
    int flags;             /* of open(2) */
    fuse_ino_t node;       /* through which it was opened */
    uint32_t prio;         /* of what is written */
    long type;             /* of a System V queue's messages; 0: any, and 1 for those written */
    bool both;             /* open for reading and writing */
    bool ends;             /* ... and the end of the message is still to be told */
    bool begun;            /* a message was read from it */
    struct record record;
    uint64_t base;                /* the offset at which it begins */
    uint64_t read;                /* ... and the last read ended, within it */
    struct file *next, *previous; /* all open files */
};

static struct file *files;

static struct file *new_file(void)
{
    struct file *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->next = files;
    if (files)
        files->previous = f;
    files = f;
    return f;
}

static uint32_t priority_of(const struct view *v)
{
    return v->prio ? v->prio - 1u : 0;
}

struct file *file_open(struct attached *a, const struct view *view, int flags, long type,
                       fuse_ino_t node)
{
    struct file *f = new_file();

    if (!f)
        return NULL;
    f->attached = a;
    f->view = *view;
    f->flags = flags;
    f->both = (flags & O_ACCMODE) == O_RDWR;
    f->type = type;
    f->node = node;
    f->prio = priority_of(view);
    return f;
}

struct file *file_open_text(struct text text)
{
    struct file *f = new_file();

    if (f)
        record_text(&f->record, text);
    return f;
}

bool file_is_text(const struct file *f)
{
    return !f->attached;
}

void file_close(struct file *f)
{
    record_drop(&f->record, f->attached);
    if (f->remote)
        remote_close(f->remote);
    *(f->previous ? &f->previous->next : &files) = f->next;
    if (f->next)
        f->next->previous = f->previous;
    if (f->attached)
        attached_put(f->attached);
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
        f->remote = remote_open(f->attached, &f->view, f->flags);
    return f->remote;
}

bool file_has_more(const struct file *f)
{
    const struct record *r = &f->record;

    if (f->view.reads == READS_UNTIL_EMPTY)
        return true;
    if (f->both)
        return r->state == RECORD_HELD || f->ends;
    return r->state == RECORD_HELD ||
           (r->state == RECORD_SHOWN && (f->read < r->len || !view_is_stream(&f->view)));
}

bool file_is_remote(const struct file *f)
{
    return f->remote;
}

bool file_is_both(const struct file *f)
{
    return f->both;
}

int file_flags(const struct file *f)
{
    return f->flags;
}

const struct view *file_view(const struct file *f)
{
    return &f->view;
}

long file_type(const struct file *f)
{
    return f->type;
}

const struct record *file_record(const struct file *f)
{
    return &f->record;
}

int file_set_priority(struct file *f, uint32_t prio)
{
    if (prio >= MQXI_PRIO_MAX)
        return -EINVAL;
    f->prio = prio;
    return 0;
}

int file_set_priorities(fuse_ino_t node, uint32_t prio)
{
    int n = 0;

    for (struct file *f = files; f; f = f->next)
        if (f->node == node) {
            if (file_set_priority(f, prio) < 0)
                return -EINVAL;
            n++;
        }
    return n;
}

uint32_t file_priority(fuse_ino_t node, const struct view *v)
{
    const struct file *f = files;

    while (f && f->node != node)
        f = f->next;
    return f ? f->prio : priority_of(v);
}

struct attached *file_attached(const struct file *f)
{
    return f->attached;
}

/* Does the offset mean a byte of the message that we have, or its end? */
static bool is_within(const struct file *f, uint64_t offset)
{
    return offset >= f->base && offset <= f->base + f->record.len;
}

/* Does a read at this offset want another message than the one we have? */
static bool wants_next(const struct file *f, uint64_t offset)
{
    if (f->record.state != RECORD_SHOWN)
        return f->record.state == RECORD_NONE;
    if (f->both)
        return !f->ends;
    if (view_is_stream(&f->view))
        return !is_within(f, offset) || offset == f->base + f->record.len;
    return !file_is_text(f) && (offset == 0 || !is_within(f, offset));
}

/* Which of the message's bytes does a read at this offset want first? */
static uint64_t place_of(struct file *f, uint64_t offset)
{
    if (f->both)
        return f->read;
    if (offset == 0 && !view_is_stream(&f->view))
        f->base = 0; /* from the start, wherever that was before */
    if (view_is_stream(&f->view) && !is_within(f, offset))
        f->base = offset - f->read; /* a seek has moved it */
    return offset - f->base;        /* huge where before the start: nothing is there */
}

/* Answer a read with what is held or was consumed. */
static void hand_over(struct file *f, struct parked *p)
{
    struct record *r = &f->record;
    uint64_t at = place_of(f, (uint64_t)p->offset);
    size_t n = 0;

    if (at < r->len)
        n = p->size < r->len - at ? p->size : r->len - at;
    if (fuse_reply_buf(p->request, n ? (const char *)r->bytes + at : NULL, n) < 0) {
        record_give_back(r, f->attached); /* nobody got it: the request was aborted */
        return;
    }
    f->read = at + n;
    f->ends = f->both && n > 0 && !view_is_stream(&f->view);
    if (f->read == r->len && !f->view.acks)
        record_consume(r, f->attached);
}

/* Have the next message.  -EAGAIN: there is none. */
static int next_record(struct file *f)
{
    int r = record_next(&f->record, f->attached, &f->view, f->type);

    /* In a stream, a message of no bytes would be its end. */
    while (r == 0 && f->record.len == 0 && view_is_stream(&f->view)) {
        record_consume(&f->record, f->attached);
        r = record_next(&f->record, f->attached, &f->view, f->type);
    }
    return r;
}

static bool attempt_read(struct parked *p)
{
    struct file *f = p->file;
    int r;

    /* Another thread's read has brought it; its end, if we waited for more, is that thread's. */
    if (f->both ? f->record.state == RECORD_HELD : !wants_next(f, (uint64_t)p->offset)) {
        hand_over(f, p);
        return true;
    }
    r = next_record(f);
    if (r == -EAGAIN)
        return false;
    /* Who has sought before he reads (tail -c +9, dd skip=8) wants the rest of the message. */
    f->base = f->begun || view_is_stream(&f->view) ? (uint64_t)p->offset : 0;
    f->begun = true;
    f->read = 0;
    if (r < 0)
        fuse_reply_err(p->request, -r);
    else
        hand_over(f, p);
    return true;
}

static bool attempt_write(struct parked *p)
{
    const struct fuse_ctx *caller = fuse_req_ctx(p->request);
    /* The kernel names a thread; /proc would know its process, at a price. */
    const struct mqxi_sender from = {(uint32_t)caller->pid, caller->uid};
    struct mqxi_queue *q = p->attached->queue;
    unsigned token = mqxi_op_enter();
    uint32_t slot = 0;
    uint64_t key = 0;
    int64_t type = !is_sysv(p->attached) ? 0 : p->file->type ? p->file->type : 1;
    int r = is_sysv(p->attached) && mqxi_held_removed(q)
                ? -EIDRM
                : mqxi_put_from(q, &from, p->data, p->len, p->prio, type, &slot, &key);
    bool stored = r == 0 && mqxi_stored_wanted(q);

    mqxi_op_leave(token);
    if (r == -EAGAIN)
        return false;
    if (r < 0) {
        fuse_reply_err(p->request, -r);
        return true;
    }
    parked_due(p->attached, FOR_MESSAGE);
    if (stored)
        disk_wait(p, slot, key);
    else if (p->control)
        fuse_reply_ioctl(p->request, 0, NULL, 0);
    else
        fuse_reply_write(p->request, p->written);
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
    kept->discard = discard;
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
void file_try_or_park(struct parked *p, bool block)
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
    else if (!block && p->ends)
        fuse_reply_buf(p->request, NULL, 0);
    else
        fuse_reply_err(p->request, block ? ENOMEM : EAGAIN);
}

void file_read(struct file *f, fuse_req_t request, size_t size, off_t offset, bool block)
{
    struct parked p = {.attached = f->attached,
                       .direction = record_is_choice(&f->view) ? FOR_CHOICE : FOR_MESSAGE,
                       .request = request,
                       .attempt = attempt_read,
                       .file = f,
                       .offset = offset,
                       .size = size,
                       .ends = f->view.reads == READS_UNTIL_EMPTY};

    if (f->view.shows == SHOWS_CALLS)
        fuse_reply_err(request, EINVAL);
    else if (wants_next(f, (uint64_t)offset))
        file_try_or_park(&p, block && f->view.reads != READS_AT_ONCE && !p.ends);
    else
        hand_over(f, &p);
}

/* Whatever is written says that the message is done with. */
static void acknowledge(struct file *f, fuse_req_t request, size_t size)
{
    int r = f->record.state == RECORD_HELD ? record_consume(&f->record, f->attached) : -ENODATA;

    f->ends = false;
    if (r < 0)
        fuse_reply_err(request, -r);
    else
        fuse_reply_write(request, size);
}

/* The message in what was written, in p, whose data is then to be freed. */
static int read_form(struct parked *p, const struct view *v, const void *data, size_t size)
{
    struct form_message m = {.prio = p->prio};
    int r = form_read(v->form, data, size, &m);

    p->data = r < 0 || m.none ? NULL : m.text.bytes;
    p->len = m.text.len;
    p->prio = m.prio;
    p->written = m.used;
    return r;
}

static int check_message(const struct file *f, uint32_t len)
{
    if (len > f->attached->queue->layout.msgsize)
        return -EMSGSIZE;
    return f->type < 0 || f->view.shows == SHOWS_CALLS ? -EINVAL : 0; /* neither is for that */
}

static void send(struct file *f, fuse_req_t request, const void *data, size_t size, size_t largest,
                 bool block)
{
    struct parked p = {.attached = f->attached,
                       .direction = FOR_ROOM,
                       .request = request,
                       .attempt = attempt_write,
                       .file = f,
                       .prio = f->prio,
                       .data = (void *)(uintptr_t)data, /* read only; keep copies it */
                       .len = (uint32_t)size,
                       .written = size,
                       .stored.nonblock = !block || f->view.reads == READS_AT_ONCE};
    bool form = view_has_form(&f->view);
    int r;

    f->ends = false;
    r = file_is_text(f) ? -EBADF : form ? read_form(&p, &f->view, data, size) : 0;

    /* The kernel splits what is larger.  An object that is whole is. */
    if (size > largest && (f->view.form != FORM_JSON || r < 0))
        r = -EMSGSIZE;
    if (r == 0)
        r = check_message(f, p.len);
    if (r < 0)
        fuse_reply_err(request, -r);
    else if (!p.data)
        fuse_reply_write(request, p.written);
    else
        file_try_or_park(&p, !p.stored.nonblock);
    if (form)
        free(p.data);
}

void file_write(struct file *f, fuse_req_t request, const void *data, size_t size, size_t largest,
                bool block)
{
    if (f->view.acks)
        acknowledge(f, request, size);
    else
        send(f, request, data, size, largest, block);
}

void file_send(struct file *f, fuse_req_t request, uint32_t prio, const void *data, uint32_t len,
               bool block)
{
    struct parked p = {.attached = f->attached,
                       .direction = FOR_ROOM,
                       .request = request,
                       .attempt = attempt_write,
                       .file = f,
                       .control = true,
                       .prio = prio,
                       .data = (void *)(uintptr_t)data, /* as above */
                       .len = len,
                       .stored.nonblock = !block};
    int r = check_message(f, len);

    f->ends = false;
    if (r < 0)
        fuse_reply_err(request, -r);
    else
        file_try_or_park(&p, block);
}
