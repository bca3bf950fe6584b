/*
 * A receiver that waits for its message to leave the store may be killed when it
 * has left, and before it was received.  Then it is back in the queue as soon as
 * somebody comes to use that, and stored again; but until then it would be in
 * memory alone, however long that is.  So mqxd comes itself, as long as anybody
 * is leaving.
 */
#include "leaving.h"

#include <errno.h>

#include "client.h"
#include "repair.h"

#define MOST 10000u /* owners asked about in a look, some 30 ms; only a damaged queue has more */

static bool is_leaving(uint64_t ctl)
{
    return (ctl & ~MQXI_CTL_OWNER) == MQXI_CTL_LEAVING;
}

bool leaving_orphaned(const struct mqxi_queue *q, uint32_t slot)
{
    uint64_t ctl = atomic_load(&q->ctl[slot]);

    return is_leaving(ctl) && !mqxi_client_alive(q->registry, ctl & MQXI_CTL_OWNER);
}

uint64_t leaving_look(struct attached *a)
{
    uint32_t slots = mqxi_dirty_slots(a->q), asked = 0, orphaned = 0;

    for (uint32_t i = 0; i < slots; i++) {
        uint64_t ctl = atomic_load(&a->q->ctl[i]);

        if (is_leaving(ctl) && asked < MOST) {
            asked++;
            orphaned += leaving_orphaned(a->q, i);
        } else if (mqxi_ctl_ready(ctl) && ctl != a->keys[i]) {
            mqxi_dirty_again(a->q, i); /* who gave it back may have died before he said so */
        }
    }
    if (orphaned && mqxi_repair(a->q, NULL) == -EBADMSG)
        a->broken = "it is damaged";
    return asked > orphaned ? mirror_now() + LEAVING_NS : 0;
}
