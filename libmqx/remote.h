/* Another user's queue, through its file in mqxfs. */
#ifndef MQXI_REMOTE_H
#define MQXI_REMOTE_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "protocol.h"

/*
 * Open a queue (name: without the slash) that this process may not map, where a
 * trustworthy mqxfs has it mounted: a descriptor that stands for it.  -EACCES:
 * its mode does not allow it; or there is no mount, which is said on stderr.
 * -ESTALE: it is another queue by now, look again.
 */
int mqxi_remote_open(const char *name, int oflag);
/* Is this descriptor, which came otherwise, one of such a file?  It then stands for its queue: 0,
 * -EBADF. */
int mqxi_remote_adopt(int fd);
/* Does fd, which is known as such a one, still stand for a queue?  If not, that is noted. */
bool mqxi_remote_still(int fd);
/* The same; for which queue: the inode number of its segment, or 0. */
uint64_t mqxi_remote_is(int fd);

/* As mq_timedsend and mq_timedreceive; return -errno.  To be called with deferred cancellation, and
 * with arguments that were checked but for what the queue decides. */
int mqxi_remote_send(int fd, const char *msg, size_t len, unsigned prio,
                     const struct timespec *deadline);
ssize_t mqxi_remote_receive(int fd, char *buffer, size_t len, unsigned *prio,
                            const struct timespec *deadline);
/* The same, but the message is consumed when it is accepted, by the same thread: if that dies, or
 * closes the descriptor, it goes back. */
ssize_t mqxi_remote_take(int fd, char *buffer, size_t len, unsigned *prio,
                         const struct timespec *deadline, uint64_t *ticket);
int mqxi_remote_accept(int fd, uint64_t ticket);

int mqxi_remote_state(int fd, struct mqxi_remote_state *out);
int mqxi_remote_notify(int fd, const struct sigevent *notification);
/* fd is about to be closed. */
void mqxi_remote_closing(int fd);

/* --- between its files ------------------------------------------------------------------------ */

/* A request to mqxfs: 0 or -errno. */
int mqxi_remote_ask(int fd, unsigned long request, void *arg);
struct mqxi_remote_caller mqxi_remote_self(void);

/* A word of this process's bell (protocol.h). */
struct mqxi_bell_word {
    uint64_t bell;
    uint32_t index;
    _Atomic uint32_t *word;
};
/* *old (or NULL): one that mqxfs, which is asked through fd, does not know. */
int mqxi_remote_bell(int fd, const struct mqxi_bell_word *old, uint32_t index,
                     struct mqxi_bell_word *out);

#endif
