/* Moving messages from queue to queue. */
#ifndef MQXFS_MOVE_H
#define MQXFS_MOVE_H

#include "mqxfs.h"
#include "node.h"

/* Move the message of this name to the other folder's queue, where it is known by the other name
 * for a while, and answer the request. */
void move_message(fuse_req_t request, const struct node *from, const char *name,
                  const struct node *to, const char *new_name);

/* A message that was sent to its new queue, and is still held in its old one.  To be ended once: it
 * is gone from there; or, not moved, it was withdrawn from the new one. */
struct move;
void move_end(struct move *m, bool moved);

#endif
