/*
 * mqxfs with a damaged queue in its mount: every request is answered, once, with
 * what a damaged queue allows, or waits and can be interrupted; and a healthy
 * queue beside it is served all the time.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attached.h"
#include "bridge.h"
#include "damage.h"
#include "engine.h"
#include "fake_fuse.h"
#include "fence.h"
#include "file.h"
#include "messages.h"
#include "names.h"
#include "node.h"
#include "parked.h"
#include "polled.h"
#include "target.h"
#include "thread.h"

#define DAMAGED "fuzz"
#define WELL    "well"  /* has messages 1, 2, 3, ... */
#define OTHER   "other" /* to which messages are moved */
#define FILES   4
#define WAITING 8

struct open_file {
    fuse_ino_t node;
    struct fuse_file_info info; /* fh 0: not open */
};

struct run {
    struct mqxi_queue *damaged; /* as its owner has it */
    char fifo[3][PATH_MAX];
    struct open_file file[FILES];
    struct fuse_req *waiting[WAITING]; /* for their answers */
    uint32_t sent, received;           /* messages of the healthy queue */
};

static char bytes[MQXI_PAGE * 4];

/* Of a request that had to be answered at once: its error. */
static int answered(const struct fuse_req *r, const char *what)
{
    damage_must(r->answered, what, -1);
    return -r->error;
}

static fuse_ino_t look_up_in(fuse_ino_t directory, const char *name)
{
    struct fuse_req r = fake_request();
    int e;

    mqxfs_ops.lookup(&r, directory, name);
    e = answered(&r, "lookup");
    damage_must(damage_may(e, -ENOENT), "lookup", e);
    return e == 0 ? r.entry.ino : 0;
}

static fuse_ino_t look_up(const char *name)
{
    return look_up_in(FUSE_ROOT_ID, name);
}

static void forget(fuse_ino_t node)
{
    struct fuse_req r = fake_request();

    mqxfs_ops.forget(&r, node, 1);
    answered(&r, "forget");
}

/* --- the healthy queue --------------------------------------------------------------------- */

static struct fuse_file_info open_well(fuse_ino_t *node)
{
    struct fuse_req r = fake_request();
    struct fuse_file_info info = {.flags = O_RDWR | O_NONBLOCK, .lock_owner = 1};

    *node = look_up(WELL);
    damage_must(*node != 0, "look the healthy queue up", 0);
    mqxfs_ops.open(&r, *node, &info);
    damage_must(answered(&r, "open") == 0, "open the healthy queue", r.error);
    info.fh = r.file.fh;
    return info;
}

static void close_well(fuse_ino_t node, struct fuse_file_info *info)
{
    struct fuse_req r = fake_request();

    mqxfs_ops.release(&r, node, info);
    answered(&r, "release");
    forget(node);
}

/* Write a message, or read one. */
static void serve_well(struct run *run)
{
    struct fuse_req w = fake_request(), r = fake_request();
    uint32_t number = run->sent + 1;
    fuse_ino_t node;
    struct fuse_file_info info = open_well(&node);

    if (run->sent - run->received < 3) {
        mqxfs_ops.write(&w, node, (const char *)&number, sizeof(number), 0, &info);
        damage_must(answered(&w, "write") == 0 && w.bytes == sizeof(number),
                    "write to the healthy queue", w.error);
        run->sent++;
    }
    if (number % 2 == 0 || run->sent - run->received >= 3) {
        mqxfs_ops.read(&r, node, r.room = 64, 0, &info);
        damage_must(answered(&r, "read") == 0 && r.bytes == sizeof(number),
                    "read from the healthy queue", r.error);
        run->received++;
        damage_must(memcmp(r.data, &run->received, sizeof(number)) == 0, "its message", number);
    }
    close_well(node, &info);
}

/* --- the damaged one ----------------------------------------------------------------------- */

