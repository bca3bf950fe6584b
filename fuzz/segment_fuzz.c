/*
 * Shared memory is input: a queue with messages in it is damaged as the fuzzer
 * says, before it is attached and while it is, and all of the library works on
 * it, <mqueue.h> included.  It may say -EBADMSG, -EIO, or find fewer or other
 * messages; it must not crash, hang, touch anything outside the segment
 * (fence.c), or return anything that the queue's size does not allow.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "damage.h"
#include "durable.h"
#include "engine.h"
#include "fence.h"
#include "index.h"
#include "mqx.h"
#include "names.h"
#include "repair.h"
#include "snapshot.h"
#include "target.h"
#include "thread.h"

#define QUEUE "fuzz"
#define HELD  4

static uint8_t message[MQXI_PAGE * 64]; /* more than a damaged header can allow */

/* What one input works on. */
struct run {
    struct mqxi_queue *q;
    struct mqxi_taken held[HELD]; /* taken, not consumed */
    unsigned held_count;
};

/* --- the engine ---------------------------------------------------------------------------- */

static void check_taken(const struct mqxi_queue *q, const struct mqxi_taken *t)
{
    damage_must(t->slot < q->layout.maxmsg, "slot taken", t->slot);
    damage_must(t->len <= q->layout.msgsize, "length taken", t->len);
    damage_must(t->prio < MQXI_PRIO_MAX, "priority taken", t->prio);
    memcpy(message, t->data, t->len); /* where it lies outside the segment, there is a fence */
}

static void put(struct run *run, const struct damage_record *d)
{
    uint32_t len = (uint32_t)d->value % (run->q->layout.msgsize + 1), slot = 0;
    uint64_t key = 0;
    int r = mqxi_put(run->q, message, len, d->offset % MQXI_PRIO_MAX, 0, &slot, &key);

    damage_must(damage_may(r, -EAGAIN) || r == -ENOSPC, "put", r);
    if (r == 0)
        damage_must(slot < run->q->layout.maxmsg, "slot of a message sent", slot);
    if (r == 0)
        mqxi_durable_settled(run->q, slot, key);
}

static void take(struct run *run)
{
    struct mqxi_taken *t = &run->held[run->held_count];
    int r;

    if (run->held_count == HELD)
        return;
    r = mqxi_take(run->q, t);
    damage_must(damage_may(r, -EAGAIN), "take", r);
    if (r < 0)
        return;
    check_taken(run->q, t);
    run->held_count++;
}

static void finish(struct run *run, bool consume)
{
    const struct mqxi_taken *t;
    int r;

    if (run->held_count == 0)
        take(run);
    if (run->held_count == 0)
        return;
    t = &run->held[--run->held_count];
    r = consume ? mqxi_take_commit(run->q, t) : mqxi_take_abort(run->q, t);
    damage_must(damage_may(r, 0), "commit or abort", r);
}

static void mend(struct run *run, const struct damage_record *d)
{
    bool claims, swept;
    int r = d->value % 2 ? mqxi_repair(run->q, &claims) : mqxi_repair_sometimes(run->q, &swept);

    damage_must(damage_may(r, 0), "repair", r);
}

static void count(struct run *run)
{
    const struct mqxi_layout *l = &run->q->layout;

    damage_must(mqxi_count(run->q) <= l->maxmsg, "count", 0);
    damage_must(mqxi_bytes(run->q) <= (uint64_t)l->maxmsg * l->msgsize, "bytes", 0);
}

/* What mqxd reads, and writes. */
static void mirror(struct run *run, const struct damage_record *d)
{
    struct mqxi_queue *q = run->q;
    struct mqxi_snapshot s;
    uint32_t words = mqxi_dirty_words(q), slots = mqxi_dirty_slots(q), slot;
    int r;

    damage_must(slots <= q->layout.maxmsg, "slots", slots);
    if (slots == 0)
        return;
    mqxi_dirty_begin(q);
    for (uint32_t i = 0; i < words; i++)
        for (uint64_t marks = mqxi_dirty_take(q, i); marks; marks &= marks - 1)
            damage_must(i * 64 + (uint32_t)__builtin_ctzll(marks) < q->layout.maxmsg, "mark", i);
    slot = (uint32_t)d->value % slots;
    r = mqxi_snapshot(q, slot, &s, message);
    damage_must(damage_may(r, -EAGAIN), "snapshot", r);
    if (r == 0 && s.key != 0)
        damage_must(s.len <= q->layout.msgsize, "length of a snapshot", s.len);
    mqxi_snapshot_stored(q, slot, d->value);
    mqxi_snapshot_wake(q);
    mqxi_dirty_again(q, slot);
}

/* --- <mqueue.h> ---------------------------------------------------------------------------- */

static const struct timespec past = {.tv_sec = 1};

/* Its sizes are those of its own look at the header, which has been damaged meanwhile. */
static void send_posix(struct run *run, mqd_t mq, size_t msgsize, const struct damage_record *d)
{
    size_t len = d->value % (msgsize + 1);
    int r;

    /* A send to a sync queue waits for an mqxd for half a minute. */
    if (atomic_load(&run->q->header->durable) == MQXI_DURABLE_SYNC)
        return;
    r = mqx_timedsend(mq, (const char *)message, len, d->offset % 32768u, &past) < 0 ? -errno : 0;
    damage_must(damage_may(r, -ETIMEDOUT) || r == -EAGAIN || r == -ENOSPC, "mq_timedsend", r);
}

