/*
 * System V queues: from ids and keys to segments.
 *
 * An id is sequence << 15 | index.  ids/INDEX is a directory with one entry, ID, the
 * segment; keys/KEY (eight hex digits) one with one entry, an empty file ID.  Directories,
 * since a file of a name can be removed only whatever it is, but ids/INDEX/ID is that
 * queue or nothing: so whoever finds a queue that is removed can help, and who is
 * stopped while he helps does no harm to the next one of that index or key.
 */
#ifndef MQXI_MSQIDS_H
#define MQXI_MSQIDS_H

#include "segment.h"

#define MQXI_MSQID_BITS 15
#define MQXI_MSQID_MAX  (1 << MQXI_MSQID_BITS) /* indexes */

static inline uint32_t mqxi_msqid_index(int id)
{
    return (uint32_t)id & (MQXI_MSQID_MAX - 1);
}

struct mqxi_msqid_new {
    int key; /* IPC_PRIVATE (0): none */
    uint32_t mode, maxmsg, msgsize;
    uint64_t qbytes;
    uint32_t most; /* queues that there may be */
    enum mqxi_durable durable;
    uint32_t sync;
};

/* All return 0 or -errno. */

/* Make a queue.  -EEXIST: another has the key; -ENOSPC. */
int mqxi_msqid_create(const struct mqxi_msqid_new *n, struct mqxi_queue **out);
/* Give one that was built anew, and is described in its header, its names back; its id only if
 * nobody has that index, where it has a key.  -EEXIST: another has the key, or the id. */
int mqxi_msqid_restore(struct mqxi_unborn *u, int id);
/* Attach the one with this key, or this id.  -ENOENT, and -EINVAL for an id: there is none;
 * -EACCES: another user's. */
int mqxi_msqid_attach_key(int key, struct mqxi_queue **out);
int mqxi_msqid_attach(int id, struct mqxi_queue **out);
/* The id that stands for this key, if the queue is there.  -ENOENT. */
int mqxi_msqid_of(int key, int *id);
/* The id of the queue with this index.  -EINVAL. */
int mqxi_msqid_at(uint32_t index, int *id);
/* Remove it: -EINVAL, it is. */
int mqxi_msqid_remove(struct mqxi_queue *q);
/* Path of its segment: PATH_MAX bytes. */
int mqxi_msqid_path(int id, char *path);
/* Remove what is left of queues whose creator, or remover, died at it. */
void mqxi_msqid_tidy(void);
/* Call each(index, arg) for every index in use. */
int mqxi_msqid_list(int (*each)(uint32_t index, void *arg), void *arg);

#endif
