/* One line of a terminal, written again and again, but no more than a few times a second; and
 * nothing where stderr is none: there each line stays. */
#include "progress.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "mirror.h"

#define STEPS    4096u /* between looks at the clock */
#define PAUSE_NS UINT64_C(250000000)

static uint64_t steps, shown_at;
static bool shown;

void progress_step(void)
{
    uint64_t now;

    if (++steps % STEPS != 0 || !isatty(STDERR_FILENO))
        return;
    now = mirror_now();
    if (shown_at && now - shown_at < PAUSE_NS)
        return;
    fprintf(stderr, "\rmqxd: restoring, messages: %" PRIu64, steps);
    fflush(stderr);
    shown_at = now;
    shown = true;
}

void progress_clear(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}
