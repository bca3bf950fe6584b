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
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"
#include "text.h"

#define DEFAULT_FILE "/etc/mqx/mqx.conf"
#define LONGEST_WAIT (24u * 3600000u) /* ms */
#define FILE_MAX     (1u << 20)       /* bytes that are kept */

/* The text of a file in which there was no mistake. */
struct mqxi_conf {
    char path[PATH_MAX];
    size_t size;
    char text[];
};

struct reading {
    const char *path;
    FILE *file;
    int line;          /* the one that was read last */
    char section[256]; /* which it is in; "": before the first */
    int why_line;      /* of the first error that we found; 0: none */
    char why[300];     /* what is wrong there */
    const char *queue;
    bool sysv; /* a System V queue: only sections that say ".sysv" are for it */
    struct mqxi_policy policy;
    struct mqxi_conf_mqxd mqxd;
    struct mqxi_conf_setting *settings; /* what applies, and why; or NULL */
};

/* Every key, as people are told of it. */
static const struct key {
    const char *name;
    bool queue; /* it stands in sections, of queues; else before the first */
    const char *by_default, *of_sysv;
} keys[] = {
    {"key_file", false, "none", NULL},
    {"limits", false, "mqx", NULL},
    {"store_max", false, "unlimited", NULL},
    {"window", false, "100ms", NULL},
    {"durable", true, "off", "off"},
    {"encrypt", true, "no", "no"},
    {"maxmsg", true, "10", "65536"},
    {"msgsize", true, "8192", "16M"},
    {"receive", true, "at-once", "at-once"},
    {"store_max", true, "unlimited", "unlimited"},
    {"wait", true, "30s", "30s"},
};
#define KEYS (sizeof(keys) / sizeof(*keys))
static_assert(KEYS <= MQXI_CONF_KEYS, "room for all");

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

struct unit {
    char name[4];
    uint64_t worth;
};

/* A number with its unit, from least to most. */
static bool amount(const char *text, const struct unit *units, uint64_t least, uint64_t most,
                   uint64_t *out)
{
    char *end;
    unsigned long long n;

    errno = 0;
    n = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || errno)
        return false;
    end += strspn(end, " ");
    while (units->worth && strcmp(end, units->name) != 0)
        units++;
    if (!units->worth || n > most / units->worth)
        return false;
    *out = n * units->worth;
    return *out >= least;
}

/* In bytes. */
static int size(struct reading *r, const char *key, const char *text, uint64_t max, uint64_t *out)
{
    static const struct unit units[] = {{"", 1},         {"K", 1u << 10},          {"M", 1u << 20},
                                        {"G", 1u << 30}, {"T", (uint64_t)1 << 40}, {"", 0}};

    if (amount(text, units, 1, max, out))
        return 1;
    return wrong(r, "%s = %s: must be a size such as 4096, 64K, 10M or 2G, from 1 to %" PRIu64, key,
                 text, max);
}

static const struct unit times[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                                    {"m", 60000}, {"h", 3600000}, {"", 0}};

/* In milliseconds; units: times, or from times + 1 on, where a number alone is none. */
static int duration(struct reading *r, const char *key, const char *text, const struct unit *units,
                    uint32_t least, uint32_t most, uint32_t *out)
{
    uint64_t ms;

    if (!amount(text, units, least, most, &ms))
        return wrong(r, "%s = %s: must be a time such as 500ms, 30s or 5m, from %ums to %us", key,
                     text, (unsigned)least, (unsigned)(most / 1000));
    *out = (uint32_t)ms;
    return 1;
}

static int store_max(struct reading *r, const char *key, const char *text, uint64_t *out)
{
    *out = 0;
    return strcmp(text, "unlimited") == 0 ? 1 : size(r, key, text, MQXI_STORE_MAX, out);
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

static int sync_wait(struct reading *r, const char *text, struct mqxi_policy *p)
{
    uint32_t ms = 0;

    if (!duration(r, "wait", text, times + 1, 0, LONGEST_WAIT, &ms))
        return 0;
    p->sync = (p->sync & ~MQXI_SYNC_WAIT) | (ms + 1);
    p->sync_said |= MQXI_SYNC_WAIT;
    return 1;
}

static int sync_receive(struct reading *r, const char *text, struct mqxi_policy *p)
{
    if (strcmp(text, "commit") != 0 && strcmp(text, "at-once") != 0)
        return wrong(r, "receive = %s: must be at-once or commit", text);
    p->sync &= ~MQXI_SYNC_RECEIVE;
    p->sync_said |= MQXI_SYNC_RECEIVE;
    if (strcmp(text, "commit") == 0)
        p->sync |= MQXI_SYNC_RECEIVE;
    return 1;
}

static int limits(struct reading *r, const char *text)
{
    r->policy.kernel_limits = strcmp(text, "kernel") == 0;
    if (r->policy.kernel_limits || strcmp(text, "mqx") == 0)
        return 1;
    return wrong(r, "limits = %s: must be kernel or mqx", text);
}

/* Returns 0. */
static int unknown(struct reading *r, const char *key)
{
    char known[200] = "";
    bool queue = r->section[0];

    for (unsigned i = 0; i < KEYS; i++)
        if (keys[i].queue == queue)
            snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
                     known[0] ? ", " : "", keys[i].name);
    return wrong(r, "%s: no such setting %s; known: %s", key,
                 queue ? "for queues" : "before the first section", known);
}

