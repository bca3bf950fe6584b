/* Signals that come while a blocked call is awake for a moment must not be slept through. */
#ifndef MQXI_SIGNALS_H
#define MQXI_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

/* Hold back the signals that may interrupt a call.  Returns the mask to give to release. */
uint64_t mqxi_signals_hold(void);

/* Let them come.  True: one did that has a handler without SA_RESTART, so that the call which was
 * blocked here has to end with EINTR. */
bool mqxi_signals_release(uint64_t mask);

#endif
