/* Signals that come while a blocked call is awake for a moment must not be slept through. */
#ifndef MQXI_SIGNALS_H
#define MQXI_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* Hold back the signals that may interrupt a call.  Returns the mask to give to release. */
uint64_t mqxi_signals_hold(void);

/* Let them come.  True: one did that has a handler, without SA_RESTART where the call restarts after
 * those that have it, so that the call which was blocked here has to end with EINTR. */
bool mqxi_signals_release(uint64_t mask, bool restarts);

/*
 * Nothing tells that a handler ran in the moment in which a sleep ended by itself: except
 * for the most usual one, of a program that ends its waiting with alarm() or setitimer().
 * Begin with left zero; ask with signals held, before each sleep and after.  True: it rang since
 * it was last asked about, which interrupts.  Only in a process of one thread: of several,
 * another may have taken the signal.
 */
struct mqxi_alarm {
    uint64_t left; /* microseconds; 0: none is set, or it does not interrupt */
    bool restarts; /* the call, after handlers with SA_RESTART */
};
bool mqxi_alarm_rang(struct mqxi_alarm *alarm);

#endif
