/*
 * One mapping a queue, found by the inode number of its segment: so an open
 * file stays with its queue when the name is unlinked and created again.
 * The number cannot be reused while the mapping exists.
 *
 * A queue that nobody uses stays mapped for a moment, since a LOOKUP is
 * followed by GETATTR and OPEN; not longer, or an unlinked queue would keep
 * its memory.
 */
#include "attached.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "anyname.h"
#include "engine.h"
#include "polled.h"
#include "repair.h"
#include "sys.h"
#include "thread.h"
#include "wait.h"

#define BUCKETS 4096u
#define IDLE_MS 1000u
#define DEEP    4096u /* messages from which on counting their bytes at each look is too slow */

static struct attached *table[BUCKETS];
static unsigned idle;

uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC_COARSE,
                  &t); /* it is asked for often, and a tick is exact enough */
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

struct attached *attached_by_ino(uint64_t ino)
{
    for (struct attached *a = table[ino % BUCKETS]; a; a = a->next)
        if (a->queue->ino == ino) {
            if (a->users++ == 0)
                idle--;
            return a;
        }
    return NULL;
}

static struct attached *adopt(struct mqxi_queue *q)
{
    struct attached *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->queue = q;
    a->users = 1;
    a->fifo = -1;
    for (int d = 0; d < DIRECTIONS; d++) {
        a->waiting[d].watch.attached = a;
        a->waiting[d].watch.direction = d;
    }
    a->next = table[q->ino % BUCKETS];
    table[q->ino % BUCKETS] = a;
    return a;
}

static void detach(struct attached *a)
{
    for (int d = 0; d < DIRECTIONS; d++)
        bridge_drop(&a->waiting[d].watch);
    polled_unwatch(a);
    mqxi_queue_put(a->queue);
    free(a);
}

static void detach_idle(uint64_t for_ms)
{
    uint64_t now = now_ms();

    for (unsigned i = 0; idle > 0 && i < BUCKETS; i++)
        for (struct attached **link = &table[i], *a; (a = *link);) {
            if (a->users > 0 || now - a->idle_since_ms < for_ms || a->listed) {
                link = &a->next;
                continue;
            }
            *link = a->next;
            detach(a);
            idle--;
        }
}

int attached_by_stat(const char *name, const struct mqxi_stat *st, struct attached **out)
{
    struct mqxi_queue *q;
    int r;

    *out = attached_by_ino(st->ino);
    if (*out && (*out)->queue->layout.size != st->size) { /* truncated since */
        attached_put(*out);
        *out = NULL;
        return -EBADMSG;
    }
    if (*out)
        return 0;
    r = mqxi_name_attach(name, &q);
    if (r == -ENOMEM && idle > 0) { /* no address space: System V's take a hundredth of it each */
        detach_idle(0);
        r = mqxi_name_attach(name, &q);
    }
    if (r < 0)
        return r;
    *out = attached_by_ino(q->ino); /* the name went to another queue meanwhile */
    if (!*out)
        *out = adopt(q);
    if (!*out || (*out)->queue != q)
        mqxi_queue_put(q);
    return *out ? 0 : -ENOMEM;
}

int attached_by_name(const char *name, struct attached **out)
{
    char path[PATH_MAX];
    struct mqxi_stat st;
    int r = mqxi_name_path(name, path);

    if (r == 0)
        r = mqxi_sys_stat(AT_FDCWD, path, &st);
    return r < 0 ? r : attached_by_stat(name, &st, out);
}

void attached_put(struct attached *a)
{
    if (--a->users > 0)
        return;
    a->idle_since_ms = now_ms();
    idle++;
}

void attached_sweep(void)
{
    detach_idle(IDLE_MS);
}

void attached_detach_all(void)
{
    detach_idle(0);
}

bool attached_idle(void)
{
    return idle > 0;
}

static int mend(const char *name, void *unused)
{
    struct attached *a;
    unsigned token;

    (void)unused;
    if (attached_by_name(name, &a) < 0)
        return 0; /* another user's, or damaged */
    token = mqxi_op_enter();
    mqxi_repair(a->queue, NULL); /* what cannot be mended fails when it is read */
    mqxi_op_leave(token);
    attached_put(a);
    return 0;
}

void attached_repair_all(void)
{
    mqxi_name_list(mend, NULL);
}

void attached_each(void (*each)(struct attached *a))
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct attached *a = table[i], *next; a; a = next) {
            next = a->next;
            each(a);
        }
}

_Atomic uint32_t *attached_event(const struct attached *a, enum direction direction)
{
    struct mqxi_header *h = a->queue->header;

    return direction == FOR_ROOM   ? &h->send_event
           : direction == FOR_DISK ? &h->commit_event
                                   : &h->recv_event;
}

uint64_t attached_bytes(struct attached *a)
{
    unsigned token = mqxi_op_enter();
    uint32_t sent = mqxi_event_read(attached_event(a, FOR_MESSAGE));
    uint32_t received = mqxi_event_read(attached_event(a, FOR_ROOM));
    bool same = a->bytes_at_ms && sent == a->bytes_sent && received == a->bytes_received;
    uint64_t now = now_ms();

    if (!same &&
        (!a->bytes_at_ms || now - a->bytes_at_ms >= 1000 || mqxi_count(a->queue) <= DEEP)) {
        /* The words were read before the count, so a change meanwhile makes it stale. */
        a->bytes = mqxi_bytes(a->queue);
        a->bytes_sent = sent;
        a->bytes_received = received;
        a->bytes_at_ms = now;
    }
    mqxi_op_leave(token);
    return a->bytes;
}
