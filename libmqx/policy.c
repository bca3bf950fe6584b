/*
 * A sender publishes its message, and then looks whether the queue is durable; a
 * receiver frees the slot, and then looks.  Who makes a queue durable says so, and
 * then looks at all slots: so one of the two sees the other, if the processors do
 * not put off a store behind a later load.  Senders are not to pay for that: who
 * makes the change has every processor pass a barrier.
 */
#include "policy.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <time.h>

#include "sys.h"

static int put(int fd, size_t offset, uint32_t value)
{
    long r = MQXI_SYS(SYS_pwrite64, fd, &value, sizeof(value), (long)offset);

    return r == (long)sizeof(value) ? 0 : r < 0 ? (int)r : -EIO;
}

/* msgctl(IPC_RMID) says first that it is removed, and then that it is not durable. */
static bool removed(int fd, const struct mqxi_header *header)
{
    uint32_t state = 0;

    return header->kind == MQXI_KIND_SYSV &&
           MQXI_SYS(SYS_pread64, fd, &state, sizeof(state),
                    (long)offsetof(struct mqxi_header, state)) == (long)sizeof(state) &&
           state == MQXI_SYSV_REMOVED;
}

int mqxi_policy_set(int fd, const struct mqxi_header *header, enum mqxi_durable durable,
                    bool chosen)
{
    int r = 0;

    if (removed(fd, header))
        return 0;
    if (atomic_load(&header->chosen) != chosen)
        r = put(fd, offsetof(struct mqxi_header, chosen), chosen);
    if (r < 0 || atomic_load(&header->durable) == (uint32_t)durable)
        return r;
    r = put(fd, offsetof(struct mqxi_header, durable), (uint32_t)durable);
    if (r == 0 && removed(fd, header))
        r = put(fd, offsetof(struct mqxi_header, durable), MQXI_DURABLE_OFF);
    return r < 0 ? r : 1;
}

int mqxi_policy_set_sync(int fd, const struct mqxi_header *header, uint32_t which, uint32_t sync)
{
    uint32_t is = atomic_load(&header->sync), shall = (is & ~which) | (sync & which);
    int r = shall == is ? 0 : put(fd, offsetof(struct mqxi_header, sync), shall);

    return r < 0 ? r : shall != is;
}

void mqxi_policy_settle(void)
{
    /* A kernel that cannot (nohz_full): what a processor puts off, it does within microseconds. */
    if (MQXI_SYS(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}
