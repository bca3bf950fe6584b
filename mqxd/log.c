/* Each line is one write, so that lines of several processes do not mix. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void say(const char *format, ...)
{
    char line[1000] = "mqxd: ";
    const int start = 6, room = (int)sizeof(line) - start - 1;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line + start, (size_t)room, format, args);
    va_end(args);
    if (n < 0)
        return;
    n = start + (n < room ? n : room - 1);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody left to tell */
}
