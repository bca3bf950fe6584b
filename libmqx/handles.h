/* This process's message queue descriptors: which descriptor stands for which queue. */
#ifndef MQXI_HANDLES_H
#define MQXI_HANDLES_H

#include "queue.h"

/* Access to a queue through a descriptor. */
#define MQXI_READ  1u
#define MQXI_WRITE 2u

/* Make sure that a descriptor can stand for a queue: 0, -EMFILE, -ENOMEM. */
int mqxi_handle_prepare(int fd);
/* Did this process ever have one?  For calls that every program makes. */
extern atomic_bool mqxi_handles_used;

/* fd now stands for q (takes over the caller's reference), with this access. */
int mqxi_handle_set(int fd, struct mqxi_queue *q, unsigned access);
/* fd stands for another user's queue, which is used through its file (remote.h). */
int mqxi_handle_set_remote(int fd, unsigned access);
/* Look fd up; between mqxi_op_enter and leave.  -EBADF; -EREMOTE, with *access: such a queue. */
int mqxi_handle_get(int fd, struct mqxi_queue **q, unsigned *access);
/* A queue that a descriptor stands for, with this FIFO; between mqxi_op_enter and leave.  NULL:
 * none. */
struct mqxi_queue *mqxi_handle_find(uint64_t fifo);
/* Where the next read of the descriptor as a file begins (0 to MQXI_POSITIONS - 1), and setting
 * that: -EBADF. */
#define MQXI_POSITIONS 128u
int mqxi_handle_position(int fd);
int mqxi_handle_seek(int fd, unsigned position);
/* The smallest descriptor from fd to last that stands for a queue, or -1. */
int mqxi_handle_next(unsigned fd, unsigned last);
/* fd stands for nothing from now on: drops the reference.  -EBADF. */
int mqxi_handle_clear(int fd);

#endif
