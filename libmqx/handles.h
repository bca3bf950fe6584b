/* This process's message queue descriptors: which descriptor stands for which queue. */
#ifndef MQXI_HANDLES_H
#define MQXI_HANDLES_H

#include "queue.h"

/* Access to a queue through a descriptor. */
#define MQXI_READ  1u
#define MQXI_WRITE 2u

/* fd now stands for q (takes over the caller's reference), with this access. */
int mqxi_handle_set(int fd, struct mqxi_queue *q, unsigned access);
/* Look fd up; between mqxi_op_enter and leave.  -EBADF. */
int mqxi_handle_get(int fd, struct mqxi_queue **q, unsigned *access);
/* fd stands for nothing from now on: drops the reference.  -EBADF. */
int mqxi_handle_clear(int fd);

#endif
