/* Messages on their way to libmqx in another user's process. */
#ifndef MQXFS_HANDED_H
#define MQXFS_HANDED_H

#include "remote.h"

/* Dead processes may hold what is wanted: was it worth a look?  Inside mqxi_op_enter. */
bool try_again(struct mqxi_queue *q);

/* Answers to RECEIVE and MORE. */
void hand_over(struct remote *r, fuse_req_t request, const struct mqxi_remote_receive *in);
void hand_more(struct remote *r, fuse_req_t request, const struct mqxi_remote_more *in,
               size_t size);
/* ACCEPT and REJECT: 0, -errno. */
int hand_settled(struct remote *r, fuse_req_t request, uint64_t ticket, bool accepted);

/* Those of threads that have died go back; or all. */
void hand_back_from_dead(struct remote *r);
void hand_back_all(struct remote *r);

#endif
