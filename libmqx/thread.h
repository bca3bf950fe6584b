/*
 * Which of this process's threads are inside the engine, so that a queue that
 * one thread closes is not unmapped under another, without a lock and without
 * an atomic operation on the fast path.
 */
#ifndef MQXI_THREAD_H
#define MQXI_THREAD_H

#include "queue.h"

/* Between enter and leave no queue is unmapped.  Never sleep in between: hold a reference
 * instead (mqxi_queue_get).  Nests (signal handlers).  Async-signal-safe. */
unsigned mqxi_op_enter(void);
void mqxi_op_leave(unsigned token);

/* References to a queue.  get: only between enter and leave, or while holding another. */
void mqxi_queue_get(struct mqxi_queue *q);
/* Drop one; the last one unmaps the queue as soon as no thread is inside the engine. */
void mqxi_queue_put(struct mqxi_queue *q);

#endif
