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

static int dump_messages(struct dumping *d)
{
    struct message_key first = record_message_key(d->queue.uuid, 0);
    MDB_val key = {sizeof(first), &first}, value;
    struct mqxi_snapshot m;
    const void *data;
    uint32_t slot;
    MDB_cursor *c;
    int r, found = mdb_cursor_open(d->s->txn, d->s->messages, &c);

    if (found)
        return -EIO;
    found = mdb_cursor_get(c, &key, &value, MDB_SET_RANGE);
    for (r = 0;
         r == 0 && found == 0 && key.mv_size >= 16 && memcmp(key.mv_data, d->queue.uuid, 16) == 0;
         found = mdb_cursor_get(c, &key, &value, MDB_NEXT)) {
        const char *why = record_message(&key, &value, &slot, &m, &data);

        if (!why && !data)
            why = seal_open(d->s->keys, &key, &value, &m, d->buffer, &data);
        if (why) {
            damaged(why);
            r = -EBADMSG;
            break;
        }
        memmove(d->buffer, data, m.len);
        d->buffer[m.len] = 0;
        r = show(d, slot, &m);
    }
    mdb_cursor_close(c);
    return r;
}

static int dump(const MDB_val *key, const MDB_val *value, void *arg)
{
    struct dumping *d = arg;
    const char *why = record_queue(key, value, &d->queue);

    if (why) {
        damaged(why);
        return -EBADMSG;
    }
    if (d->only && strcmp(d->only, d->queue.name) != 0)
        return 0;
    d->found = true;
    dump_queue(&d->queue);
    return dump_messages(d);
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
