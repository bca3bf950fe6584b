/*
 * What ls and stat tell about a queue.  Of another user's queue only what the
 * file system says is known: its memory is not ours to map.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "anyname.h"
#include "cli.h"
#include "engine.h"
#include "held.h"
#include "segment.h"
#include "text.h"
#include "thread.h"

const char *durable_name(uint32_t durable)
{
    static const char *const names[] = {"off", "async", "sync"};

    return durable <= MQXI_DURABLE_SYNC ? names[durable] : "damaged";
}

/* Its owner is who IPC_SET says; what it holds need not be counted. */
static void look_at_sysv(struct mqxi_queue *q, struct info *info)
{
    struct mqxi_header *h = q->header;
    uint64_t held = mqxi_held(q);

    info->sysv = true;
    info->id = q->id;
    info->key = h->key;
    info->uid = atomic_load(&h->uid);
    info->gid = atomic_load(&h->gid);
    info->cuid = h->cuid;
    info->cgid = h->cgid;
    info->messages = (uint32_t)mqxi_held_count(held);
    info->bytes = held & MQXI_HELD_BYTES;
    info->qbytes = atomic_load(&h->qbytes);
    info->last_send_pid = atomic_load(&h->last_send_pid);
    info->last_recv_pid = atomic_load(&h->last_recv_pid);
    info->changed_ns = atomic_load(&h->changed_ns);
}

static void look_inside(struct mqxi_queue *q, struct info *info)
{
    struct mqxi_header *h = q->header;
    unsigned token = mqxi_op_enter();

    info->messages = mqxi_count(q);
    info->bytes = mqxi_bytes(q);
    info->mode = atomic_load(&h->mode) & 07777;
    info->durable = atomic_load(&h->durable);
    info->sent = atomic_load(&h->sequence);
    info->created_ns = h->created_ns;
    info->last_send_ns = atomic_load(&h->last_send_ns);
    info->last_recv_ns = atomic_load(&h->last_recv_ns);
    info->maxmsg = q->layout.maxmsg;
    info->msgsize = q->layout.msgsize;
    if (h->kind == MQXI_KIND_SYSV)
        look_at_sysv(q, info);
    mqxi_op_leave(token);
    if (atomic_load(&q->dead)) /* it was truncated while we looked */
        info->error = -EIO;
}

int info_get(const char *name, struct info *info)
{
    struct mqxi_queue *q;
    char path[PATH_MAX];
    struct stat st;
    int r = mqxi_name_path(name, path);

    *info = (struct info){0};
    snprintf(info->name, sizeof(info->name), "%s", name);
    if (r == 0 && lstat(path, &st) < 0)
        r = -errno;
    if (r < 0)
        return info->error = r;
    info->mode = st.st_mode & 07777;
    info->uid = st.st_uid;
    info->gid = st.st_gid;
    info->error = mqxi_name_attach(name, &q);
    if (info->error == 0) {
        look_inside(q, info);
        mqxi_segment_detach(q);
    }
    return info->error;
}

/* A name may hold any bytes; JSON is UTF-8: a byte that is not becomes that code point.  Control
 * characters are written by number, U+0080 to U+009F too. */
void json_string(const char *text, FILE *out)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n;

    fputc('"', out);
    while (*s) {
        if (*s == '"' || *s == '\\') {
            fprintf(out, "\\%c", *s++);
        } else if (*s >= 0x20 && *s < 0x7f) {
            fputc(*s++, out);
        } else if (*s == 0xc2 && s[1] >= 0x80 && s[1] < 0xa0) {
            fprintf(out, "\\u%04x", s[1]);
            s += 2;
        } else if ((n = mqxi_text_utf8((const char *)s)) > 1) {
            fwrite(s, 1, n, out);
            s += n;
        } else {
            fprintf(out, "\\u%04x", *s++);
        }
    }
    fputc('"', out);
}

static void json_time(const char *key, uint64_t ns, FILE *out)
{
    time_t seconds = (time_t)(ns / 1000000000);
    char text[40];
    struct tm tm;

    fprintf(out, ", \"%s\": ", key);
    if (ns == 0) { /* a System V queue: never */
        fputs("null", out);
        return;
    }
    if (!gmtime_r(&seconds, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
        snprintf(text, sizeof(text), "?");
    fprintf(out, "\"%s.%03uZ\"", text, (unsigned)(ns / 1000000 % 1000));
}

static void json_sysv(const struct info *info, FILE *out)
{
    fprintf(out,
            ", \"id\": %d, \"key\": \"0x%08x\", \"cuid\": %u, \"cgid\": %u"
            ", \"qbytes\": %" PRIu64 ", \"lspid\": %u, \"lrpid\": %u",
            info->id, (unsigned)info->key, info->cuid, info->cgid, info->qbytes,
            info->last_send_pid, info->last_recv_pid);
    json_time("changed", info->changed_ns, out);
}

void info_json(const struct info *info, FILE *out)
{
    fputs("{\"name\": ", out);
    json_string(info->name, out);
    fprintf(out, ", \"mode\": \"%04o\", \"uid\": %u, \"gid\": %u, \"type\": \"%s\"", info->mode,
            info->uid, info->gid, mqxi_name_is_sysv(info->name) ? "sysv" : "posix");
    if (info->error) {
        fputs(", \"error\": ", out);
        json_string(strerror(-info->error), out);
    } else {
        fprintf(out,
                ", \"messages\": %u, \"bytes\": %" PRIu64 ", \"maxmsg\": %u, \"msgsize\": %u"
                ", \"durable\": \"%s\", \"sent\": %" PRIu64,
                info->messages, info->bytes, info->maxmsg, info->msgsize,
                durable_name(info->durable), info->sent);
        json_time("created", info->created_ns, out);
        json_time("last_send", info->last_send_ns, out);
        json_time("last_receive", info->last_recv_ns, out);
        if (info->sysv)
            json_sysv(info, out);
    }
    fputc('}', out);
}
