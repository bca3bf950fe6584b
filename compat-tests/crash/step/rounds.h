/* One round: a process is killed or stopped at one instruction of its call. */
#ifndef STEP_ROUNDS_H
#define STEP_ROUNDS_H

#include "scenarios.h"

enum mode {
    KILLED,
    /* Stopped, and meanwhile ... */
    REFILLED, /* the queue was emptied, filled, emptied, and has new messages */
    ADDED,    /* more was sent, and nobody noticed that anything was wrong */
    CHANGED,  /* it was emptied, or at every other position, filled */
    TURNED,   /* all messages, or the first, were replaced, and it was never empty, nor full */
    MODES
};

struct stand {
    const struct trace *former; /* of who came before, if somebody did */
    size_t left;                /* where that one was killed or stopped */
    const struct trace *trace;
    size_t position;
    enum mode mode;
    bool brisk; /* do not wait for sleepers to find out by themselves */
};
#define ASLEEP SIZE_MAX /* position: in the sleep */

void rounds_init(bool kernel);
/* The queue of a scenario.  False: the kernel's queues cannot be like this. */
bool round_open(const struct scenario *scenario);
void round_close(void);
/* The whole call, undisturbed, and what comes after it. */
void round_record(const struct stand *stand, struct trace *trace);
void round_record_former(struct trace *trace);
void round_play(const struct stand *stand);
/* Does a call wake who sleeps, or do sleepers only find out by themselves? */
void round_check_prompt(void);

#endif
