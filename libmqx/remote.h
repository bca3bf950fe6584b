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
/* The same, but the message is consumed when it is accepted, by the same thread: if that rejects it,
 * dies, or closes the descriptor, it goes back. */
ssize_t mqxi_remote_take(int fd, char *buffer, size_t len, unsigned *prio,
                         const struct timespec *deadline, uint64_t *ticket);
int mqxi_remote_accept(int fd, uint64_t ticket);
int mqxi_remote_reject(int fd, uint64_t ticket);

/* msgsnd or msgrcv. */
struct mqxi_remote_transfer {
    int id;
    bool sends, wait;
    bool interrupted; /* by a signal: then it does not wait */
    unsigned flags;   /* MQXI_SYSV_... */
    int64_t type;
    void *text; /* received: behind its type, in a struct msgbuf; sent: read only */
    size_t len;
};
/* -EIDRM: the queue is removed; -ENOTCONN: to be begun anew with another descriptor. */
ssize_t mqxi_remote_transfer(int fd, const struct mqxi_remote_transfer *t);

int mqxi_remote_state(int fd, struct mqxi_remote_state *out);
int mqxi_remote_notify(int fd, const struct sigevent *notification);
/* fd is about to be closed. */
void mqxi_remote_closing(int fd);

/* --- between its files ------------------------------------------------------------------------ */

struct mqxi_stat;
/* Open the file of this name, of the queue with this segment, in a trustworthy mount; -ENODEV:
 * there is none. */
int mqxi_remote_find(const char *name, int oflag, const struct mqxi_stat *segment);
/* Say so, once. */
void mqxi_remote_say_none(const char *name, uid_t owner);
/* As mqxi_remote_is, of a descriptor that may be the program's: nothing is noted. */
uint64_t mqxi_remote_which(int fd);

/* A request to mqxfs: 0 or -errno; -EIO: it ended. */
int mqxi_remote_ask(int fd, unsigned long request, void *arg);
/* The same; -ENOTCONN: it had ended before. */
int mqxi_remote_try(int fd, unsigned long request, void *arg);
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
