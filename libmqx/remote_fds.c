/*
 * msgsnd and msgrcv name a queue by its id, but mqxfs is asked through an open file.  The
 * descriptors of the last few such queues are kept.  The program does not know of them: it may
 * close them, as all that it did not open, and have one of its own in their place, so each is
 * looked at before it is used or closed, and their numbers are out of its way.
 *
 * An entry is used by any number of calls at once, and closed when the last one is over.  Of
 * those that never come to their end (siglongjmp out of a handler) only a descriptor stays open.
 */
#include "remote_fds.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "remote.h"
#include "sys.h"

#define ENTRIES 8           /* few: each takes address space of mqxfs */
#define LIVE    0x80000000u /* the entry can be found */
#define BUSY    0x40000000u /* it is being filled or emptied */
#define ABOVE   256         /* numbers that a program gets by itself are the lowest */

static struct entry {
    _Atomic uint32_t state; /* flags, and the number of calls that use it; 0: free */
    _Atomic int id, fd;
    _Atomic uint64_t ino;
} table[ENTRIES];

static bool change(struct entry *e, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&e->state, &from, to);
}

/* It is ours alone. */
static void empty(struct entry *e)
{
    int fd = atomic_load(&e->fd);

    if (mqxi_remote_which(fd) == atomic_load(&e->ino))
        mqxi_sys_close(fd);
    atomic_store(&e->state, 0);
}

/* One use less; the last one of what nobody is to find closes it. */
static void leave(struct entry *e)
{
    if (atomic_fetch_sub(&e->state, 1) == 1 && change(e, 0, BUSY))
        empty(e);
}

static void hide(struct entry *e)
{
    atomic_fetch_and(&e->state, ~LIVE);
}

int mqxi_remote_fd_get(int id, struct mqxi_remote_fd *out)
{
    for (int i = 0; i < ENTRIES; i++) {
        struct entry *e = &table[i];
        uint32_t state = atomic_load(&e->state);

        if (!(state & LIVE) || atomic_load(&e->id) != id)
            continue;
        while (state & LIVE && !atomic_compare_exchange_weak(&e->state, &state, state + 1))
            ;
        if (!(state & LIVE))
            continue;
        *out = (struct mqxi_remote_fd){atomic_load(&e->fd), i};
        if (atomic_load(&e->id) == id && mqxi_remote_which(out->fd) == atomic_load(&e->ino))
            return 0;
        if (atomic_load(&e->id) == id) /* the program has closed it */
            hide(e);
        leave(e);
    }
    return -ENOENT;
}

/* An entry of our own: one that is free, or that nobody uses just now. */
static struct entry *claim(void)
{
    for (int i = 0; i < ENTRIES; i++)
        if (change(&table[i], 0, BUSY))
            return &table[i];
    for (int i = 0; i < ENTRIES; i++)
        if (change(&table[i], LIVE, BUSY)) {
            empty(&table[i]);
            if (change(&table[i], 0, BUSY))
                return &table[i];
        }
    return NULL;
}

void mqxi_remote_fd_keep(int id, uint64_t ino, int fd, struct mqxi_remote_fd *out)
{
    struct entry *e = claim();
    int above = mqxi_sys_fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);

    if (above >= 0)
        mqxi_sys_close(fd);
    *out = (struct mqxi_remote_fd){above >= 0 ? above : fd, -1};
    if (!e)
        return;
    atomic_store(&e->id, id);
    atomic_store(&e->fd, out->fd);
    atomic_store(&e->ino, ino);
    atomic_store(&e->state, LIVE | 1);
    out->entry = (int)(e - table);
}

void mqxi_remote_fd_put(const struct mqxi_remote_fd *f, int forget)
{
    if (f->entry < 0) {
        mqxi_sys_close(f->fd);
        return;
    }
    if (forget)
        hide(&table[f->entry]);
    leave(&table[f->entry]);
}
