/* A scenario, again and again: each time a process is killed or stopped at another instruction. */
#ifndef STEP_ROUNDS_H
#define STEP_ROUNDS_H

#include "scenarios.h"

enum mode {
    KILLED,
    /* Stopped, and meanwhile ... */
    REFILLED, /* the queue was emptied, filled, emptied, and has new messages */
    ADDED,    /* more was sent, and nobody noticed that anything was wrong */
    CHANGED,  /* it was emptied, or at every other position, filled */
    TURNED,   /* all messages were replaced, and it was never empty, nor full */
    MODES
};

struct tally {
    uint64_t killed, stopped, instructions;
};

/* What others can see is a small part of the instructions: looked at more often. */
uint64_t effects_stride(uint64_t stride);

void rounds_init(bool kernel);
/* stride: look at every Nth position only, the first by chance.  False: the kernel's queues cannot
 * do this. */
bool rounds_run(const struct scenario *scenario, uint64_t stride, uint64_t *chance,
                struct tally *tally);

#endif