/* The damaged queue, in one view or two. */
static fuse_ino_t look_up_in_view(unsigned which)
{
    static const char *const views[] = {".drain", ".stream", ".nonblock", ".peek", ".lines",
                                        ".json",  ".stat",   ".ack",      ".prio"};
    const unsigned last = sizeof(views) / sizeof(*views) - 1;
    const unsigned first = which % (last + 1);
    const char *names[] = {views[first], first == last ? "3" : views[which / 8 % (last + 1)]};
    fuse_ino_t in = FUSE_ROOT_ID, node;

    for (int i = 0; i < 2; i++) {
        fuse_ino_t outer = in;

        in = which & 64 && i == 1 && first != last ? 0 : look_up_in(outer, names[i]);
        if (!in) {
            in = outer;
            break;
        }
        if (outer != FUSE_ROOT_ID)
            forget(outer);
    }
    node = look_up_in(in, DAMAGED);
    if (in != FUSE_ROOT_ID)
        forget(in);
    return node;
}

static void open_file(struct run *run, const struct damage_record *d)
{
    struct open_file *f = &run->file[d->region % FILES];
    struct fuse_req r = fake_request();
    int e;

    if (f->info.fh)
        return;
    f->node = d->region & 4 ? look_up_in_view(d->offset % 128) : look_up(DAMAGED);
    if (!f->node)
        return;
    f->info = (struct fuse_file_info){.flags = d->region & 8 ? O_RDONLY : O_RDWR, .lock_owner = 1};
    mqxfs_ops.open(&r, f->node, &f->info);
    e = answered(&r, "open");
    damage_must(damage_may(e, -ESTALE) || e == -ESRCH || e == -EROFS, "open", e);
    f->info.fh = e == 0 ? r.file.fh : 0;
    if (e < 0)
        forget(f->node);
}

static void close_file(struct run *run, struct open_file *f)
{
    struct fuse_req r = fake_request();

    if (!f->info.fh)
        return;
    /* The kernel releases a file when no request uses it. */
    for (int i = 0; i < WAITING; i++)
        if (run->waiting[i])
            fake_interrupt(run->waiting[i]);
    mqxfs_ops.release(&r, f->node, &f->info);
    damage_must(answered(&r, "release") == 0, "release", r.error);
    forget(f->node);
    f->info.fh = 0;
}

/* Of an ioctl that makes no sense, or not now. */
static bool is_refusal(int e)
{
    return e == -ENOTTY || e == -EINVAL || e == -ESTALE || e == -ENOENT || e == -EBADF ||
           e == -EBUSY || e == -EACCES || e == -ENODATA;
}

static void check_transfer(struct fuse_req *r)
{
    int e = -r->error;

    damage_must(damage_may(e, -EAGAIN) || e == -EINTR || e == -ENOSPC || e == -EMSGSIZE ||
                    e == -ENOTCONN || e == -EINVAL || e == -EBADF || e == -ENODATA ||
                    (r->control && is_refusal(e)),
                "read, write or ioctl", e);
    free(r);
}

static void collect_answers(struct run *run)
{
    for (int i = 0; i < WAITING; i++)
        if (run->waiting[i] && run->waiting[i]->answered) {
            check_transfer(run->waiting[i]);
            run->waiting[i] = NULL;
        }
}

/* A request that may have to wait, to an open file; or NULL. */
static struct fuse_req *request_to(struct run *run, const struct open_file *f,
                                   const struct damage_record *d)
{
    int i = 0;

    while (i < WAITING && run->waiting[i])
        i++;
    if (!f->info.fh || i == WAITING)
        return NULL;
    run->waiting[i] = malloc(sizeof(struct fuse_req));
    damage_must(run->waiting[i] != NULL, "memory", 0);
    *run->waiting[i] = fake_request();
    run->waiting[i]->refuse = d->region & 32;
    return run->waiting[i];
}

static void transfer(struct run *run, const struct damage_record *d, bool write)
{
    const struct open_file *f = &run->file[d->region % FILES];
    struct fuse_file_info info = f->info;
    struct fuse_req *r = request_to(run, f, d);

    if (!r)
        return;
    info.flags |= d->region & 64 ? O_NONBLOCK : 0;
    if (write)
        mqxfs_ops.write(r, f->node, bytes, d->value % 10000, 0, &info);
    else
        mqxfs_ops.read(r, f->node, r->room = d->value % 10000, d->offset % 3 ? 0 : d->offset,
                       &info);
}

