/* What the parts of mqxd that look at stores have to say, in a command. */
#include <stdarg.h>
#include <stdio.h>

#include "../mqxd/log.h"
#include "cli.h"
#include "text.h"

void say(const char *format, ...)
{
    char line[2 * PATH_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    mqxi_text_clean(line);
    fprintf(stderr, "mqx: %s\n", line);
}
