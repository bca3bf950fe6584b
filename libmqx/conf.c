/*
 * mqx.conf: sections are queue name patterns, keys before the first section
 * are for all queues, or mqxd's own.  All sections that match a queue apply, in their order: the
 * last line that sets a key for it wins.  Every line is checked, also those
 * that are for other queues, so that a mistake is found when it is made.
 *
 * inih splits the lines.  It does not tell its handler which line it is called
 * for, cuts section names off at 49 bytes and ends them at the first ']', so
 * lines are counted and section names found where the lines are read.
 */
#include "conf.h"

#include <errno.h>
#include <fnmatch.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"
#include "text.h"

#define DEFAULT_FILE "/etc/mqx/mqx.conf"

struct reading {
    FILE *file;
    int line;          /* the one that was read last */
    char section[256]; /* which it is in; "": before the first */
    int why_line;      /* of the first error that we found; 0: none */
    char why[300];     /* what is wrong there */
    const char *queue;
    bool sysv; /* a System V queue: only sections that say ".sysv" are for it */
    struct mqxi_policy policy;
    struct mqxi_conf_mqxd mqxd;
};

/* Returns 0, which is inih's handler's word for an error. */
__attribute__((format(printf, 2, 3))) static int wrong(struct reading *r, const char *format, ...)
{
    va_list args;

    if (r->why_line)
        return 0;
    r->why_line = r->line;
    va_start(args, format);
    vsnprintf(r->why, sizeof(r->why), format, args);
    va_end(args);
    mqxi_text_clean(r->why); /* it quotes the file */
    return 0;
}

/* The section ends at the first ']' that only a comment follows: "[q[0-9]] ; ten of them". */
static void note_section(struct reading *r, const char *line)
{
    const char *start = line + strspn(line, "\xef\xbb\xbf \t"), *end, *rest;

    if (*start != '[')
        return;
    start += 1 + (start[1] == '/'); /* patterns may have the slash that queue names have, or not */
    for (end = strchr(start, ']'); end; end = strchr(end + 1, ']')) {
        rest = end + 1 + strspn(end + 1, " \t\r\n");
        if (*rest == 0 || *rest == ';' || *rest == '#')
            break;
    }
    if (!end || end == start)
        wrong(r, "a section must be [pattern]");
    else
        snprintf(r->section, sizeof(r->section), "%.*s", (int)(end - start), start);
}

/* inih's reader. */
static char *read_line(char *buffer, int size, void *stream)
{
    struct reading *r = stream;
    /* What is wrong is: no need to look further, in what may have no end. */
    char *line = r->why_line ? NULL : fgets(buffer, size, r->file);

    if (!line)
        return NULL;
    r->line++;
    if (!strchr(line, '\n') && !feof(r->file))
        wrong(r, "the line is longer than %d bytes", size - 2);
    note_section(r, line);
    return line;
}

static int number(struct reading *r, const char *key, const char *text, uint32_t max, uint32_t *out)
{
    char *end;
    unsigned long n;

    errno = 0;
    n = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno || n < 1 || n > max)
        return wrong(r, "%s = %s: must be a number from 1 to %u", key, text, (unsigned)max);
    *out = (uint32_t)n;
    return 1;
}

static int durable(struct reading *r, const char *text, enum mqxi_durable *out)
{
    static const char *const names[] = {"off", "async", "sync"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum mqxi_durable)i;
            return 1;
        }
    return wrong(r, "durable = %s: must be off, async or sync", text);
}

static int limits(struct reading *r, const char *text)
{
    r->policy.kernel_limits = strcmp(text, "kernel") == 0;
    if (r->policy.kernel_limits || strcmp(text, "mqx") == 0)
        return 1;
    return wrong(r, "limits = %s: must be kernel or mqx", text);
}