/* An ioctl, such as libmqx's in other users' processes, or one of those for everybody; but from
 * somebody who means no good. */
static void control(struct run *run, const struct damage_record *d)
{
    static uint64_t word[sizeof(struct mqxi_remote_stage) / 8];
    const struct open_file *f = &run->file[d->region % FILES];
    struct fuse_file_info info = f->info;
    size_t size = d->offset % 4 ? d->offset % 64 * 8 : d->offset / 4 % sizeof(word);
    bool others = d->region & 64;
    unsigned number =
        others ? 1 + (unsigned)(d->value % 4) : MQXI_STATE + (unsigned)(d->value % 12);
    unsigned long request;
    struct fuse_req *r = request_to(run, f, d);

    if (!r)
        return;
    r->control = true;
    /* Small numbers now and then: lengths, tickets and priorities that are right. */
    for (size_t i = 0; i < 8; i++)
        word[i] = d->value >> 4 << 32 >> (d->region & 24) | (d->offset >> i) % 16;
    if (number == MQXI_RECEIVE)
        size = sizeof(struct mqxi_remote_receive);
    if (number == MQXI_CONTROL)
        size = sizeof(struct mqxi_remote_control);
    r->room = size;
    request = others && number % 2 ? MQXI_TELL(number, size) : MQXI_ASK(number, size);
    mqxfs_ops.ioctl(r, f->node, (unsigned)request, NULL, &info, 0, word, size, size);
}

static void poll_it(struct run *run, const struct damage_record *d)
{
    struct open_file *f = &run->file[d->region % FILES];
    struct fuse_req r = fake_request();

    if (!f->info.fh)
        return;
    mqxfs_ops.poll(&r, f->node, &f->info, d->value % 2 ? malloc(8) : NULL);
    damage_must(answered(&r, "poll") == 0, "poll", r.error);
    polled_collect();
}

static void attributes(const struct damage_record *d)
{
    struct fuse_req r = fake_request(), s = fake_request(), x = fake_request();
    struct stat want = {.st_mode = d->offset};
    fuse_ino_t node = look_up(DAMAGED);
    int e;

    if (!node)
        return;
    mqxfs_ops.getattr(&r, node, NULL);
    e = answered(&r, "getattr");
    damage_must(damage_may(e, -ESTALE), "getattr", e);
    damage_must(r.entry.attr.st_size >= 0, "size", r.entry.attr.st_size);
    mqxfs_ops.setattr(&s, node, &want, FUSE_SET_ATTR_MODE, NULL);
    e = answered(&s, "setattr");
    damage_must(damage_may(e, -ESTALE), "setattr", e);
    mqxfs_ops.getxattr(&x, node, "user.mqx.messages", x.room = 64);
    e = answered(&x, "getxattr");
    damage_must(e == 0 || e == -ENODATA, "getxattr", e);
    forget(node);
}

static void list(void)
{
    struct fuse_req o = fake_request(), r = fake_request(), s = fake_request();
    struct fuse_req c = fake_request();
    struct fuse_file_info info = {0};

    mqxfs_ops.opendir(&o, FUSE_ROOT_ID, &info);
    damage_must(answered(&o, "opendir") == 0, "opendir", o.error);
    mqxfs_ops.readdir(&r, FUSE_ROOT_ID, r.room = 4096, 0, &info);
    damage_must(answered(&r, "readdir") == 0 && r.bytes > 0, "readdir", r.error);
    mqxfs_ops.readdir(&s, FUSE_ROOT_ID, s.room = 60, 0, &info); /* not enough for all */
    damage_must(answered(&s, "readdir") == 0, "readdir", s.error);
    mqxfs_ops.releasedir(&c, FUSE_ROOT_ID, &info);
    damage_must(answered(&c, "releasedir") == 0, "releasedir", c.error);
}

