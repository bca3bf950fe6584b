/* The helper thread of a process that is registered with mq_notify, while it delivers. */
#ifndef STEP_DELIVERY_H
#define STEP_DELIVERY_H

#include "sweep.h"

void delivery_run(uint64_t stride, uint64_t *chance, struct tally *tally);

#endif
