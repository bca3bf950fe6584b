/*
 * Each line is one write, so that lines of several processes do not mix.  Names
 * of queues, which may have any bytes, are in them: control characters become
 * '?', so that nobody can write lines of his own, or to a terminal.
 */
#include "log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

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
    mqxi_text_clean(line);
    n = (int)strlen(line);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody left to tell */
}

static void on_crash(int signal)
{
    static const char text[] =
        "mqxd: crashed.  Either that is a fault of mqxd, then please report it, or the store's "
        "data.mdb was damaged while it was in use: start mqxd again, it looks at all of it first\n";

    struct sigaction action = {.sa_handler = SIG_DFL};

    sigaction(signal, &action, NULL);
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
        return;
    raise(signal);
}

void say_crashes(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = on_crash}, before;

    for (unsigned i = 0; i < sizeof(signals) / sizeof(*signals); i++)
        if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(signals[i], &action, NULL); /* else: a sanitizer will say more */
}