static int set_encrypt(struct reading *r, struct mqxi_policy *p, const char *text)
{
    p->encrypt = strcmp(text, "yes") == 0;
    if (p->encrypt)
        r->mqxd.encrypt_line = r->line; /* whichever queue it is of: a key is needed */
    return p->encrypt || strcmp(text, "no") == 0 ||
           wrong(r, "encrypt = %s: must be yes or no", text);
}

static int set_key_file(struct reading *r, const char *text)
{
    char *file = r->mqxd.key_file;

    snprintf(file, sizeof(r->mqxd.key_file), "%s", text);
    return text[0] == '/' || wrong(r, "key_file = %s: must be a whole path, from / on", text);
}

static int set_general(struct reading *r, const char *key, const char *text)
{
    if (strcmp(key, "window") == 0)
        return duration(r, key, text, times, 1, 60000, &r->mqxd.window_ms);
    if (strcmp(key, "limits") == 0)
        return limits(r, text);
    if (strcmp(key, "store_max") == 0)
        return store_max(r, key, text, &r->mqxd.store_max);
    if (strcmp(key, "key_file") == 0)
        return set_key_file(r, text);
    return unknown(r, key);
}

static int set_durable(struct reading *r, struct mqxi_policy *p, const char *text)
{
    p->durable_line = r->line;
    return durable(r, text, &p->durable);
}

static int set_msgsize(struct reading *r, struct mqxi_policy *p, const char *key, const char *text)
{
    uint64_t bytes = 0;
    int good = size(r, key, text, MQXI_MSGSIZE_MAX, &bytes);

    p->msgsize = (uint32_t)bytes;
    return good;
}

static int set_policy(struct reading *r, struct mqxi_policy *p, const char *key, const char *text)
{
    if (strcmp(key, "durable") == 0)
        return set_durable(r, p, text);
    if (strcmp(key, "encrypt") == 0)
        return set_encrypt(r, p, text);
    if (strcmp(key, "maxmsg") == 0)
        return number(r, key, text, MQXI_MAXMSG_MAX, &p->maxmsg);
    if (strcmp(key, "msgsize") == 0)
        return set_msgsize(r, p, key, text);
    if (strcmp(key, "store_max") == 0)
        return store_max(r, key, text, &p->store_max);
    if (strcmp(key, "wait") == 0)
        return sync_wait(r, text, p);
    if (strcmp(key, "receive") == 0)
        return sync_receive(r, text, p);
    return unknown(r, key);
}

/* For who asks why. */
static void note(struct reading *r, const char *key, const char *text)
{
    for (unsigned i = 0; r->settings && i < KEYS; i++)
        if (keys[i].queue == (r->section[0] != 0) && strcmp(keys[i].name, key) == 0) {
            struct mqxi_conf_setting *s = &r->settings[i];

            s->line = r->line;
            snprintf(s->value, sizeof(s->value), "%s", text);
            snprintf(s->section, sizeof(s->section), "%s", r->section);
        }
}

static int set(void *user, const char *section, const char *key, const char *text)
{
    struct reading *r = user;
    struct mqxi_policy other = {0};
    bool matches;
    int good;

    (void)section;
    matches = !r->section[0] ||
              (r->queue && fnmatch(r->section, r->queue, r->sysv ? FNM_PERIOD : 0) == 0);
    good = !r->section[0] ? set_general(r, key, text)
                          : set_policy(r, matches ? &r->policy : &other, key, text);
    if (good && matches)
        note(r, key, text);
    return good;
}

