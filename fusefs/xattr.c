/*
 * Extended attributes: what a queue was created with, and how full it is, each
 * by a name, for scripts (getfattr --only-values).  They are read only: a
 * queue's sizes are for life.
 */
#include "xattr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "node.h"
#include "status.h"
#include "thread.h"

#define PREFIX "user.mqx."

enum property { MAXMSG, MSGSIZE, MESSAGES, BYTES, DURABLE, PROPERTIES };
static const char *const names[PROPERTIES] = {PREFIX "maxmsg", PREFIX "msgsize", PREFIX "messages",
                                              PREFIX "bytes", PREFIX "durable"};

static int value_of(struct attached *a, enum property p, char *to, size_t room)
{
    const struct mqxi_queue *q = a->queue;
    uint64_t n = p == MAXMSG     ? q->layout.maxmsg
                 : p == MSGSIZE  ? q->layout.msgsize
                 : p == MESSAGES ? mqxi_count(a->queue)
                                 : attached_bytes(a);

    return p == DURABLE ? snprintf(to, room, "%s", status_durable(atomic_load(&q->header->durable)))
                        : snprintf(to, room, "%" PRIu64, n);
}

/* A queue's, whose messages are there; else NULL. */
static struct attached *queue_of(fuse_ino_t ino)
{
    struct mqxi_stat file;
    struct attached *a;

    if (node_view(ino) || node_of(ino)->kind != NODE_QUEUE ||
        node_resolve(node_of(ino), &file, &a) < 0)
        return NULL;
    return a;
}

/* size 0: how much room it wants. */
static void reply(fuse_req_t request, const char *text, size_t len, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(request, len);
    else if (len > size)
        fuse_reply_err(request, ERANGE);
    else
        fuse_reply_buf(request, text, len);
}

void xattr_get(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size)
{
    struct attached *a;
    char text[40];
    unsigned token;
    int p = 0, n;

    while (p < PROPERTIES && strcmp(names[p], name) != 0)
        p++;
    a = p < PROPERTIES ? queue_of(ino) : NULL;
    if (!a) { /* also what is asked for at each write: security.capability */
        fuse_reply_err(request, ENODATA);
        return;
    }
    token = mqxi_op_enter();
    n = value_of(a, (enum property)p, text, sizeof(text));
    mqxi_op_leave(token);
    attached_put(a);
    reply(request, text, (size_t)n, size);
}

void xattr_list(fuse_req_t request, fuse_ino_t ino, size_t size)
{
    char text[PROPERTIES * 32], *end = text;
    struct attached *a = queue_of(ino);

    for (int p = 0; a && p < PROPERTIES; p++)
        end = stpcpy(end, names[p]) + 1;
    if (a)
        attached_put(a);
    reply(request, text, (size_t)(end - text), size);
}

void xattr_set(fuse_req_t request, fuse_ino_t ino, const char *name, const char *value, size_t size,
               int flags)
{
    (void)ino, (void)value, (void)size, (void)flags;
    fuse_reply_err(request, strncmp(name, PREFIX, strlen(PREFIX)) == 0 ? EPERM : EOPNOTSUPP);
}

void xattr_remove(fuse_req_t request, fuse_ino_t ino, const char *name)
{
    xattr_set(request, ino, name, NULL, 0, 0);
}
