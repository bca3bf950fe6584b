/*
 * What a store keeps, as JSON: a line for each queue, and after it one for each
 * of its messages, in the order of slots.  A message is shown as mqxfs shows it
 * in .json, where such a line can be written to, to be sent again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fusefs/json.h"
#include "../mqxd/log.h"
#include "../mqxd/record.h"
#include "../mqxd/seal.h"
#include "cli.h"
#include "store.h"

struct dumping {
    struct inspect *s;
    const char *only; /* a queue's name, or NULL */
    struct store_queue queue;
    uint8_t *buffer; /* for a message, and a 0 behind it */
    bool found;
};

static const char *damaged(const char *why)
{
    say("%s; 'mqx store check' tells more", why);
    return why;
}

static void dump_queue(const struct store_queue *q)
{
    fputs("{\"queue\": ", stdout);
    json_string(q->name, stdout);
    printf(", \"type\": \"%s\", \"uuid\": \"", q->kind == MQXI_KIND_SYSV ? "sysv" : "posix");
    for (int i = 0; i < 16; i++)
        printf("%02x", q->uuid[i]);
    printf("\", \"maxmsg\": %u, \"msgsize\": %u, \"mode\": \"%04o\", \"durable\": \"%s\", "
           "\"uid\": %u, \"gid\": %u",
           q->maxmsg, q->msgsize, q->mode, durable_name(q->durable), q->uid, q->gid);
    if (q->kind == MQXI_KIND_SYSV)
        printf(", \"key\": \"0x%08x\", \"id\": %d, \"qbytes\": %" PRIu64, (unsigned)q->sysv.key,
               q->sysv.id, q->sysv.qbytes);
    puts("}");
}

static int show(const struct dumping *d, uint32_t slot, const struct mqxi_snapshot *m)
{
    struct mqxi_taken about = {.len = m->len,
                               .prio = mqxi_key_prio(m->key),
                               .sent_ns = m->sent_ns,
                               .pid = m->pid,
                               .uid = m->uid};
    struct text shown;
    int r = json_show(&about, d->buffer, &shown);

    if (r < 0)
        return r;
    fputs("{\"queue\": ", stdout);
    json_string(d->queue.name, stdout);
    printf(", \"slot\": %u, \"sequence\": %" PRIu64 ", ", (unsigned)slot, m->key & MQXI_SEQ_MAX);
    if (d->queue.kind == MQXI_KIND_SYSV)
        printf("\"type\": %" PRId64 ", ", m->type);
    fwrite(shown.bytes + 1, 1, shown.len - 1, stdout); /* behind its brace */
    free(shown.bytes);
    return ferror(stdout) ? -EIO : 0;
}

/* For inspect_each_message: 1 behind the queue's last. */
static int dump_message(const MDB_val *key, const MDB_val *value, void *arg)
{
    struct dumping *d = arg;
    struct mqxi_snapshot m;
    const void *data;
    const char *why;
    uint32_t slot;

    if (key->mv_size < 16 || memcmp(key->mv_data, d->queue.uuid, 16) != 0)
        return 1;
    why = record_message(key, value, &slot, &m, &data);
    if (!why && !data)
        why = seal_open(d->s->keys, key, value, &m, d->buffer, &data);
    if (why) {
        damaged(why);
        return -EBADMSG;
    }
    memmove(d->buffer, data, m.len);
    d->buffer[m.len] = 0;
    return show(d, slot, &m);
}

static int dump(const MDB_val *key, const MDB_val *value, void *arg)
{
    struct dumping *d = arg;
    const char *why = record_queue(key, value, &d->queue);
    int r;

    if (why) {
        damaged(why);
        return -EBADMSG;
    }
    if (d->only && strcmp(d->only, d->queue.name) != 0)
        return 0;
    d->found = true;
    dump_queue(&d->queue);
    r = inspect_each_message(d->s, d->queue.uuid, dump_message, d);
    return r > 0 ? 0 : r;
}

int store_dump(struct inspect *s, const char *queue)
{
    struct dumping d = {.s = s, .only = queue, .buffer = malloc(seal_size(MQXI_MSGSIZE_MAX))};
    int r = d.buffer ? inspect_each(s, s->queues, dump, &d) : -ENOMEM;

    if (r == -ENOMEM)
        say("not enough memory");
    free(d.buffer);
    return r == 0 && queue && !d.found ? -ENOENT : r;
}
