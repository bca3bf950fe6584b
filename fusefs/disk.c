/*
 * Who sent a message to a durable queue is answered, and what was moved there leaves its
 * old place, when it is on disk: as mqxi_stored_wait, which blocks.
 */
#include "disk.h"

#include <stdlib.h>

#include "move.h"
#include "parked.h"
#include "thread.h"
#include "wait.h"

/* stored: else it was withdrawn. */
static void end_move(struct parked *p, bool stored)
{
    if (p->move)
        move_end(p->move, stored);
    p->move = NULL;
}

/* We end, and it stays where it was sent. */
static void discard(struct parked *p)
{
    end_move(p, true);
    free(p);
}

static void answer(struct parked *p, int error)
{
    end_move(p, error == 0);
    if (!p->request) /* who moved it was answered */
        return;
    if (error)
        fuse_reply_err(p->request, error);
    else if (p->control)
        fuse_reply_ioctl(p->request, 0, NULL, 0);
    else
        fuse_reply_write(p->request, p->written);
}

static bool attempt_disk(struct parked *p)
{
    unsigned token = mqxi_op_enter();
    int r = mqxi_stored_look(&p->stored);

    mqxi_op_leave(token);
    if (r == 0)
        return false;
    if (r < 0)
        parked_due(p->attached, FOR_ROOM); /* it was withdrawn */
    answer(p, r < 0 ? -r : 0);
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
    p.stored.q = p.attached->queue;
    p.stored.slot = slot;
    p.stored.key = key;
    p.stored.interrupted = p.request && fuse_req_interrupted(p.request);
    mqxi_stored_begin(&p.stored);
    kept = malloc(sizeof(*kept));
    if (!kept) {
        end_move(&p, true);
        answer(&p, EIO); /* sent, but not known to be on disk */
        return;
    }
    *kept = p;
    if (p.deadline.tv_sec)
        kept->stored.deadline = &kept->deadline;
    if (attempt_disk(kept))
        free(kept);
    else
        parked_add(kept, seen); /* its interrupt function replaces the writer's */
}