static int set_general(struct reading *r, const char *key, const char *text)
{
    if (strcmp(key, "window") == 0)
        return number(r, key, text, 60000, &r->mqxd.window_ms);
    if (strcmp(key, "limits") == 0)
        return limits(r, text);
    return wrong(r, "%s: no such setting before the first section; known: limits, window", key);
}

static int set_policy(struct reading *r, struct mqxi_policy *p, const char *key, const char *text)
{
    if (strcmp(key, "durable") == 0)
        return durable(r, text, &p->durable);
    if (strcmp(key, "maxmsg") == 0)
        return number(r, key, text, MQXI_MAXMSG_MAX, &p->maxmsg);
    if (strcmp(key, "msgsize") == 0)
        return number(r, key, text, MQXI_MSGSIZE_MAX, &p->msgsize);
    return wrong(r, "%s: no such setting for queues; known: durable, maxmsg, msgsize", key);
}

static int set(void *user, const char *section, const char *key, const char *text)
{
    struct reading *r = user;
    struct mqxi_policy other;
    bool matches;

    (void)section;
    if (!r->section[0])
        return set_general(r, key, text);
    matches = r->queue && fnmatch(r->section, r->queue, r->sysv ? FNM_PERIOD : 0) == 0;
    return set_policy(r, matches ? &r->policy : &other, key, text);
}

static int parse(struct reading *r, const char *path)
{
    int line = ini_parse_stream(read_line, r, set, r);

    if (line < 0 || ferror(r->file)) {
        fprintf(stderr, "mqx: %s: cannot be read\n", path);
        return line == -2 ? -ENOMEM : -EINVAL;
    }
    if (line == 0 && r->why_line == 0)
        return 0;
    /* The first of inih's errors and ours. */
    if (r->why_line == 0 || (line > 0 && line < r->why_line))
        fprintf(stderr, "mqx: %s:%d: neither [pattern] nor key = value\n", path, line);
    else
        fprintf(stderr, "mqx: %s:%d: %s\n", path, r->why_line, r->why);
    return -EINVAL;
}

/* Not fopen: that may be another preloaded library's (sys.h). */
static int open_file(const char *path, FILE **out)
{
    int fd = mqxi_sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), error;

    if (fd < 0)
        return fd;
    *out = fdopen(fd, "r");
    error = *out ? 0 : -errno;
    if (!*out)
        mqxi_sys_close(fd);
    return error;
}

static int read_conf(struct reading *r)
{
    const char *given = secure_getenv("MQX_CONF"), *path = given ? given : DEFAULT_FILE;
    int error;

    r->policy = (struct mqxi_policy){.maxmsg = r->sysv ? 0 : 10,
                                     .msgsize = r->sysv ? 0 : 8192,
                                     .durable = MQXI_DURABLE_OFF};
    r->mqxd = (struct mqxi_conf_mqxd){.window_ms = 100};
    error = open_file(path, &r->file);
    if (error == -ENOENT && !given)
        return 0;
    if (error < 0) { /* not to be guessed over: a queue would be less durable than was asked for */
        fprintf(stderr, "mqx: %s: %s%s\n", path, strerror(-error), given ? " (from MQX_CONF)" : "");
        return error == -ENOMEM || error == -EMFILE || error == -ENFILE ? error : -EINVAL;
    }
    error = parse(r, path);
    fclose(r->file);
    return error;
}

int mqxi_conf_policy(const char *name, struct mqxi_policy *out)
{
    struct reading r = {.queue = name};
    int error = read_conf(&r);

    *out = r.policy;
    return error;
}

int mqxi_conf_sysv(int key, struct mqxi_policy *out)
{
    char name[32];
    struct reading r = {.queue = name, .sysv = true};
    int error;

    snprintf(name, sizeof(name), ".sysv/0x%08x", (unsigned)key);
    error = read_conf(&r);
    *out = r.policy;
    return error;
}

int mqxi_conf_mqxd(struct mqxi_conf_mqxd *out)
{
    struct reading r = {0};
    int error = read_conf(&r);

    *out = r.mqxd;
    return error;
}
