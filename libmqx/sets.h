/* epoll descriptors, and the sets behind them (sets.c). */
#ifndef MQXI_SETS_H
#define MQXI_SETS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The number of the set that this descriptor leads to; 0: of none that is known. */
int mqxi_set_of(int epoll);
/* The next descriptor from first to last of a known set, or -1. */
int mqxi_set_next(unsigned first, unsigned last);

/* A new set, or one that came from another process.  Its number; 0: it cannot be remembered. */
int mqxi_set_made(int epoll, bool foreign);
/* `to` was made a duplicate of `from`. */
void mqxi_set_duplicated(int from, int to);
/* These descriptors are being closed: gone(set) for each set whose last one is. */
void mqxi_set_closing(unsigned first, unsigned last, void (*gone)(int set));
/* Are these descriptors ours?  A child of vfork has its own, but its memory is its parent's. */
bool mqxi_set_here(void);
void mqxi_set_mine(void); /* they are: this process uses them */

/* What the queues in the set must tell (MQXI_TELLS_*) besides what each is asked for. */
uint32_t mqxi_set_tells(int set);
/* That, too, from now on; false: it was so before. */
bool mqxi_set_demand(int set, uint32_t tells);

/* What the kernel says of a set's members. */
struct mqxi_member {
    int fd; /* its number when it was added */
    uint32_t events;
    uint64_t data, ino;
};
/* visit for each until one returns other than 0: that; -errno.  Async-signal-safe if visit is. */
int mqxi_set_members(int epoll, int (*visit)(const struct mqxi_member *m, void *arg), void *arg);
bool mqxi_set_is(int fd); /* is it any epoll descriptor? */

#endif
