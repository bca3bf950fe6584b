/* Which stores of the engine were visited, in which operations, and which not. */
#ifndef STEP_COVERAGE_H
#define STEP_COVERAGE_H

#include "scenarios.h"

/* What is stepped through from now on: a row of the table of operations. */
void coverage_begin(const char *operation, const struct scenario *sc);
/* The call ran like this: all of it is to be visited. */
void coverage_expect(const struct trace *trace);
/* A process was killed, or stopped, right after this. */
void coverage_note(const struct point *last, bool killed);
/* Has nobody yet been killed, or stopped, right after this in this operation? */
bool coverage_lacks(const struct point *point, bool killed);
/* Print the tables.  False: something was not visited that must be. */
bool coverage_print(void);

#endif
