/* msgget, msgsnd, msgrcv and msgctl on another user's queue. */
#ifndef MQXI_REMOTE_SYSV_H
#define MQXI_REMOTE_SYSV_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol.h"

/* All return -errno; -EACCES also where there is no mount, which is said on stderr once. */

/* Does the queue with this key, which has this id, permit what the flags ask for?  -ENOENT: it has
 * not (any more). */
int mqxi_remote_msgget(int key, int id, int flags);
/* Have mqxfs remove what another user, who died, left of a queue with this key. */
void mqxi_remote_clear_key(int key);
/* Of a queue that was there a moment ago.  Cancellation points, to be called with deferred
 * cancellation.  type: at least 1.  flags, of both: MQXI_SYSV_..., without CALL. */
int mqxi_remote_msgsnd(int id, const void *text, size_t len, long type, bool wait);
/* message: a struct msgbuf; room: for its text. */
ssize_t mqxi_remote_msgrcv(int id, void *message, size_t room, long type, unsigned flags,
                           bool wait);
/* MQXI_COUNT: where there is no mount, nothing is said. */
int mqxi_remote_msgctl(int id, enum mqxi_remote_command command, struct mqxi_msq_state *state);
/* A descriptor that polls as the queue is ready. */
int mqxi_remote_msg_fd(int id);

#endif