static void receive_posix(mqd_t mq, size_t msgsize)
{
    unsigned prio = 0;
    ssize_t n = mqx_timedreceive(mq, (char *)message, sizeof(message), &prio, &past);

    n = n < 0 ? -errno : n;
    damage_must(n >= 0 || damage_may(n, -ETIMEDOUT) || n == -EAGAIN, "mq_timedreceive", n);
    damage_must(n <= (ssize_t)msgsize, "length received", n);
    damage_must(prio < MQXI_PRIO_MAX, "priority received", prio);
}

/* What a damaged queue shows a poller, and whom it notifies, is any of what there is. */
static void poll_posix(mqd_t mq)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    struct pollfd p = {.fd = mq, .events = POLLIN | POLLOUT};
    int n = poll(&p, 1, 0), e = epoll_create1(EPOLL_CLOEXEC);

    damage_must(n == 0 || n == 1, "poll", n);
    damage_must(e >= 0 && epoll_ctl(e, EPOLL_CTL_ADD, mq, &event) == 0, "epoll_ctl", errno);
    n = epoll_wait(e, &event, 1, 0);
    damage_must(n == 0 || n == 1, "epoll_wait", n);
    close(e);
}

static void notify_posix(mqd_t mq, uint64_t how)
{
    struct sigevent event = {.sigev_notify = how % 2 ? SIGEV_NONE : SIGEV_SIGNAL,
                             .sigev_signo = SIGURG}; /* ignored */
    int r = mqx_notify(mq, how % 4 == 3 ? NULL : &event) < 0 ? -errno : 0;

    damage_must(damage_may(r, -EBUSY) || r == -EAGAIN, "mq_notify", r);
}

static void posix(struct run *run, const struct damage_record *d)
{
    mqd_t mq = mqx_open("/" QUEUE, O_RDWR | (d->region % 2 ? O_NONBLOCK : 0));
    int r = mq < 0 ? -errno : 0;
    struct mq_attr attr;

    damage_must(damage_may_open(r, -ENOENT) || r == -ESRCH, "mq_open", r);
    if (r < 0)
        return;
    r = mqx_getattr(mq, &attr);
    damage_must(r == 0 && attr.mq_curmsgs >= 0 && attr.mq_curmsgs <= attr.mq_maxmsg, "mq_getattr",
                r);
    if (d->region & 8)
        poll_posix(mq);
    if (d->region & 16)
        notify_posix(mq, d->value);
    if (d->region & 2)
        send_posix(run, mq, (size_t)attr.mq_msgsize, d);
    if (d->region & 4)
        receive_posix(mq, (size_t)attr.mq_msgsize);
    if (d->region & 8)
        poll_posix(mq);
    damage_must(mqx_close(mq) == 0, "mq_close", errno);
}

static void unlink_posix(void)
{
    int r = mqx_unlink("/" QUEUE) < 0 ? -errno : 0;

    damage_must(r == 0 || r == -ENOENT, "mq_unlink", r);
}

/* ------------------------------------------------------------------------------------------- */

static void truncate_segment(uint64_t size)
{
    char path[PATH_MAX];

    mqxi_path(MQXI_QUEUES, QUEUE, path);
    damage_must(truncate(path, (off_t)size) == 0 || errno == ENOENT, "truncate", errno);
}

static void operate(struct run *run, const struct damage_record *d)
{
    unsigned token = mqxi_op_enter();

    switch (d->what % 16) {
    case 0:
    case 1:
        put(run, d);
        break;
    case 2:
    case 3:
    case 4:
        take(run);
        break;
    case 5:
    case 6:
        finish(run, true);
        break;
    case 7:
        finish(run, false);
        break;
    case 8:
        mend(run, d);
        break;
    case 9:
        count(run);
        break;
    case 10:
        mirror(run, d);
        break;
    case 11:
        if (d->region == 77) /* seldom: nothing much happens afterwards */
            truncate_segment(d->value % run->q->layout.size);
        break;
    case 12:
        if (d->region == 77)
            unlink_posix();
        break;
    case 13:
        mqxi_durable_settled(run->q, d->offset % run->q->layout.maxmsg, d->value);
        break;
    default:
        mqxi_op_leave(token);
        posix(run, d);
        return;
    }
    mqxi_op_leave(token);
}

/* Receive what is left, or some of it. */
static void drain(struct run *run)
{
    unsigned token = mqxi_op_enter();

    while (run->held_count > 0)
        finish(run, true);
    for (unsigned i = 0; i < 128; i++)
        finish(run, true);
    mqxi_op_leave(token);
}

/* A queue that was closed while another thread was inside one is unmapped when the next is. */
static void await_unmapping(void)
{
    for (int i = 0; fence_count() > 4; i++) {
        mqd_t mq = mqx_open("/next", O_RDWR | O_CREAT, 0600, NULL);

        damage_must(mq >= 0 && mqx_close(mq) == 0 && mqx_unlink("/next") == 0, "the next", errno);
        damage_must(i < 10000, "segments that are still mapped", fence_count());
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct damage_input in = {data, size};
    struct damage_record record;
    struct run run = {0};
    char fifo[PATH_MAX];
    int r;

    damage_make_bell();
    damage_build(&in, QUEUE, fifo);
    r = mqxi_segment_attach(QUEUE, &run.q);
    damage_must(r == 0 || r == -EBADMSG, "attach", r);
    while (r == 0 && damage_next(&in, &record))
        if (record.what & DAMAGE_OPERATION)
            operate(&run, &record);
        else
            damage_do(run.q, &record);
    if (r == 0) {
        drain(&run);
        mqxi_segment_detach(run.q);
    }
    target_clean(fifo);
    await_unmapping();
    return 0;
}
