/* Reading the command line: numbers, modes, times and queue names. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "anyname.h"
#include "cli.h"
#include "names.h"

void usage_exit(const char *command)
{
    fprintf(stderr, "mqx: %s: see 'mqx %s --help'\n", command, command);
    exit(EXIT_USAGE);
}

static void bad(const char *command, const char *option, const char *text, const char *want)
{
    char what[PATH_MAX];

    snprintf(what, sizeof(what), "%s '%s'", option, text);
    fail_because(command, what, "%s", want);
    exit(EXIT_USAGE);
}

uint32_t arg_number(const char *command, const char *option, const char *text, uint32_t min,
                    uint32_t max)
{
    char *end, want[64];
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || n < min || n > max) {
        snprintf(want, sizeof(want), "must be a number from %u to %u", min, max);
        bad(command, option, text, want);
    }
    return (uint32_t)n;
}

long arg_type(const char *command, const char *text, long least)
{
    char *end, want[80];
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < least) {
        snprintf(want, sizeof(want), "must be a number from %ld to %ld", least, LONG_MAX);
        bad(command, "--type", text, want);
    }
    return n;
}

uint32_t arg_mode(const char *command, const char *text)
{
    char *end;
    unsigned long mode = strtoul(text, &end, 8);

    if (end == text || *end || mode > 0777)
        bad(command, "--mode", text, "must be octal permission bits, such as 0640");
    return (uint32_t)mode;
}

uint32_t arg_durable(const char *command, const char *text)
{
    for (uint32_t i = MQXI_DURABLE_OFF; i <= MQXI_DURABLE_SYNC; i++)
        if (strcmp(text, durable_name(i)) == 0)
            return i;
    bad(command, "--durable", text, "must be off, async or sync");
    return 0;
}

struct timespec arg_deadline(const char *command, const char *text)
{
    struct timespec now;
    char *end;
    double seconds = strtod(text, &end), whole;

    /* The upper bound is a century: it keeps the sum below the end of time_t. */
    if (end == text || *end || !(seconds >= 0 && seconds <= 3.2e9))
        bad(command, "--timeout", text, "must be seconds, such as 5 or 0.25");
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_nsec += (long)(modf(seconds, &whole) * 1e9);
    now.tv_sec += (time_t)whole + now.tv_nsec / 1000000000;
    now.tv_nsec %= 1000000000;
    return now;
}

bool arg_is_sysv(const char *command, const char *name, bool type, bool priority)
{
    bool sysv = mqxi_name_is_sysv(name + 1);

    if (sysv && priority)
        bad(command, "--priority", name, "a System V queue has none; see --type");
    if (!sysv && type)
        bad(command, "--type", name, "only messages of System V queues have types");
    return sysv;
}

long arg_type_of(const char *command, const char *name, long said, long least)
{
    char text[24];
    long type;
    int id;

    if (mqxi_name_sysv(name + 1, &id, &type) < 0 || type == 0)
        return said;
    if (said)
        bad(command, "--type", name, "its name says which type");
    snprintf(text, sizeof(text), "%ld", type);
    return arg_type(command, text, least);
}

const char *arg_queue(const char *command, const char *text)
{
    static char name[NAME_MAX + 2];
    const char *bare = text + (text[0] == '/');
    const char *checked;
    int n = snprintf(name, sizeof(name), "/%s", bare);

    if (n >= 0 && (size_t)n < sizeof(name) && mqxi_name_is_sysv(name + 1))
        return name;
    if (n < 0 || (size_t)n >= sizeof(name) || mqxi_name_check(name, &checked) < 0)
        bad(command, "queue", text,
            "a queue's name has 1 to 255 bytes, no '/' but an optional first one, "
            "and is not '.' or '..'");
    return name;
}
