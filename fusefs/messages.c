/*
 * A message's name is its key in another form: the rank of its priority, and its
 * sequence.  Keys are never used again, so a name means one message or none, and
 * who removes it, or moves it elsewhere, takes the message with that key: one of all
 * who try gets it.
 *
 * The kernel decides by the directory's mode who may look into it, and remove and
 * rename what is in it.  Reading and writing are one bit less than that takes, so
 * it is asked here, too: who may read the queue may list, read and remove its
 * messages; who may write it may move some there.
 */
#include "messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alias.h"
#include "attr.h"
#include "caller.h"
#include "choose.h"
#include "held.h"
#include "parked.h"
#include "repair.h"
#include "snapshot.h"
#include "thread.h"

#define FOLDER_INO  (UINT64_C(1) << 60)
#define MESSAGE_INO (UINT64_C(1) << 63)

/* The first bytes of the queue's uuid: enough for names of all queues to be different. */
static uint32_t mark_of(const struct mqxi_queue *q)
{
    const uint8_t *u = q->header->uuid;

    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

void message_name(const struct mqxi_queue *q, uint64_t key, char *name)
{
    snprintf(name, MESSAGE_NAME, "%05u-%015" PRIu64 "-%08" PRIx32, (unsigned)(key >> MQXI_SEQ_BITS),
             key & MQXI_SEQ_MAX, mark_of(q));
}

int message_key(const struct mqxi_queue *q, const char *name, uint64_t *key)
{
    char again[MESSAGE_NAME], *end;
    uint64_t rank = strtoul(name, &end, 10);
    uint64_t sequence = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;

    *key = rank << MQXI_SEQ_BITS | sequence;
    if (rank < MQXI_PRIO_MAX && sequence > 0 && sequence <= MQXI_SEQ_MAX) {
        message_name(q, *key, again);
        if (strcmp(again, name) == 0)
            return 0;
    }
    return alias_find(q->ino, name, key);
}

uint64_t folder_ino(uint64_t queue)
{
    return FOLDER_INO | queue;
}

/* Sequences are a queue's own. */
uint64_t message_ino(uint64_t queue, uint64_t key)
{
    return MESSAGE_INO | (queue << MQXI_SEQ_BITS & ~MESSAGE_INO) | (key & MQXI_SEQ_MAX);
}

void folder_attr(const struct mqxi_stat *file, struct attached *a, struct stat *st)
{
    mode_t mode;

    attr_queue(file, &(struct view){0}, a, st);
    mode = st->st_mode;
    /* To read: list, look, and remove; to write: move something there. */
    st->st_mode = S_IFDIR;
    for (int class = 0; class < 9; class += 3)
        st->st_mode |= (mode >> class & 4 ? 7u : mode >> class & 2 ? 3u : 0u) << class;
    st->st_ino = folder_ino(file->ino);
    st->st_nlink = 2;
    st->st_size = st->st_blocks = 0;
}

void message_attr(const struct node *n, struct stat *st)
{
    const struct node_message *m = &n->message;
    bool form = view_has_form(&n->view);

    *st = (struct stat){.st_ino = message_ino(n->ino, m->key),
                        .st_mode = S_IFREG | 0444, /* to whom the directory is open */
                        .st_nlink = 1,
                        .st_uid = m->uid,
                        .st_gid = m->gid,
                        .st_size = form ? 0 : m->len,
                        .st_blksize = MQXI_PAGE,
                        .st_blocks = form ? 0 : (m->len + 511) / 512};
    st->st_mtim.tv_sec = (time_t)(m->sent_ns / 1000000000u);
    st->st_mtim.tv_nsec = (long)(m->sent_ns % 1000000000u);
    st->st_atim = st->st_ctim = st->st_mtim;
}

/* --- finding ------------------------------------------------------------------------------------
 */

/* Where the message with this key is, if it can be taken. */
static int find(struct mqxi_queue *q, uint64_t key, struct mqxi_first *out)
{
    struct mqxi_choice c = {.mode = MQXI_BETWEEN, .from = key, .to = key, .longest = UINT32_MAX};
    int r = mqxi_choose_key(q, &c, out);

    return atomic_load(&q->dead) ? -EIO : r == -EAGAIN ? -ENOENT : r;
}

/* What is in the slot while it has this key. */
static int describe(const struct mqxi_queue *q, uint64_t key, struct node_message *out)
{
    struct mqxi_first at;
    int r = find((struct mqxi_queue *)(uintptr_t)q, key, &at);
    const struct mqxi_slot *s;

    if (r < 0)
        return r;
    s = mqxi_slot(q, at.slot);
    out->key = key;
    out->len = mqxi_slot_see(&s->len);
    out->uid = mqxi_slot_see(&s->uid);
    out->sent_ns = mqxi_slot_see(&s->sent_ns);
    atomic_thread_fence(memory_order_acquire); /* before the second look */
    if (atomic_load_explicit(&q->ctl[at.slot], memory_order_relaxed) != key)
        return -ENOENT;
    return atomic_load(&q->dead) ? -EIO : out->len > q->layout.msgsize ? -EBADMSG : 0;
}

int folder_look_up(const struct view *in, const char *name, struct node **out, struct stat *st)
{
    struct view view = *in;
    struct mqxi_stat file;
    struct attached *a;
    int r = node_look_up(name, &file, &a);

    if (r < 0)
        return r;
    view.shows = SHOWS_MESSAGES;
    *out = node_directory(&view, name, file.ino);
    if (*out)
        folder_attr(&file, a, st);
    if (a)
        attached_put(a);
    return *out ? 0 : -ENOMEM;
}

/* The folder's queue; -EBADMSG where it is damaged. */
static int open_folder(const struct node *folder, struct mqxi_stat *file, struct attached **a)
{
    int r = node_resolve(folder, file, a);

    return r == 0 && !*a ? -EBADMSG : r;
}

int message_look_up(const struct node *folder, const char *name, struct node **out, struct stat *st)
{
    struct node_message m = {0};
    struct mqxi_stat file;
    struct attached *a;
    struct stat queue;
    uint64_t key;
    unsigned token;
    int r = open_folder(folder, &file, &a);

    if (r < 0)
        return r;
    token = mqxi_op_enter();
    r = message_key(a->queue, name, &key);
    if (r == 0)
        r = describe(a->queue, key, &m);
    mqxi_op_leave(token);
    attr_queue(&file, &(struct view){0}, a, &queue);
    attached_put(a);
    if (r < 0)
        return r;
    m.gid = queue.st_gid;
    *out = node_new(NODE_MESSAGE, &folder->view, folder->name, folder->ino);
    if (!*out)
        return -ENOMEM;
    (*out)->message = m;
    message_attr(*out, st);
    return 0;
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* The keys of all that can be taken, to be freed by the caller. */
static int keys_of(struct mqxi_queue *q, uint64_t **keys, size_t *count)
{
    unsigned token = mqxi_op_enter();
    bool swept;
    int r = mqxi_repair_sometimes(q, &swept); /* what the dead had in their hands is there again */
    uint32_t slots = atomic_load_explicit(&q->header->reserved, memory_order_acquire);

    *count = 0;
    *keys = NULL;
    if (r == 0 && slots > q->layout.maxmsg)
        r = -EBADMSG;
    if (r == 0 && slots > 0) {
        *keys = malloc(slots * sizeof(**keys));
        r = *keys ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; r == 0 && i < slots; i++) {
        uint64_t key = atomic_load_explicit(&q->ctl[i], memory_order_acquire);

        if (mqxi_ctl_ready(key))
            (*keys)[(*count)++] = key;
    }
    mqxi_op_leave(token);
    if (r == 0 && atomic_load(&q->dead))
        r = -EIO;
    if (r == 0 && *count > 0)
        qsort(*keys, *count, sizeof(**keys), by_number);
    return r;
}

int message_list(const struct node *folder, int (*each)(const char *name, uint64_t ino, void *arg),
                 void *arg)
{
    char name[MESSAGE_NAME];
    struct mqxi_stat file;
    struct attached *a;
    uint64_t *keys;
    size_t count;
    int r = open_folder(folder, &file, &a);

    if (r < 0)
        return r;
    r = keys_of(a->queue, &keys, &count);
    for (size_t i = 0; r == 0 && i < count; i++) {
        message_name(a->queue, keys[i], name);
        r = each(name, message_ino(folder->ino, keys[i]), arg);
    }
    free(keys);
    attached_put(a);
    return r;
}

/* --- using --------------------------------------------------------------------------------------
 */

int folder_enter(fuse_req_t request, const struct node *folder, mode_t want, struct attached **a)
{
    struct mqxi_stat file;
    struct stat st;
    int r = open_folder(folder, &file, a);

    if (r < 0)
        return r;
    attr_queue(&file, &(struct view){0}, *a, &st);
    if (caller_may(request, &st, want))
        return 0;
    attached_put(*a);
    return -EACCES;
}

static int copy(struct mqxi_queue *q, uint64_t key, enum view_form form, struct text *out)
{
    struct mqxi_taken about;
    struct mqxi_snapshot s;
    struct mqxi_first at;
    uint8_t *bytes, *fewer;
    int r = find(q, key, &at);

    if (r < 0)
        return r;
    bytes = malloc((size_t)q->layout.msgsize + 1);
    if (!bytes)
        return -ENOMEM;
    r = mqxi_snapshot(q, at.slot, &s, bytes);
    if (r < 0 || s.key != key || atomic_load(&q->dead)) {
        free(bytes);
        return r < 0 && r != -EAGAIN ? r : atomic_load(&q->dead) ? -EIO : -ENOENT;
    }
    bytes[s.len] = 0;
    if (form != FORM_BYTES) {
        about = (struct mqxi_taken){.len = s.len,
                                    .prio = mqxi_key_prio(key),
                                    .pid = s.pid,
                                    .uid = s.uid,
                                    .sent_ns = s.sent_ns};
        r = form_show(form, &about, bytes, out);
        free(bytes);
        return r;
    }
    fewer = realloc(bytes, (size_t)s.len + 1); /* it is kept as long as the file is open */
    *out = (struct text){fewer ? fewer : bytes, s.len};
    return 0;
}

int message_read(fuse_req_t request, const struct node *n, struct text *out)
{
    struct attached *a;
    unsigned token;
    int r = folder_enter(request, n, 4, &a);

    if (r < 0)
        return r;
    token = mqxi_op_enter();
    r = copy(a->queue, n->message.key, n->view.form, out);
    mqxi_op_leave(token);
    attached_put(a);
    return r;
}

int message_take(struct attached *a, uint64_t key, struct mqxi_taken *out)
{
    struct mqxi_choice c = {.mode = MQXI_BETWEEN, .from = key, .to = key, .longest = UINT32_MAX};
    struct mqxi_queue *q = a->queue;
    bool swept = false;
    int r = q->types && mqxi_held_removed(q) ? -EIDRM : mqxi_take_chosen(q, &c, out);

    if (r == -EAGAIN && mqxi_repair_sometimes(q, &swept) == 0 && swept)
        r = mqxi_take_chosen(q, &c, out);
    return r == -EAGAIN ? -ENOENT : r;
}

int message_remove(fuse_req_t request, const struct node *folder, const char *name)
{
    struct mqxi_taken taken;
    struct attached *a;
    unsigned token;
    uint64_t key;
    int r = folder_enter(request, folder, 4, &a);

    if (r < 0)
        return r;
    token = mqxi_op_enter();
    r = message_key(a->queue, name, &key);
    if (r == 0)
        r = message_take(a, key, &taken);
    if (r == 0)
        r = mqxi_take_commit(a->queue, &taken);
    mqxi_op_leave(token);
    parked_due(a, FOR_ROOM);
    attached_put(a);
    return r;
}
