/* A scenario, again and again: each time a process is killed or stopped at another instruction. */
#ifndef STEP_SWEEP_H
#define STEP_SWEEP_H

#include "rounds.h"

struct tally {
    uint64_t killed, stopped, instructions;
};

/* stride: look at every Nth position only, the first by chance.  False: the kernel's queues cannot
 * do this. */
bool sweep_run(const struct scenario *scenario, uint64_t stride, uint64_t *chance,
               struct tally *tally);
/* Kill, then stop, after all that others can see: in `one`. */
void sweep_effects(void (*one)(const struct trace *trace, size_t position, bool kills),
                   const struct trace *trace, uint64_t stride, uint64_t *chance,
                   struct tally *tally);
/* What others can see is a small part of the instructions, and looked at more often. */
uint64_t sweep_effects_stride(uint64_t stride);

#endif
