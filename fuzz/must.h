/* What fuzz targets check by, but those that damage segments (damage_must in damage.h). */
#ifndef FUZZ_MUST_H
#define FUZZ_MUST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void must(int ok, const char *what, long got)
{
    if (ok)
        return;
    dprintf(STDERR_FILENO, "%s: %s: %ld\n", program_invocation_short_name, what, got);
    abort();
}

#endif
