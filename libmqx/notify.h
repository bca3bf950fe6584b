/* mq_notify: registrations, and senders who make them fire (notify.c). */
#ifndef MQXI_NOTIFY_H
#define MQXI_NOTIFY_H

#include <signal.h>

#include "engine.h"

/* A message that is to be for a receiver who sleeps, should there be one. */
struct mqxi_promise {
    bool made;
    uint64_t before; /* what notify_handed was */
};

/* In a queue that ever had a registration, before a message with this sequence is published. */
void mqxi_notify_promise(struct mqxi_queue *q, uint64_t sequence, struct mqxi_promise *promise);

/* A message that was put, and who sent it: from NULL: this process.  woken: sleeping receivers that
 * it woke. */
struct mqxi_sent {
    uint32_t slot;
    uint64_t key;
    const struct mqxi_sender *from;
    struct mqxi_promise promise;
};

/*
 * A message was put, and its event is bumped: notify who is registered, if the
 * queue was empty before it and nobody was blocked in a receive.  woken: sleeping
 * receivers that it woke.  Async-signal-safe.  Where the notification is a
 * signal to another process, and the message is this process's own, waits a
 * few milliseconds at most until it is sent.
 */
void mqxi_notify_fire(struct mqxi_queue *q, const struct mqxi_sent *sent, int woken);

/* A receiver found nothing, and recv_event showed this count meanwhile. */
static inline void mqxi_notify_empty(struct mqxi_queue *q, uint32_t count)
{
    if (atomic_load_explicit(&q->header->put_tells, memory_order_relaxed) & MQXI_TELLS_NOTIFIERS)
        atomic_store_explicit(&q->header->notify_empty, count, memory_order_relaxed);
}

/*
 * Register this process; notification NULL: remove its registration, if it has
 * one.  0; -EBUSY: another process (or this one) is registered; -EINVAL,
 * -ENOMEM, -EAGAIN.  The caller holds a reference to the queue.
 * Async-signal-safe where the process has registered before, for a signal.
 */
int mqxi_notify_register(struct mqxi_queue *q, const struct sigevent *notification);

/* This process closes a descriptor of the queue: its registration, if any, ends.
 * Async-signal-safe. */
void mqxi_notify_closed(struct mqxi_queue *q);

/* --- for the helper thread (notify_helper.c) ------------------------------------------------- */

/* The entry of a registration (as in header->notify); NULL: the word is damaged. */
static inline struct mqxi_notify *mqxi_notify_entry(struct mqxi_queue *q, uint64_t registration)
{
    uint64_t i = (registration & 255) - 1;

    return i < MQXI_NOTIFY_ENTRIES ? &q->header->entry[i] : NULL;
}

/* What its word is until it fires. */
static inline uint64_t mqxi_notify_word(uint64_t registration)
{
    return MQXI_NOTIFY_SET | registration >> 8;
}

/* A message that is in the queue, if any: whose sender may have died before it could notify. */
bool mqxi_notify_stranded(struct mqxi_queue *q, uint32_t *slot, uint64_t *key);
/* Fire this registration in its sender's stead. */
void mqxi_notify_mend(struct mqxi_queue *q, uint64_t registration, uint32_t slot);

#endif