static void list_in(fuse_ino_t directory)
{
    struct fuse_req o = fake_request(), r = fake_request(), c = fake_request();
    struct fuse_file_info info = {0};
    int e;

    mqxfs_ops.opendir(&o, directory, &info);
    damage_must(answered(&o, "opendir") == 0, "opendir", o.error);
    info.fh = o.file.fh;
    mqxfs_ops.readdir(&r, directory, r.room = 4096, 0, &info);
    e = answered(&r, "readdir of messages");
    damage_must(damage_may(e, -ESTALE), "readdir of messages", e);
    mqxfs_ops.releasedir(&c, directory, &info);
    damage_must(answered(&c, "releasedir") == 0, "releasedir", c.error);
}

/* Look at a message, open it, and read it. */
static void read_message(fuse_ino_t directory, const char *name)
{
    struct fuse_req g = fake_request(), o = fake_request(), r = fake_request();
    struct fuse_req c = fake_request();
    struct fuse_file_info info = {.flags = O_RDONLY, .lock_owner = 1};
    fuse_ino_t node = look_up_in(directory, name);
    int e;

    if (!node)
        return;
    mqxfs_ops.getattr(&g, node, NULL);
    damage_must(answered(&g, "getattr") == 0, "getattr of a message", g.error);
    damage_must(g.entry.attr.st_size <= 9000, "size of a message", g.entry.attr.st_size);
    mqxfs_ops.open(&o, node, &info);
    e = answered(&o, "open of a message");
    damage_must(damage_may(e, -ENOENT) || e == -ESTALE, "open of a message", e);
    if (e == 0) {
        info.fh = o.file.fh;
        mqxfs_ops.read(&r, node, r.room = 100, 0, &info);
        damage_must(answered(&r, "read") == 0, "read of a message", r.error);
        mqxfs_ops.release(&c, node, &info);
        damage_must(answered(&c, "release") == 0, "release", c.error);
    }
    forget(node);
}

/* One of the damaged queue's messages, as a file: looked at, removed, or moved. */
static void use_message(const struct run *run, const struct damage_record *d)
{
    const struct mqxi_queue *q = run->damaged;
    fuse_ino_t all = look_up_in(FUSE_ROOT_ID, ".messages"), to = look_up_in(all, OTHER);
    fuse_ino_t from = look_up_in(all, DAMAGED);
    struct fuse_req r = fake_request();
    char name[MESSAGE_NAME];
    unsigned token = mqxi_op_enter();
    int e;

    message_name(q, atomic_load(&q->ctl[d->offset % q->layout.maxmsg]), name);
    mqxi_op_leave(token);
    if (from && d->value % 4 == 0)
        list_in(from);
    else if (from && d->value % 4 == 1)
        read_message(from, name);
    else if (from) {
        if (d->value % 4 == 2)
            mqxfs_ops.unlink(&r, from, name);
        else
            mqxfs_ops.rename(&r, from, name, to, name, 0);
        e = answered(&r, "of a message");
        damage_must(damage_may(e, -ENOENT) || e == -ESTALE || e == -EAGAIN || e == -EMSGSIZE,
                    "removal or move of a message", e);
    }
    if (from)
        forget(from);
    forget(to);
    forget(all);
}

static void unlink_it(void)
{
    struct fuse_req r = fake_request();
    int e;

    mqxfs_ops.unlink(&r, FUSE_ROOT_ID, DAMAGED);
    e = answered(&r, "unlink");
    damage_must(e == 0 || e == -ENOENT, "unlink", e);
}

/* Its owner goes on. */
static void use_directly(const struct run *run, const struct damage_record *d)
{
    struct mqxi_queue *q = run->damaged;
    unsigned token = mqxi_op_enter();
    struct mqxi_taken t;

    if (d->value % 2)
        mqxi_put(q, bytes, (uint32_t)d->value % (q->layout.msgsize + 1), d->offset % 32768u, 0,
                 NULL, NULL);
    else if (mqxi_take(q, &t) == 0)
        mqxi_take_commit(q, &t);
    mqxi_op_leave(token);
}

