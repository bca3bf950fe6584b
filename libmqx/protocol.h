/*
 * What libmqx and mqxfs say to each other about another user's queue: ioctls on
 * the open file of the queue in the mount, which are requests to mqxfs.  They
 * fail as system calls do.  None of them waits, but for SEND to a queue that is
 * durable (sync).
 *
 * Of a System V queue the file is .sysv/@ID or .sysv/@0xKEY, which anybody may open:
 * who may do what is decided at each request, as by the kernel at each call.
 *
 * ioctls rather than reads and writes: they hold no lock of the kernel's, need no
 * file offset, and are not limited by RLIMIT_FSIZE.
 */
#ifndef MQXI_PROTOCOL_H
#define MQXI_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "msq_state.h"

/* The size of what is passed is part of the request; the kernel allows less than 16 KiB. */
#define MQXI_ASK(number, size)  _IOC(_IOC_WRITE | _IOC_READ, 'q', number, size)
#define MQXI_TELL(number, size) _IOC(_IOC_WRITE, 'q', number, size)
#define MQXI_REMOTE_CHUNK       16000u /* bytes of a large message in one request */
#define MQXI_REMOTE_INLINE      1000u  /* of a small one, beside its description */

enum mqxi_request {
    MQXI_STATE = 0x60, /* ask: struct mqxi_remote_state */
    MQXI_STAGE,        /* tell: struct mqxi_remote_stage; the next part of a large message */
    MQXI_SEND,         /* tell: struct mqxi_remote_send; of a large one, all that was staged */
    MQXI_RECEIVE,      /* ask: struct mqxi_remote_receive; it is ours until ACCEPT, or we die */
    MQXI_MORE,         /* ask: struct mqxi_remote_more, which is replaced by bytes */
    MQXI_ACCEPT,       /* tell: uint64_t, the ticket: it has arrived */
    MQXI_BELL,         /* tell: struct mqxi_remote_bell */
    MQXI_WAIT,         /* tell: struct mqxi_remote_wait; ring once when it is ready.  ENOENT: there
                          is no such bell (any more) */
    MQXI_UNWAIT,       /* tell: the same; never mind */
    MQXI_NOTIFY,       /* tell: struct mqxi_remote_notify */
    MQXI_CONTROL,      /* ask: struct mqxi_remote_control; of a System V queue */
    MQXI_REJECT,       /* tell: uint64_t, the ticket: it goes back */
};

#define MQXI_REMOTE_MAGIC UINT64_C(0x3378716d65746f72) /* changes with anything in here */

struct mqxi_remote_state {
    uint64_t magic;
    uint64_t dev, ino; /* of the segment: which queue this is */
    uint32_t maxmsg, msgsize, curmsgs, reserved;
    uint64_t bytes;
};

/* Who the caller says it is; believed only where the kernel says the same. */
struct mqxi_remote_caller {
    uint32_t pid, uid; /* process; real user id */
};

struct mqxi_remote_stage {
    uint32_t len, offset; /* of the whole message; of this part */
    uint8_t data[MQXI_REMOTE_CHUNK];
};

/* With every request on a System V queue: which, since the descriptor may be another's by now, and
 * it is not for mq_send.  Other requests have all of it zero. */
struct mqxi_remote_sysv {
    int64_t type; /* msgsnd's or msgrcv's */
    int32_t id;
    uint32_t flags;
};
#define MQXI_SYSV_CALL    1u
#define MQXI_SYSV_EXCEPT  2u /* MSG_EXCEPT, MSG_NOERROR, MSG_COPY */
#define MQXI_SYSV_CUT     4u
#define MQXI_SYSV_COPY    8u
#define MQXI_SYSV_NOWHERE 16u /* EFAULT, if there is a message */

struct mqxi_remote_send {
    struct mqxi_remote_caller caller;
    int64_t deadline_sec; /* CLOCK_REALTIME; 0: none.  For the disk: it waits for nothing else */
    uint32_t deadline_nsec, nonblock;
    struct mqxi_remote_sysv sysv;
    uint32_t prio, len;
    uint8_t data[MQXI_REMOTE_INLINE]; /* where len is larger: none */
};

struct mqxi_remote_receive {
    struct mqxi_remote_caller caller;
    struct mqxi_remote_sysv sysv; /* answered: with the message's type */
    uint64_t ticket;
    uint32_t len; /* asked: the caller's room; answered: the message's */
    uint32_t prio;
    uint8_t data[MQXI_REMOTE_INLINE]; /* its first bytes */
};

struct mqxi_remote_more {
    uint64_t ticket, offset;
};

/*
 * A page of event words (wait.h) that a process maps, in a file of its own in
 * the tmp directory, which it removes once mqxfs has it.  mqxfs bumps a word and
 * wakes who sleeps on it.
 */
#define MQXI_BELL_PREFIX "bell-"
#define MQXI_BELL_WORDS  1024u
struct mqxi_remote_bell {
    struct mqxi_remote_caller caller;
    char name[48];
};

#define MQXI_FOR_MESSAGE 0u
#define MQXI_FOR_ROOM    1u
struct mqxi_remote_wait {
    uint64_t bell; /* inode number of its file */
    uint32_t word, direction;
    struct mqxi_remote_sysv sysv;
    uint32_t len, reserved; /* of what waits to be sent */
};

enum mqxi_remote_kind {
    MQXI_NOTIFY_NEVER, /* SIGEV_NONE */
    MQXI_NOTIFY_SIGNAL,
    MQXI_NOTIFY_RING,   /* the word of the bell */
    MQXI_NOTIFY_REMOVE, /* the caller's registration, if it has one */
};
struct mqxi_remote_notify {
    struct mqxi_remote_caller caller;
    uint64_t value; /* sigev_value */
    uint64_t bell;
    uint32_t word;
    uint32_t kind, signo, reserved;
};

enum mqxi_remote_command {
    MQXI_MSGGET, /* with its flags; IPC_CREAT and IPC_EXCL are not looked at */
    MQXI_IPC_STAT,
    MQXI_STAT_ANY,
    MQXI_COUNT, /* the same */
    MQXI_IPC_SET,
    MQXI_IPC_RMID,
    MQXI_ANYTHING, /* may the caller read, write or execute? */
};
struct mqxi_remote_control {
    struct mqxi_remote_sysv sysv;
    uint32_t command, flags;
    struct mqxi_msq_state state;
};

_Static_assert(sizeof(struct mqxi_remote_stage) < 1 << 14, "an ioctl's size has 14 bits");

#endif
