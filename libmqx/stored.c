/*
 * Waiting for the disk.  mqxd takes its usual milliseconds, and they are waited
 * for in any case.  What takes longer (no mqxd, one that stands still, a full disk)
 * is waited for as room in a full queue is: not where the caller would not wait, no
 * longer than until his deadline, and not beyond a signal.
 *
 * A message that is not waited for any longer is withdrawn: taken out of its slot
 * again.  If it was received or committed meanwhile it was sent, and all is well.  mqxd
 * may just be committing it: its slot, which changed, is part of the next commit.
 */
#include "stored.h"

#include <errno.h>
#include <limits.h>

#include "durable.h"
#include "repair.h"
#include "thread.h"
#include "wait.h"
#include "withdraw.h"

#define NS_PER_MS UINT64_C(1000000)
#define LOOK_MS   1000u  /* how often to look for mqxd */
#define GRACE_MS  1000u  /* so long one that lives may take for a commit */
#define WAIT_MS   30000u /* without `wait` in mqx.conf */
#define HELD_MS   100u   /* how often to look for what a receiver has in his hands */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Ms until the deadline; 0: it has passed. */
static uint64_t left_ms(const struct timespec *deadline)
{
    struct timespec now;
    int64_t ms;

    clock_gettime(CLOCK_REALTIME, &now);
    if (deadline->tv_sec - now.tv_sec > LONG_MAX / 2000)
        return UINT64_MAX;
    ms = (deadline->tv_sec - now.tv_sec) * INT64_C(1000) +
         (deadline->tv_nsec - now.tv_nsec) / 1000000;
    return ms > 0 ? (uint64_t)ms : 0;
}

static uint64_t patience_ms(const struct mqxi_queue *q)
{
    uint32_t wait = atomic_load(&q->header->sync) & MQXI_SYNC_WAIT;

    return wait ? wait - 1 : WAIT_MS;
}

void mqxi_stored_begin(struct mqxi_stored *s)
{
    s->began_ms = s->since_ms = now_ms();
    s->looked_ms = 0;
    s->alive = true;
}

/* Is there an mqxd, and does it say that the disk is full?  A new one, or one that has not found
 * this queue yet, hears of it here. */
static void look_for_mqxd(struct mqxi_stored *s, uint64_t now)
{
    struct mqxi_queue *q = s->q;

    s->alive = mqxi_mqxd_alive(q->uid);
    if (!s->alive) /* nor can it know how full the disk is */
        atomic_store(&q->header->disk_full, 0);
    if (s->looked_ms) /* not at once: it has been rung */
        mqxi_durable_rescan(q->uid);
    s->looked_ms = now;
}

/* Why the caller would not wait on: as he would not for room in a full queue.  0: he would. */
static int impatient(const struct mqxi_stored *s)
{
    return s->nonblock                                ? -EAGAIN
           : s->deadline && left_ms(s->deadline) == 0 ? -ETIMEDOUT
           : s->interrupted                           ? -EINTR
                                                      : 0;
}

/* 0: wait on; else why not. */
static int judge(struct mqxi_stored *s, uint64_t now)
{
    struct mqxi_queue *q = s->q;
    bool full = atomic_load(&q->header->disk_full) && !s->leaving; /* there is room for removals */
    uint64_t patience = patience_ms(q);

    if (atomic_load(&q->dead))
        return -EIO;
    if (mqxi_durable_refused(q)) {
        mqxi_durable_rescan(q->uid); /* for the next message: perhaps it can by now */
        return -EIO;
    }
    if (s->looked_ms ? now - s->looked_ms >= LOOK_MS
                     : full || s->nonblock || s->deadline || now - s->began_ms >= LOOK_MS ||
                           patience < LOOK_MS)
        look_for_mqxd(s, now);
    full = full && s->alive;
    if (!s->alive && atomic_load(&q->header->durable) == MQXI_DURABLE_ASYNC)
        return 1;
    if (full)
        s->since_ms = now;
    if (full || !s->alive || now - s->began_ms > GRACE_MS) {
        int r = impatient(s);

        if (r < 0)
            return r;
    }
    if (s->alive && patience < GRACE_MS) /* that is for one that is not there */
        patience = GRACE_MS;
    return now - s->since_ms >= patience ? -EIO : 0;
}

static bool settled(const struct mqxi_stored *s)
{
    return s->leaving ? mqxi_durable_gone(s->q, s->slot, s->key)
                      : mqxi_durable_settled(s->q, s->slot, s->key);
}

int mqxi_stored_look(struct mqxi_stored *s)
{
    bool swept;
    int r, e;

    if (!atomic_load(&s->q->dead) && settled(s))
        return 1;
    r = judge(s, now_ms());
    if (r >= 0 || s->leaving)
        return r;
    e = mqxi_withdraw(s->q, s->slot, s->key);
    if (e != -ESTALE)
        return e == -EALREADY ? 1 : e < 0 ? -EIO : r;
    /* Received, or in the hands of a receiver, from whom it may come back: then again. */
    mqxi_repair_sometimes(s->q, &swept);
    return settled(s);
}

uint64_t mqxi_stored_nap(const struct mqxi_stored *s)
{
    uint64_t now = now_ms(), ms = LOOK_MS, until = s->since_ms + patience_ms(s->q), left;

    if (until <= now) /* a receiver has it in his hands */
        return HELD_MS;
    if (until - now < ms)
        ms = until - now;
    left = s->deadline ? left_ms(s->deadline) : 0;
    if (left && left < ms)
        ms = left;
    return ms;
}

int mqxi_stored_wait(struct mqxi_stored *s, bool restarts)
{
    _Atomic uint32_t *event = &s->q->header->commit_event;

    mqxi_stored_begin(s);
    for (;;) {
        uint32_t seen = mqxi_event_read(event);
        unsigned token = mqxi_op_enter();
        int r = mqxi_stored_look(s);

        mqxi_op_leave(token);
        if (r != 0)
            return r < 0 ? r : 0;
        r = restarts ? mqxi_event_sleep(event, seen, NULL, mqxi_stored_nap(s) * NS_PER_MS + 1, true)
                     : mqxi_event_sleep_once(event, seen, mqxi_stored_nap(s) * NS_PER_MS + 1);
        s->interrupted |= r == -EINTR;
    }
}
