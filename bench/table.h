/* Rows of two times and their ratio: the median of couples of runs that were taken in turn. */
#ifndef BENCH_TABLE_H
#define BENCH_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define ROUNDS_MAX 999

struct result {
    const char *name, *place;
    const char *first_name; /* in the JSON, of what mqx is compared with */
    int maxmsg;
    double first[ROUNDS_MAX], mqx[ROUNDS_MAX], ratio[ROUNDS_MAX]; /* ns, ns; sorted by table_row */
    bool at_least;                                                /* or at most */
    double target;                                                /* 0: none */
};

extern FILE *table_json; /* NULL: none wanted */
extern int table_rows, table_short;

/* Sorts. */
double table_median(double *values, int count);
/* Print medians of both and of their ratio, its range (but for the outermost twentieths) and
 * whether it reaches the target. */
void table_row(struct result *r, int rounds);

#endif
