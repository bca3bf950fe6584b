/* What the files of the kill storm share. */
#ifndef KILL_H
#define KILL_H

#include "../storm.h"

#define QUEUES      2
#define SIDE        3 /* senders, and receivers, of a queue */
#define MIXED       2 /* send and receive, on all queues */
#define WORKERS     (QUEUES * 2 * SIDE + MIXED)
#define PARENT      WORKERS             /* the harness sends, too */
#define CAPACITY    (UINT64_C(1) << 25) /* messages of one sender in one round */
#define JOURNAL     16384u              /* receives that the harness may lag behind */
#define ROUND_KILLS 1500u               /* a round's log holds that many kills' messages */
#define PRIORITIES  5
#define REPAIR_NS   UINT64_C(15000000000) /* what the dead held must be back by then */
#define MAYBE_SENT  0x40
#define MAYBE_TAKEN 0x80
#define TIMES       0x0f

enum role { SENDER, RECEIVER, BOTH };
enum bias { EVEN, FILL, DRAIN, BIASES };

/* What a worker logs; the harness reads it when the worker is dead. */
struct worker {
    _Alignas(128) _Atomic uint64_t progress; /* calls that succeeded, or came back as they should */
    _Atomic uint64_t attempt, sent;          /* numbers below these were attempted, sent */
    _Atomic uint64_t intent, returned, recorded; /* receives begun, returned, journaled */
    _Atomic uint64_t consumed;                   /* journal entries the harness has read */
    uint64_t journal[JOURNAL];                   /* sender << 48 | number */
    _Alignas(128) uint8_t buffer[STORM_MSG_MAX];
};

struct shared {
    _Atomic uint32_t stop_senders, stop_receivers;
    _Atomic uint32_t bias[QUEUES];
    _Atomic uint64_t damaged; /* messages that did not verify */
    struct worker worker[WORKERS + 1];
};

struct place { /* one worker's place, which several processes fill one after the other */
    enum role role;
    unsigned queue;
    bool immortal;
    pid_t pid;            /* 0: nobody */
    uint64_t seen, since; /* progress, and when it last changed */
};

/* What a round found. */
struct found {
    uint64_t killed, in_send, in_receive, messages, maybe_sent, maybe_taken;
    uint64_t unsent, twice, lost, damaged, longest_ns;
    bool hung;
};

extern uint64_t maxmsg, msgsize, mixed, users;
extern bool kernel;
extern struct shared *shared;
extern uint8_t *ledger[WORKERS + 1]; /* per message: how often received, and maybes */
extern struct place place[WORKERS];
extern mqd_t blocking[QUEUES], nonblocking[QUEUES];
extern char names[QUEUES][64];
extern uint32_t round_number;
extern struct found found;

/* worker.c: be the worker of this place, until it is over. */
_Noreturn void work(unsigned index, uint64_t luck);
/* Send a message of the harness's own.  False: full. */
bool parent_send(unsigned q);

/* books.c: a message was received. */
void account(uint32_t sender, uint64_t number);
/* Read what the workers have journaled. */
void pump(void);
/* What a killed worker's log leaves open. */
void settle(unsigned w);
/* Messages that were sent for sure, not taken by a dead receiver, and never received. */
uint64_t missing(bool print);

#endif
