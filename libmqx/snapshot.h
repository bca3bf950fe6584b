/* mqxd's view of a queue: which slots changed, what is in a slot, and putting it back. */
#ifndef MQXI_SNAPSHOT_H
#define MQXI_SNAPSHOT_H

#include "queue.h"

/* A message beside its bytes. */
struct mqxi_snapshot {
    uint64_t key;
    uint64_t sent_ns;
    int64_t type;
    uint32_t pid, uid; /* of the sender */
    uint32_t len;
};

/*
 * What a message in this slot has for a key, 0 for none; free and filling
 * slots have none, one that is being taken still has its own; with MQXI_DISK_GONE
 * if the store is not to have it any longer.
 * 0; -EAGAIN: it changes too fast, look later; -EBADMSG: no slot can be so.
 */
int mqxi_snapshot_key(const struct mqxi_queue *q, uint32_t slot, uint64_t *key);

/*
 * Copy the slot's message; data has room for msgsize bytes.  Nobody is held
 * up, and whatever the slot's users do meanwhile, what is returned with 0 is
 * one whole message.  out->key 0 or with MQXI_DISK_GONE: there is none.  Errors as above.
 */
int mqxi_snapshot(const struct mqxi_queue *q, uint32_t slot, struct mqxi_snapshot *out, void *data);

/*
 * Put a message into a free slot of a queue that nobody else sees yet, in its
 * old place.  -EBADMSG: not possible in this queue; -ENOSPC.
 */
int mqxi_snapshot_restore(struct mqxi_queue *q, uint32_t slot, const struct mqxi_snapshot *message,
                          const void *data);

/* The message `key` (0: none; with MQXI_DISK_GONE: not that one) is what the store now has for
 * this slot. */
void mqxi_snapshot_stored(struct mqxi_queue *q, uint32_t slot, uint64_t key);
/* Wake whoever waits for a commit of this queue. */
void mqxi_snapshot_wake(struct mqxi_queue *q);

/* The queue cannot be mirrored: who waits for a commit of it shall not wait on. */
void mqxi_snapshot_refuse(struct mqxi_queue *q);

/* Has any slot been marked? */
bool mqxi_dirty(const struct mqxi_queue *q);
/* About to look: from now on changers ring again.  To be followed by mqxi_dirty_take of all words,
 * before any slot is read. */
void mqxi_dirty_begin(struct mqxi_queue *q);
/* Words of the bitmap in which a slot can be marked. */
uint32_t mqxi_dirty_words(const struct mqxi_queue *q);
/* Slots that exist: no other was ever used. */
uint32_t mqxi_dirty_slots(const struct mqxi_queue *q);
/* The marks of slots word * 64 and up; they are cleared. */
uint64_t mqxi_dirty_take(struct mqxi_queue *q, uint32_t word);
/* Mark for ourselves, without ringing: look at this slot again. */
void mqxi_dirty_again(struct mqxi_queue *q, uint32_t slot);
/* Not all words were taken: look at the queue again. */
void mqxi_dirty_more(struct mqxi_queue *q);

#endif