static void truncate_it(const struct run *run, uint64_t size)
{
    char path[PATH_MAX];

    mqxi_path(MQXI_QUEUES, DAMAGED, path);
    damage_must(truncate(path, (off_t)(size % run->damaged->layout.size)) == 0 || errno == ENOENT,
                "truncate", errno);
}

/* --- mqxfs --------------------------------------------------------------------------------- */

/* What the event loop does between two requests. */
static void turn(void)
{
    bridge_collect(parked_fired);
    parked_serve_due();
}

static void operate(struct run *run, const struct damage_record *d)
{
    switch (d->what % 16) {
    case 0:
        open_file(run, d);
        break;
    case 1:
        close_file(run, &run->file[d->region % FILES]);
        break;
    case 2:
    case 3:
    case 4:
        transfer(run, d, false);
        break;
    case 5:
    case 6:
    case 7:
        transfer(run, d, true);
        break;
    case 8:
        attributes(d);
        break;
    case 9:
        list();
        break;
    case 10:
        remote_tick();
        parked_tick();
        attached_sweep();
        break;
    case 11:
        serve_well(run);
        break;
    case 12:
        if (run->waiting[d->region % WAITING])
            fake_interrupt(run->waiting[d->region % WAITING]);
        break;
    case 13:
        if (d->region == 77)
            truncate_it(run, d->value);
        else if (d->region == 78)
            unlink_it();
        break;
    case 14:
        if (d->region & 128)
            control(run, d);
        else if (d->region & 64)
            poll_it(run, d);
        else
            use_message(run, d);
        break;
    default:
        use_directly(run, d);
    }
    turn();
    collect_answers(run);
}

/* ------------------------------------------------------------------------------------------- */

static void begin(struct run *run, struct damage_input *in)
{
    static const struct mqxi_attr attr = {10, 64, 0600, MQXI_DURABLE_OFF};
    static struct fuse_conn_info connection = {.max_write = 131072};
    static bool begun;

    if (!begun) {
        mqxfs_ops.init(NULL, &connection);
        damage_must(bridge_start() >= 0, "bridge", errno);
        damage_must(polled_start() >= 0, "polled", errno);
        begun = true;
    }
    damage_make_bell();
    damage_fill(&attr, 0, WELL, run->fifo[0]);
    damage_fill(&attr, 0, OTHER, run->fifo[2]);
    damage_build(in, DAMAGED, run->fifo[1]);
    if (mqxi_segment_attach(DAMAGED, &run->damaged) < 0)
        run->damaged = NULL;
    attached_repair_all();
}

/* All is let go of: the bridge's threads do that when they find out. */
static void end(struct run *run)
{
    for (int i = 0; i < FILES; i++)
        close_file(run, &run->file[i]);
    parked_refuse_all(ENOTCONN);
    collect_answers(run);
    for (int i = 0; i < WAITING; i++)
        damage_must(run->waiting[i] == NULL, "a request that was never answered", i);
    damage_must(parked_count() == 0, "requests that still wait", parked_count());
    parked_serve_due();
    node_forget_all();
    attached_detach_all();
    if (run->damaged)
        mqxi_segment_detach(run->damaged);
    for (int i = 0; i < 3; i++)
        target_clean(run->fifo[i]);
    for (int i = 0; fence_count() > 0; i++) {
        damage_must(i < 100000, "segments that are still mapped", fence_count());
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct damage_input in = {data, size};
    struct damage_record record;
    struct run run = {0};

    begin(&run, &in);
    /* What is unreadable is looked at all the same. */
    attributes(&(struct damage_record){0});
    list();
    while (run.damaged && damage_next(&in, &record))
        if (record.what & DAMAGE_OPERATION)
            operate(&run, &record);
        else
            damage_do(run.damaged, &record);
    serve_well(&run);
    serve_well(&run);
    end(&run);
    return 0;
}
