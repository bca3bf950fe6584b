/*
 * Each line is one write, so that lines of several processes do not mix.  Names
 * of queues, which may have any bytes, are in them: control characters become
 * '?', so that nobody can write lines of his own, or to a terminal.
 *
 * To the journal, a line has its level before it, as sd-daemon(3) has it, which
 * the journal takes off.
 */
#include "log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

#define LONGEST 1000

static bool logfmt;
static struct {
    char text[300];
    uint64_t when;
} last;

void say_logfmt(void)
{
    logfmt = true;
}

const char *say_last(uint64_t *when)
{
    *when = last.when;
    return last.text;
}

static void keep(const char *text)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    last.when = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    snprintf(last.text, sizeof(last.text), "%.299s", text);
}

/* Is stderr the journal's? */
static bool to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

/* In quotes. */
static void quote(FILE *out, const char *key, const char *slash, const char *text)
{
    fprintf(out, " %s=\"%s", key, slash);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

static void write_line(enum say_level level, const char *event, const char *queue, const char *text)
{
    static const char *const levels[] = {"", "", "", "error", "warning", "notice", "info"};
    char line[4 * LONGEST];
    FILE *out = fmemopen(line, sizeof(line), "w");
    long n;

    if (!out)
        return;
    if (to_journal())
        fprintf(out, "<%d>", (int)level);
    if (logfmt) {
        fprintf(out, "level=%s event=%s", levels[level], event);
        if (queue)
            quote(out, "queue", "/", queue);
        quote(out, "message", "", text);
    } else {
        fprintf(out, "mqxd: %s", text);
    }
    fputc('\n', out);
    n = ftell(out);
    fclose(out);
    if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
        return; /* nobody left to tell */
}

static void say_args(enum say_level level, const char *event, const char *queue, const char *format,
                     va_list args)
{
    char text[LONGEST], clean[300];

    if (vsnprintf(text, sizeof(text), format, args) < 0)
        return;
    mqxi_text_clean(text);
    if (queue)
        snprintf(clean, sizeof(clean), "%s", queue);
    if (queue)
        mqxi_text_clean(clean);
    if (level <= SAY_WARNING)
        keep(text);
    write_line(level, event, queue ? clean : NULL, text);
}

void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_args(SAY_WARNING, "problem", NULL, format, args);
    va_end(args);
}

void say_event(enum say_level level, const char *event, const char *queue, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    say_args(level, event, queue, format, args);
    va_end(args);
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
