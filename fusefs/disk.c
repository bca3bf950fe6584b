/*
 * Writers to a sync queue, whose message is sent, and who are answered when it
 * is on disk: as mqxi_durable_wait, which blocks.
 */
#include "disk.h"

#include <stdlib.h>

#include "durable.h"
#include "parked.h"
#include "wait.h"

#define LOOK_MS 900u   /* how often to look for mqxd: at each tick */
#define DEAD_MS 30000u /* without mqxd for so long, a writer to a sync queue gives up */
#define DISK_MS 1000u  /* so long the disk may take before a signal ends the wait for it */

static void discard(struct parked *p)
{
    free(p);
}

/* About every second look whether there still is an mqxd, and give up when there was none for long.
 */
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
        fuse_reply_write(p->request, p->written);
    }
    return true;
}

void disk_wait(const struct parked *writer, uint32_t slot, uint64_t key)
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
