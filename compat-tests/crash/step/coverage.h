/* Which stores of the engine were visited, and which not. */
#ifndef STEP_COVERAGE_H
#define STEP_COVERAGE_H

#include "trace.h"

/* A process was killed, or stopped, right after this. */
void coverage_note(const struct point *last, bool killed);
/* Print the table.  False: something was not visited that must be.  whole: this was a full round,
 * and what is missing is named. */
bool coverage_print(bool whole);

#endif