static int parse(struct reading *r)
{
    int line = ini_parse_stream(read_line, r, set, r);

    if (line < 0 || ferror(r->file)) {
        fprintf(stderr, "mqx: %s: cannot be read\n", r->path);
        return line == -2 ? -ENOMEM : -EINVAL;
    }
    if (line == 0 && r->why_line == 0)
        return 0;
    /* The first of inih's errors and ours. */
    if (r->why_line == 0 || (line > 0 && line < r->why_line))
        fprintf(stderr, "mqx: %s:%d: neither [pattern] nor key = value\n", r->path, line);
    else
        fprintf(stderr, "mqx: %s:%d: %s\n", r->path, r->why_line, r->why);
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

/* *out NULL: there is none, and need not be. */
static int open_conf(const char **path, FILE **out)
{
    const char *given = secure_getenv("MQX_CONF");
    int error;

    *path = given ? given : DEFAULT_FILE;
    *out = NULL;
    error = open_file(*path, out);
    if (error == -ENOENT && !given)
        return 0;
    if (error == 0)
        return 0;
    /* Not to be guessed over: a queue would be less durable than was asked for. */
    fprintf(stderr, "mqx: %s: %s%s\n", *path, strerror(-error), given ? " (from MQX_CONF)" : "");
    return error == -ENOMEM || error == -EMFILE || error == -ENFILE ? error : -EINVAL;
}

/* Read the file, or what was kept of it. */
static int read_conf(struct reading *r, const struct mqxi_conf *kept)
{
    int error = 0;

    r->sysv = r->queue && strncmp(r->queue, ".sysv/", 6) == 0;
    r->policy = (struct mqxi_policy){
        .maxmsg = r->sysv ? 0 : 10, .msgsize = r->sysv ? 0 : 8192, .durable = MQXI_DURABLE_OFF};
    r->mqxd = (struct mqxi_conf_mqxd){.window_ms = 100};
    if (kept) {
        r->path = kept->path;
        r->file = kept->size ? fmemopen((void *)(uintptr_t)kept->text, kept->size, "r") : NULL;
        error = kept->size && !r->file ? -errno : 0;
    } else {
        error = open_conf(&r->path, &r->file);
    }
    if (error < 0 || !r->file)
        return error;
    error = parse(r);
    fclose(r->file);
    return error;
}

/* --- what others ask -------------------------------------------------------------------------- */

int mqxi_conf_policy(const char *name, struct mqxi_policy *out)
{
    return mqxi_conf_kept(NULL, name, out, NULL);
}

int mqxi_conf_sysv(int key, struct mqxi_policy *out)
{
    char name[32];

    mqxi_conf_sysv_name(key, name);
    return mqxi_conf_policy(name, out);
}

int mqxi_conf_mqxd(struct mqxi_conf_mqxd *out)
{
    return mqxi_conf_kept(NULL, NULL, NULL, out);
}

void mqxi_conf_sysv_name(int key, char *name)
{
    sprintf(name, ".sysv/0x%08x", (unsigned)key);
}

int mqxi_conf_kept(const struct mqxi_conf *kept, const char *name, struct mqxi_policy *policy,
                   struct mqxi_conf_mqxd *mqxd)
{
    struct reading r = {.queue = name};
    int error = read_conf(&r, kept);

    if (policy)
        *policy = r.policy;
    if (mqxd)
        *mqxd = r.mqxd;
    return error;
}

static struct mqxi_conf *read_all(const char *path, FILE *file)
{
    struct mqxi_conf *c = malloc(sizeof(*c) + FILE_MAX);

    if (!c)
        return NULL;
    snprintf(c->path, sizeof(c->path), "%s", path);
    c->size = file ? fread(c->text, 1, FILE_MAX, file) : 0;
    if (c->size == FILE_MAX)
        fprintf(stderr, "mqx: %s: larger than %u bytes\n", path, FILE_MAX - 1);
    else if (!file || !ferror(file))
        return c;
    else
        fprintf(stderr, "mqx: %s: cannot be read\n", path);
    free(c);
    errno = EINVAL;
    return NULL;
}

int mqxi_conf_keep(struct mqxi_conf **out)
{
    struct mqxi_conf *c;
    const char *path;
    FILE *file;
    int error = open_conf(&path, &file);

    if (error < 0)
        return error;
    c = read_all(path, file);
    error = c ? 0 : -errno;
    if (file)
        fclose(file);
    if (error == 0)
        error = mqxi_conf_kept(c, NULL, NULL, NULL);
    if (error == 0)
        *out = c;
    else
        free(c);
    return error;
}

const char *mqxi_conf_path(const struct mqxi_conf *kept)
{
    return kept->path;
}

int mqxi_conf_explain(const struct mqxi_conf *kept, const char *name,
                      struct mqxi_conf_setting *settings)
{
    struct reading r = {.queue = name, .settings = settings};
    int error;

    for (unsigned i = 0; i < KEYS; i++) {
        settings[i] = (struct mqxi_conf_setting){.key = keys[i].name, .queue = keys[i].queue};
        snprintf(settings[i].value, sizeof(settings[i].value), "%s", keys[i].by_default);
    }
    error = read_conf(&r, kept);
    for (unsigned i = 0; i < KEYS; i++)
        if (r.sysv && keys[i].queue && settings[i].line == 0)
            snprintf(settings[i].value, sizeof(settings[i].value), "%s", keys[i].of_sysv);
    return error < 0 ? error : (int)KEYS;
}
