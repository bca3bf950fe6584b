/*
 * mqx.conf with anything in it.  It is understood, and then what comes of it is
 * within the limits and the last line counts; or it is refused with one line that
 * says why, whichever queue was asked for.
 *
 * Input: the name of a queue, up to the first newline, and the file.
 */
#include "conf.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "must.h"
#include "text.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int file = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[40];

    (void)argc;
    (void)argv;
    file = memfd_create("mqx.conf", MFD_CLOEXEC);
    must(file >= 0, "memfd_create", errno);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    setenv("MQX_CONF", path, 1);
    return 0;
}

static void write_file(const uint8_t *data, size_t size, const char *more)
{
    must(ftruncate(file, 0) == 0, "ftruncate", errno);
    must(pwrite(file, data, size, 0) == (ssize_t)size, "pwrite", errno);
    must(pwrite(file, more, strlen(more), (off_t)size) == (ssize_t)strlen(more), "pwrite", errno);
}

/* A refusal is one line, for people; else there is nothing to say. */
static void check_said(char *said, size_t len, int r)
{
    char *end = len ? strchr(said, '\n') : NULL;
    static char line[2 * PATH_MAX];

    must(r == 0 || r == -EINVAL, "returned", r);
    if (r == 0) {
        must(len == 0, "understood, and yet it was said", (long)len);
        return;
    }
    must(end && end[1] == 0 && strncmp(said, "mqx: /proc/self/fd/", 19) == 0, said, r);
    *end = 0;
    snprintf(line, sizeof(line), "%s", said);
    mqxi_text_clean(line);
    must(strcmp(line, said) == 0, "control characters were said", r);
}

static bool is_sysv(const char *queue)
{
    return strncmp(queue, ".sysv/", 6) == 0;
}

/* Reading of the file as it is now; what it says on stderr is looked at. */
static int read_policy(const char *queue, struct mqxi_policy *policy)
{
    const uint32_t least = !is_sysv(queue);
    FILE *before = stderr;
    char *said = NULL;
    size_t len = 0;
    int r;

    stderr = open_memstream(&said, &len);
    must(stderr != NULL, "open_memstream", errno);
    r = mqxi_conf_policy(queue, policy);
    fclose(stderr);
    stderr = before;
    check_said(said, len, r);
    free(said);
    /* Of a System V queue 0 says that its size follows from the bytes that it may hold. */
    must(r < 0 || (policy->maxmsg >= least && policy->maxmsg <= MQXI_MAXMSG_MAX), "maxmsg",
         policy->maxmsg);
    must(r < 0 || (policy->msgsize >= least && policy->msgsize <= MQXI_MSGSIZE_MAX), "msgsize",
         policy->msgsize);
    must(r < 0 || policy->durable <= MQXI_DURABLE_SYNC, "durable", policy->durable);
    return r;
}

static int read_mqxd(struct mqxi_conf_mqxd *mqxd)
{
    FILE *before = stderr;
    char *said = NULL;
    size_t len = 0;
    int r;

    stderr = open_memstream(&said, &len);
    must(stderr != NULL, "open_memstream", errno);
    r = mqxi_conf_mqxd(mqxd);
    fclose(stderr);
    stderr = before;
    check_said(said, len, r);
    free(said);
    must(r < 0 || (mqxd->window_ms >= 1 && mqxd->window_ms <= 60000), "window", mqxd->window_ms);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, '\n', size);
    struct mqxi_policy policy, other;
    struct mqxi_conf_mqxd mqxd;
    char queue[NAME_MAX + 1];
    int r;

    snprintf(queue, sizeof(queue), "%.*s", end ? (int)(end - data) : 0, (const char *)data);
    if (end) {
        size -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    write_file(data, size, "");
    r = read_policy(queue, &policy);
    must(read_policy("another", &other) == r, "for another queue it is not", r);
    must(read_mqxd(&mqxd) == r, "for mqxd it is not", r);
    /* Whatever was set for whom: what stands last, for all, is it. */
    if (r < 0 || memchr(data, 0, size))
        return 0;
    write_file(data, size,
               is_sysv(queue) ? "\n[.sysv/*]\nmaxmsg = 77\ndurable = sync\n"
                              : "\n[*]\nmaxmsg = 77\ndurable = sync\n");
    must(read_policy(queue, &policy) == 0, "with correct lines behind it, it is refused", 0);
    must(policy.maxmsg == 77 && policy.durable == MQXI_DURABLE_SYNC, "the last lines do not count",
         policy.maxmsg);
    return 0;
}
