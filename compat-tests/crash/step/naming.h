/* mq_open that creates a queue, and mq_unlink: their name is there or not, and what it names is
 * whole. */
#ifndef STEP_NAMING_H
#define STEP_NAMING_H

#include "sweep.h"

/* Before this process has used a queue: a process that is the first to use $MQX_DIR. */
void naming_first(uint64_t stride, uint64_t *chance, struct tally *tally);
/* act: CREATE or UNLINK; policy: a word in the queue's name, for the configuration. */
void naming_run(enum act act, const char *policy, uint64_t stride, uint64_t *chance,
                struct tally *tally);
/* A folder and all that is in it. */
void remove_tree(const char *path);

#endif
