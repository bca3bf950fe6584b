/*
 * A queue as this process sees it: its mapping of the segment and a private
 * copy of everything about it that must not be trusted from shared memory.
 */
#ifndef MQXI_QUEUE_H
#define MQXI_QUEUE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "layout.h"

/* Attempts before a segment is taken for damaged: in a damaged or hostile one something may look as
 * if it changed all the time; nobody else's progress makes us fail this often in a row. */
#ifdef FUZZING /* the fuzzer has less patience */
#define MQXI_TRIES 100
#else
#define MQXI_TRIES 100000
#endif

struct mqxi_queue {
    struct mqxi_header *header; /* start of the mapping */
    _Atomic uint64_t *ctl, *used, *dirty;
    uint8_t *slots, *overflow;
    _Atomic int64_t *types; /* System V: each slot's message type; else NULL */
    struct mqxi_layout layout;
    uint64_t ino;       /* of the segment file: which queue this is */
    uint64_t fifo_name; /* header->fifo, at attach */
    uid_t uid;    /* owner and group of the segment file, at attach */
    gid_t gid;
    uint32_t registry;        /* of client numbers */
    int id;                   /* System V: msqid */
    _Atomic uint32_t rights;  /* sysv.c: what this process may do with it, and for which mode */
    _Atomic uint64_t newest;  /* engine.c: a sequence that was taken; for a quick look */
    _Atomic uint64_t taken;   /* engine.c: key of a message that was the first, and was taken, */
    _Atomic uint32_t after;   /* and a hint: the slot after its */
    _Atomic uint32_t filled;  /* slots.c: hint: the slot of the front that was last claimed */
    _Atomic uint32_t backlog; /* engine.c: messages found in a row, and the queue never empty */
    _Atomic uint32_t freed;   /* engine.c: send_event when the front was last full */
    _Atomic uint32_t skip;    /* engine.c: chances to wait for receivers that are not taken */
    _Atomic uint64_t fifo;    /* inode number of its FIFO, once a descriptor was opened; else 0 */
    _Atomic int fd;           /* hint: a descriptor of that FIFO, if it still is one; else -1 */
    _Atomic bool blocking;    /* posix.c: O_NONBLOCK was clear when last asked for */
    _Atomic uint32_t raising; /* notify_helper.c: signals of mq_notify that it began to send, */
    _Atomic uint32_t raised;  /* and that it has sent: see block.c */
    _Atomic uint32_t refs;    /* descriptors and blocked calls that use this struct */
    _Atomic bool dead;        /* guard.c: the mapping is gone, only -EIO comes from it */
    char name[NAME_MAX + 1];  /* that it was attached by, or given; may be another queue's by now */
    struct mqxi_queue *next;  /* thread.c: list of queues that await their unmapping */
};

static inline struct mqxi_slot *mqxi_slot(const struct mqxi_queue *q, uint32_t slot)
{
    return (struct mqxi_slot *)(q->slots + (uint64_t)slot * q->layout.stride);
}

/*
 * A slot's fields that are looked at, each once, by those who do not own the slot, while its owner
 * may be writing them.  Relaxed: what orders them is the control word.
 */
#define mqxi_slot_see(field)        __atomic_load_n(field, __ATOMIC_RELAXED)
#define mqxi_slot_set(field, value) __atomic_store_n(field, value, __ATOMIC_RELAXED)

/* Where a message of len bytes in this slot lies.  len must have been checked. */
static inline uint8_t *mqxi_payload(const struct mqxi_queue *q, uint32_t slot, uint32_t len)
{
    return len <= q->layout.inlined ? mqxi_slot(q, slot)->data + q->layout.head
                                    : q->overflow + slot * q->layout.room;
}

/* Where its type is: to be looked at and set as those fields. */
static inline int64_t *mqxi_slot_type(const struct mqxi_queue *q, uint32_t slot)
{
    return (int64_t *)(void *)((uint8_t *)mqxi_slot(q, slot) + q->layout.type_at);
}

static inline uint32_t mqxi_key_prio(uint64_t key)
{
    return MQXI_PRIO_MAX - 1 - (uint32_t)(key >> MQXI_SEQ_BITS);
}

/* In a receiver's hands. */
static inline bool mqxi_ctl_taken(uint64_t ctl)
{
    ctl &= ~MQXI_CTL_OWNER;
    return ctl == MQXI_CTL_TAKING || ctl == MQXI_CTL_LEAVING;
}

static inline bool mqxi_ctl_ready(uint64_t ctl)
{
    return ctl != MQXI_CTL_FREE && !(ctl & MQXI_CTL_OWNED);
}

#endif
