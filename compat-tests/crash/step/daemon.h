/* mqxd, for queues that are durable. */
#ifndef STEP_DAEMON_H
#define STEP_DAEMON_H

/* A System V queue's, which is durable. */
#define DURABLE_KEY 0x73746571

/* Writes a configuration by which it and queues named "storm-step-async*" and "-sync*" are durable:
 * before any queue is used.  NULL, or why there will be none. */
const char *daemon_configure(void);
/* NULL: it serves; or why not. */
const char *daemon_start(void);
void daemon_stop(void);

#endif
