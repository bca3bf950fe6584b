/*
 * The first line is as the kernel's mqueue filesystem has it, for programs that
 * read that; then what `mqx stat` says, one thing a line.
 *
 * Who is registered for notification (NOTIFY, SIGNO, NOTIFY_PID) is known to
 * that process alone, so those are 0; that somebody is stands below.
 */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine.h"
#include "thread.h"

const char *status_durable(uint32_t durable)
{
    static const char *const names[] = {"off", "async", "sync"};

    return durable < sizeof(names) / sizeof(*names) ? names[durable] : "?";
}

static void print_time(FILE *out, const char *key, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000u);
    char text[40];
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(text, sizeof(text), "?");
    fprintf(out, "%s: %s.%09uZ\n", key, text, (unsigned)(ns % 1000000000u));
}

static void print(FILE *out, struct attached *a)
{
    const struct mqxi_queue *q = a->queue;
    struct mqxi_header *h = q->header;
    uint64_t bytes = attached_bytes(a);

    fprintf(out, "QSIZE:%-10" PRIu64 " NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", bytes, 0, 0, 0);
    fprintf(out, "messages: %" PRIu32 "\n", mqxi_count(a->queue));
    fprintf(out, "bytes: %" PRIu64 "\n", bytes);
    fprintf(out, "maxmsg: %" PRIu32 "\n", q->layout.maxmsg);
    fprintf(out, "msgsize: %" PRIu32 "\n", q->layout.msgsize);
    fprintf(out, "mode: %04o\n", (unsigned)atomic_load(&h->mode) & 07777);
    fprintf(out, "uid: %u\n", (unsigned)q->uid);
    fprintf(out, "gid: %u\n", (unsigned)q->gid);
    fprintf(out, "durable: %s\n", status_durable(atomic_load(&h->durable)));
    fprintf(out, "sent: %" PRIu64 "\n", atomic_load(&h->sequence));
    fprintf(out, "notify: %s\n", atomic_load(&h->notify) ? "registered" : "none");
    print_time(out, "created", h->created_ns);
    print_time(out, "last send", atomic_load(&h->last_send_ns));
    print_time(out, "last receive", atomic_load(&h->last_recv_ns));
}

char *status_text(struct attached *a)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    unsigned token;

    if (!out)
        return NULL;
    token = mqxi_op_enter();
    print(out, a);
    mqxi_op_leave(token);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}
