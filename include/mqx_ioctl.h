/*
 * mqx: requests to an open file of mqxfs, by ioctl(2), for programs that read and write queues as
 * files and care for priorities.  Nothing of libmqx is needed.  See mqxfs(1).
 *
 * They fail as read and write do, and with EBADF where the file is not open for that.  They hold no
 * lock of the kernel's: threads that share a descriptor do not wait for each other.
 */
#ifndef MQX_IOCTL_H
#define MQX_IOCTL_H

#include <stdint.h>
#include <sys/ioctl.h>

/* A uint32_t: what is written to this open file from now on has this priority, 0 to 32767. */
#define MQX_SET_PRIORITY _IOW('q', 1, uint32_t)
/* A uint32_t: the priority of the message that was read from it last.  ENODATA: none was. */
#define MQX_GET_PRIORITY _IOR('q', 2, uint32_t)

/* A message with its priority.  Its bytes follow at once: struct { struct mqx_message head; char
 * bytes[100]; } has room for 100. */
struct mqx_message {
    uint32_t priority;
    uint32_t size;  /* bytes of the message; to receive: for which there is room */
    uint32_t flags; /* MQX_NOWAIT or 0 */
    uint32_t reserved;
};

/* Do not wait: EAGAIN.  So it is also where the file was opened with O_NONBLOCK; that fcntl has set
 * it since is not known here. */
#define MQX_NOWAIT 1u

/* The requests say how much that is, for n bytes: at most MQX_MESSAGE_MOST. */
#define MQX_MESSAGE_SIZE(n) (sizeof(struct mqx_message) + (n))
#define MQX_MESSAGE_MOST    (16383u - sizeof(struct mqx_message))
/* Send it.  EINVAL: no such priority; EMSGSIZE: larger than the queue's messages. */
#define MQX_SEND(n) _IOC(_IOC_WRITE, 'q', 3, MQX_MESSAGE_SIZE(n))
/* Receive the next one into it.  EMSGSIZE: there is less room than it needs; it stays. */
#define MQX_RECEIVE(n) _IOC(_IOC_WRITE | _IOC_READ, 'q', 4, MQX_MESSAGE_SIZE(n))

#endif
