/* What the files of the storm on System V queues share. */
#ifndef SYSV_STORM_H
#define SYSV_STORM_H

#include "../storm.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#define QUEUES      2
#define WORKERS     12              /* half of them send */
#define MAIN(w)     (w)             /* a worker's logs: of the program itself, */
#define HANDLER(w)  (WORKERS + (w)) /* and of the handler that interrupts it */
#define HARNESS     (2 * WORKERS)   /* the harness receives what is left */
#define SOURCES     (2 * WORKERS + 1)
#define CAPACITY    (UINT64_C(1) << 21) /* messages of a source in a round */
#define TYPES       7
#define MSG_MAX     1000
#define ROOM        4000ul /* msg_qbytes */
#define ROUND_KILLS 300u
#define ROUND_STOPS 200u
#define REPAIR_NS   UINT64_C(15000000000) /* what the dead held must be back by then */

struct message {
    long type;
    char room[MSG_MAX];
};

/* What a program, or its handler, logs.  The harness reads it when the process is dead. */
struct log {
    _Alignas(128) _Atomic uint64_t progress;     /* calls that succeeded */
    _Atomic uint64_t attempt, sent;              /* numbers below these were attempted, sent */
    _Atomic uint64_t intent, returned, recorded; /* receives begun, returned, journaled */
    _Atomic uint64_t hits, interrupted;          /* handlers amid calls, EINTR */
    _Alignas(128) struct message message;
    uint64_t journal[CAPACITY]; /* sender << 48 | number of what was received */
};

struct shared {
    _Atomic uint32_t stop_senders, stop_receivers;
    _Atomic uint64_t damaged;
    int queues[QUEUES];
    struct log log[SOURCES];
    uint8_t maybe[SOURCES][CAPACITY]; /* of the harness: MAYBE_... */
};

#define MAYBE_SENT  1
#define MAYBE_TAKEN 2

struct place { /* one worker's place, which several processes fill one after the other */
    unsigned queue;
    bool sends, immortal;
    pid_t pid; /* 0: nobody */
};

struct found {
    uint64_t killed, stopped, in_send, in_receive, messages;
    uint64_t unsent, twice, damaged, disorder, longest_ns;
    bool hung;
};

extern uint64_t msgsize, users;
extern struct shared *shared;
extern struct place place[WORKERS];
extern int queues[QUEUES];
extern uint32_t round_number;
extern struct found found;

static inline long type_of(const struct storm_msg *msg)
{
    return 1 + (long)(storm_hash(msg) >> 40) % TYPES;
}

/* A handler sends to any queue.  Which one follows from the message: order is that of a queue. */
static inline unsigned queue_of(const struct storm_msg *msg)
{
    return msg->sender < WORKERS ? place[msg->sender].queue
                                 : (unsigned)(storm_hash(msg) >> 20) % QUEUES;
}

/* worker.c: be the worker of this place, until it is over. */
_Noreturn void work(unsigned index, uint64_t luck);

/* books.c: is this a message of this round, as its sender made it? */
bool whole(const struct message *m, ssize_t len);
void journal(struct log *log, const struct storm_msg *msg);
/* What the log of a dead source leaves open. */
void settle(unsigned source);
/* Reads all journals: messages that were sent for sure, not taken by a dead receiver, and never
 * received.  Counts what was found otherwise anew. */
uint64_t missing(bool print);

#endif
