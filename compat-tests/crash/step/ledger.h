/*
 * What must be in the queue: every message of the harness, with what became of
 * it.  Each receive is checked at once: it must give the first message, and may
 * say "empty" only when none is left that nobody holds.
 */
#ifndef STEP_LEDGER_H
#define STEP_LEDGER_H

#include "actors.h"

#define LEDGER_PRIOS 4 /* the harness sends with 0..3 */
/* What the dead held must be back by then: soon, but for a busy machine. */
#define WAIT_NS UINT64_C(45000000000)

/* Something is wrong.  Printed with what is looked at just now. */
__attribute__((format(printf, 1, 2))) void fault(const char *format, ...);
extern char fault_context[300];
extern uint64_t faults;

/* A new round: the queue is empty. */
void ledger_begin(mqd_t hasty, mqd_t patient, size_t len);
void ledger_actor(struct actor *a);
/* The first message may from now on be held by an actor, and come at any time. */
void ledger_loosen_first(void);

/* True: it was sent.  What is not accepted is full (-EAGAIN, ETIMEDOUT). */
bool ledger_send(unsigned prio);
/* The same where there may be no memory for one more. */
bool ledger_send_without_memory(unsigned prio);
/* The first message is received; false: empty. */
bool ledger_receive(void);
/* The same with a deadline that has passed: these look for the dead before they give up. */
bool ledger_send_late(unsigned prio);
bool ledger_receive_late(void);
/* The longest that any of these calls took, ns. */
uint64_t ledger_longest(void);
/* Nothing can be put. */
void ledger_check_full(void);
/* The call of this actor returned: does its result fit, and what did it take? */
void ledger_returned(struct actor *a);

/* Messages that have not come, and that nobody took along who died. */
uint64_t ledger_lost(void);
/* So many messages are said to be in the queue: nobody is in the middle of anything. */
void ledger_check_count(long count);
/* The end of a round: the queue is empty, every message came once. */
void ledger_settle(void);

#endif
