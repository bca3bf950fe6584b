/* One line a row, and the same as JSON. */
#include "table.h"

#include <stdlib.h>

FILE *table_json;
int table_rows, table_short;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double table_median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

void table_row(struct result *r, int rounds)
{
    double first = table_median(r->first, rounds), mqx = table_median(r->mqx, rounds);
    double ratio = table_median(r->ratio, rounds);
    double least = r->ratio[rounds / 20], most = r->ratio[rounds - 1 - rounds / 20];
    bool ok = r->at_least ? ratio >= r->target : ratio <= r->target;

    printf("%-13s %7d  %-10s %9.1f %9.1f %8.2fx  %6.2f..%-6.2f", r->name, r->maxmsg, r->place,
           first, mqx, ratio, least, most);
    if (r->target > 0)
        printf("  %s %.*fx  %s", r->at_least ? ">=" : "<=", r->at_least ? 1 : 2, r->target,
               ok ? "ok" : "short");
    printf("\n");
    fflush(stdout);
    if (table_json) {
        fprintf(table_json,
                "%s\n    {\"name\": \"%s\", \"maxmsg\": %d, \"placement\": \"%s\", \"%s\": %.2f, "
                "\"mqx_ns\": %.2f, \"ratio\": %.3f, \"ratio_min\": %.3f, \"ratio_max\": %.3f",
                table_rows ? "," : "", r->name, r->maxmsg, r->place, r->first_name, first, mqx,
                ratio, least, most);
        if (r->target > 0)
            fprintf(table_json, ", \"%s\": %.2f, \"ok\": %s", r->at_least ? "at_least" : "at_most",
                    r->target, ok ? "true" : "false");
        fprintf(table_json, "}");
    }
    table_rows++;
    table_short += r->target > 0 && !ok;
}
