/*
 * Extended attributes: what a queue was created with, and how full it is, each
 * by a name, for scripts (getfattr --only-values).  Sizes can be set as long as
 * nobody uses the queue and nothing is in it.  The priority is that of one
 * open file, by its descriptor (setfattr ... /dev/fd/3).
 */
#include "xattr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine.h"
#include "file.h"
#include "node.h"
#include "replace.h"
#include "status.h"
#include "thread.h"

#define PREFIX "user.mqx."

enum property { MAXMSG, MSGSIZE, MESSAGES, BYTES, DURABLE, PRIORITY, PROPERTIES };
static const char *const names[PROPERTIES] = {PREFIX "maxmsg", PREFIX "msgsize", PREFIX "messages",
                                              PREFIX "bytes",  PREFIX "durable", PREFIX "priority"};

static int value_of(struct attached *a, fuse_ino_t ino, enum property p, char *to, size_t room)
{
    const struct mqxi_queue *q = a->queue;
    uint64_t n = p == MAXMSG     ? q->layout.maxmsg
                 : p == MSGSIZE  ? q->layout.msgsize
                 : p == MESSAGES ? mqxi_count(a->queue)
                 : p == PRIORITY ? file_priority(ino, &node_of(ino)->view)
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
        node_of(ino)->view.shows == SHOWS_CALLS || node_resolve(node_of(ino), &file, &a) < 0)
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

static int property_of(const char *name)
{
    int p = 0;

    while (p < PROPERTIES && strcmp(names[p], name) != 0)
        p++;
    return p;
}

void xattr_get(fuse_req_t request, fuse_ino_t ino, const char *name, size_t size)
{
    struct attached *a;
    char text[40];
    unsigned token;
    int p = property_of(name), n;

    a = p < PROPERTIES ? queue_of(ino) : NULL;
    if (!a) { /* also what is asked for at each write: security.capability */
        fuse_reply_err(request, ENODATA);
        return;
    }
    token = mqxi_op_enter();
    n = value_of(a, ino, (enum property)p, text, sizeof(text));
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

/* -EINVAL: it is no number. */
static int number_in(const char *value, size_t size, uint32_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9' || n > UINT32_MAX)
            return -EINVAL;
        n = 10 * n + (uint64_t)(value[i] - '0');
    }
    *out = (uint32_t)n;
    return size > 0 && n <= UINT32_MAX ? 0 : -EINVAL;
}

/* Sizes are the queue's, and so its owner's to set. */
static int set_size(struct node *n, enum property p, uint32_t to, uid_t caller)
{
    struct mqxi_stat file;
    struct attached *a;
    struct replacement by;
    int r = node_resolve(n, &file, &a);

    if (r < 0)
        return r;
    if (!a)
        return -EBADMSG;
    by = (struct replacement){p == MAXMSG ? to : a->queue->layout.maxmsg,
                              p == MSGSIZE ? to : a->queue->layout.msgsize, file.uid, file.gid};
    if (caller != 0 && caller != geteuid() && caller != file.uid)
        r = -EPERM;
    if (r == 0 && (by.maxmsg != a->queue->layout.maxmsg || by.msgsize != a->queue->layout.msgsize))
        r = replace_queue(n, a, &by);
    attached_put(a);
    return r;
}

static int set_property(fuse_req_t request, fuse_ino_t ino, enum property p, const char *value,
                        size_t size)
{
    bool queue = !node_view(ino) && node_of(ino)->kind == NODE_QUEUE &&
                 node_of(ino)->view.shows != SHOWS_CALLS;
    uint32_t to;
    int r = number_in(value, size, &to);

    if (!queue || (p != MAXMSG && p != MSGSIZE && p != PRIORITY))
        return -EPERM;
    if (r < 0)
        return r;
    if (p != PRIORITY)
        return set_size(node_of(ino), p, to, fuse_req_ctx(request)->uid);
    r = file_set_priorities(ino, to);
    return r == 0 ? -EOPNOTSUPP : r < 0 ? r : 0; /* not by the name */
}

void xattr_set(fuse_req_t request, fuse_ino_t ino, const char *name, const char *value, size_t size,
               int flags)
{
    int p = property_of(name), r = -EOPNOTSUPP;

    if (flags & XATTR_CREATE && p < PROPERTIES)
        r = -EEXIST;
    else if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
        r = p < PROPERTIES ? set_property(request, ino, (enum property)p, value, size) : -EPERM;
    fuse_reply_err(request, -r);
}

void xattr_remove(fuse_req_t request, fuse_ino_t ino, const char *name)
{
    (void)ino;
    fuse_reply_err(request, strncmp(name, PREFIX, strlen(PREFIX)) == 0 ? EPERM : EOPNOTSUPP);
}
