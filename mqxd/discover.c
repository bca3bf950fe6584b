/*
 * The directories say which queues exist, the store says which ones have
 * messages in it, and both are everybody's to write to, as far as their rights
 * go.  A segment is taken for the queue whose uuid it names only if its file
 * belongs to the user that the store knows as that queue's.
 */
#include "discover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "anyname.h"
#include "client.h"
#include "durable.h"
#include "held.h"
#include "log.h"
#include "msqids.h"
#include "names.h"
#include "peek.h"
#include "policies.h"
#include "segment.h"
#include "sys.h"

#define SPARE ((size_t)64 << 30) /* of address space, for the store */

/* What one look at the directories found. */
struct looking {
    struct mirror *m;
    struct found { /* durable queues that are not mirrored yet */
        struct mqxi_queue *q;
        struct store_queue record;
        bool changed; /* the store does not have this record */
    } * found;
    size_t found_count;
    struct gone {
        char path[PATH_MAX];
        uint8_t uuid[16];
    } * gone;
    size_t gone_count;
    uint8_t (*dropped)[16]; /* uuids of queues that are not durable any longer, and not mirrored */
    size_t dropped_count;
    struct attached **changed; /* mirrored ones whose record has changed */
    struct store_queue *records;
    size_t changed_count;
    bool full; /* the disk is: nothing is put */
};

/* --- looking ---------------------------------------------------------------------------------- */

static struct attached *by_ino(const struct mirror *m, uint64_t ino)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->queues[i]->q->ino == ino)
            return m->queues[i];
    return NULL;
}

static bool taken(const struct looking *l, const uint8_t *uuid)
{
    for (size_t i = 0; i < l->m->count; i++)
        if (memcmp(l->m->queues[i]->record.uuid, uuid, 16) == 0)
            return true;
    for (size_t i = 0; i < l->found_count; i++)
        if (memcmp(l->found[i].record.uuid, uuid, 16) == 0)
            return true;
    return false;
}

/* Room for one more thing in a list that has n. */
static void *one_more(void *list, size_t n, size_t size)
{
    if (n & (n - 1)) /* it was doubled at the last power of two */
        return list;
    return realloc(list, (n ? 2 * n : 1) * size);
}

/* A key only if it leads to the queue: the header is its user's, who may not have another's. */
static struct store_sysv sysv_of(const struct mqxi_queue *q)
{
    const struct mqxi_header *h = q->header;
    struct store_sysv s = {.qbytes = atomic_load(&h->qbytes),
                           .changed_ns = atomic_load(&h->changed_ns),
                           .id = q->id,
                           .key = h->key,
                           .cuid = h->cuid,
                           .cgid = h->cgid,
                           .uid = atomic_load(&h->uid),
                           .gid = atomic_load(&h->gid)};
    int id;

    if (mqxi_msqid_of(s.key, &id) < 0 || id != q->id)
        s.key = 0;
    return s;
}

static struct store_queue record_of(const struct mqxi_queue *q, const char *name)
{
    const struct mqxi_header *h = q->header;
    struct store_queue record = {.kind = h->kind,
                                 .maxmsg = q->layout.maxmsg,
                                 .msgsize = q->layout.msgsize,
                                 .mode = atomic_load(&h->mode) & 07777,
                                 .durable = atomic_load(&h->durable),
                                 .chosen = atomic_load(&h->chosen),
                                 .uid = q->uid,
                                 .gid = q->gid,
                                 .sync = atomic_load(&h->sync),
                                 .created_ns = h->created_ns};

    memcpy(record.uuid, h->uuid, sizeof(record.uuid));
    snprintf(record.name, sizeof(record.name), "%s", name);
    if (q->types)
        record.sysv = sysv_of(q);
    return record;
}

static bool same(const struct store_queue *a, const struct store_queue *b)
{
    return memcmp(a->uuid, b->uuid, 16) == 0 && strcmp(a->name, b->name) == 0 &&
           a->kind == b->kind && a->maxmsg == b->maxmsg && a->msgsize == b->msgsize &&
           a->mode == b->mode && a->durable == b->durable && a->chosen == b->chosen &&
           a->sync == b->sync && a->uid == b->uid && a->gid == b->gid &&
           a->created_ns == b->created_ns && memcmp(&a->sysv, &b->sysv, sizeof(a->sysv)) == 0;
}

/* May this segment be what it says it is?  The uuid is all that ties it to its messages. */
static int check_claim(struct looking *l, const struct store_queue *record, bool *changed)
{
    struct store_queue stored;
    int r = store_get_queue(l->m->store, record->uuid, &stored);

    *changed = true;
    if (r == -ENOENT)
        return taken(l, record->uuid) ? -EEXIST : 0;
    if (r < 0)
        return r;
    *changed = !same(record, &stored);
    return taken(l, record->uuid) || stored.uid != record->uid || stored.kind != record->kind ||
                   stored.maxmsg != record->maxmsg || stored.msgsize != record->msgsize
               ? -EEXIST
               : 0;
}

static void say_why_not(const char *name, int error)
{
    char registry[PATH_MAX];

    if ((error == -EBADMSG || error == -EACCES) && mqxi_client_unusable(registry))
        say_event(
            SAY_WARNING, "not-mirrored", name,
            "queue /%s: cannot be mirrored: the registry of the processes that use this user's "
            "queues is damaged, or not a file of that user: end those processes, then remove %s",
            name, registry);
    else if (error == -EBADMSG)
        say_event(
            SAY_WARNING, "not-mirrored", name,
            "queue /%s: cannot be mirrored: its segment is damaged, or of another version of mqx",
            name);
    else
        say_event(SAY_WARNING, "not-mirrored", name, "queue /%s: cannot be mirrored: %s", name,
                  strerror(-error));
}

/* A queue takes address space as its user likes, and the store needs some to grow: without it mqxd
 * would have to stop. */
static bool leaves_space(void)
{
    struct rlimit limit;
    void *spare;

    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        return true; /* who set that knows how much there is */
    spare = mmap(NULL, SPARE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return spare != MAP_FAILED && munmap(spare, SPARE) == 0;
}

static int attach(const char *name, struct mqxi_queue **q)
{
    int r = mqxi_name_attach(name, q);

    if (r == 0 && !leaves_space()) {
        mqxi_segment_detach(*q);
        r = -ENOMEM;
    }
    return r;
}

static int look_at_new(struct looking *l, const char *name)
{
    struct mqxi_queue *q;
    struct found *found;
    int r = attach(name, &q);

    if (peek_later(r) && r != -ENOMEM) /* which is this queue's size */
        return r;
    if (r < 0) {
        if (r != -ENOENT) /* else: unlinked just now */
            say_why_not(name, r);
        return 0;
    }
    found = one_more(l->found, l->found_count, sizeof(*found));
    if (!found) {
        mqxi_segment_detach(q);
        return -ENOMEM;
    }
    l->found = found;
    found += l->found_count;
    found->q = q;
    found->record = record_of(q, name);
    r = check_claim(l, &found->record, &found->changed);
    if (r == 0 && !atomic_load(&q->dead)) {
        l->found_count++;
        return 0;
    }
    if (r == -EEXIST)
        mqxi_snapshot_refuse(q);
    mqxi_segment_detach(q);
    if (r == -EEXIST)
        say_event(SAY_WARNING, "not-mirrored", name,
                  "queue /%s: not mirrored: its segment is a copy of another queue's", name);
    return r == -EEXIST ? 0 : r;
}

static int look_at_mirrored(struct looking *l, struct attached *a, const char *name, uint32_t gid)
{
    struct attached **changed;
    struct store_queue now, *records;

    a->seen = true;
    a->q->gid = gid;
    if (a->q->types && mqxi_held_removed(a->q)) {
        mqxi_msqid_remove(a->q); /* who removes it stands still, or died */
        return 0;
    }
    now = record_of(a->q, name);
    /* What was checked when it was attached stays: the header may say something else by now. */
    memcpy(now.uuid, a->record.uuid, sizeof(now.uuid));
    now.kind = a->record.kind;
    now.created_ns = a->record.created_ns;
    if (same(&now, &a->record) || atomic_load(&a->q->dead))
        return 0;
    changed = one_more(l->changed, l->changed_count, sizeof(struct attached *));
    if (!changed)
        return -ENOMEM;
    l->changed = changed;
    records = one_more(l->records, l->changed_count, sizeof(*records));
    if (!records)
        return -ENOMEM;
    l->records = records;
    l->changed[l->changed_count] = a;
    l->records[l->changed_count++] = now;
    return 0;
}

/* It was durable when the store last heard of it: what is stored of it is none of it any more. */
static int look_at_volatile(struct looking *l, const struct peek *p)
{
    uint8_t(*dropped)[16];
    struct store_queue stored;
    int r = store_get_queue(l->m->store, p->uuid, &stored);

    if (r == -ENOENT || (r == 0 && stored.uid != p->uid))
        return 0;
    if (r < 0)
        return r;
    dropped = one_more(l->dropped, l->dropped_count, sizeof(*dropped));
    if (!dropped)
        return -ENOMEM;
    l->dropped = dropped;
    memcpy(dropped[l->dropped_count++], p->uuid, 16);
    return 0;
}

/* For mqxi_name_list. */
static int look_at(const char *name, void *arg)
{
    struct looking *l = arg;
    char path[PATH_MAX];
    struct attached *a;
    struct mqxi_stat st;
    struct peek p;
    int r = mqxi_name_path(name, path);

    if (r < 0 || mqxi_sys_stat(AT_FDCWD, path, &st) < 0)
        return 0;
    a = by_ino(l->m, st.ino);
    if (a && a->q->uid == st.uid)
        return look_at_mirrored(l, a, name, st.gid);
    r = peek_file(path, &p);
    if (r < 0 || !peek_serves(p.uid))
        return peek_later(r) ? r : 0;
    return p.durable == MQXI_DURABLE_OFF ? look_at_volatile(l, &p) : look_at_new(l, name);
}

/* For peek_each_gone. */
static int look_at_gone(const char *path, void *arg)
{
    struct looking *l = arg;
    struct store_queue stored;
    struct gone *gone;
    struct peek p;
    int r = peek_file(path, &p);

    if (r < 0 || !peek_serves(p.uid))
        return peek_later(r) ? r : 0;
    r = store_get_queue(l->m->store, p.uuid, &stored);
    if (r == 0 && stored.uid != p.uid) {
        say("%s: not this user's queue; ignored", path);
        return 0;
    }
    if (r < 0 && r != -ENOENT)
        return r;
    gone = one_more(l->gone, l->gone_count, sizeof(*gone));
    if (!gone)
        return -ENOMEM;
    l->gone = gone;
    gone += l->gone_count++;
    snprintf(gone->path, sizeof(gone->path), "%s", path);
    memcpy(gone->uuid, p.uuid, sizeof(gone->uuid));
    return 0;
}

/* --- acting ----------------------------------------------------------------------------------- */

static bool ends(const struct store_queue *record)
{
    return record->durable == MQXI_DURABLE_OFF;
}

/* For store_transact: 1 if there is nothing to be written. */
static int write_changes(struct store *s, void *arg)
{
    const struct looking *l = arg;
    bool any = l->gone_count > 0;
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->changed_count; i++) {
        if (l->full && !ends(&l->records[i]))
            continue;
        r = ends(&l->records[i]) ? store_delete_queue(s, l->records[i].uuid)
                                 : store_put_queue(s, &l->records[i]);
        any = true;
    }
    for (size_t i = 0; r == 0 && !l->full && i < l->found_count; i++)
        if (l->found[i].changed) {
            r = store_put_queue(s, &l->found[i].record);
            any = true;
        }
    for (size_t i = 0; r == 0 && i < l->dropped_count; i++)
        if (!taken(l, l->dropped[i])) { /* by the queue that this is a copy of */
            r = store_delete_queue(s, l->dropped[i]);
            any = true;
        }
    /* Last: one that was unlinked while we looked may be in the other lists too. */
    for (size_t i = 0; r == 0 && i < l->gone_count; i++)
        r = store_delete_queue(s, l->gone[i].uuid);
    return r < 0 ? r : !any;
}

/* An unlinked queue can still be in use.  From now on it is an ordinary one: who waits for a commit
 * that will not come looks at this when it wakes up. */
static void make_volatile(const char *path)
{
    const uint32_t off = MQXI_DURABLE_OFF;
    int fd = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);

    if (fd < 0)
        return;
    if (pwrite(fd, &off, sizeof(off), offsetof(struct mqxi_header, durable)) < 0)
        say("%s: cannot be written: %s", path, strerror(errno));
    close(fd);
}

static void forget(struct mirror *m, const struct gone *gone)
{
    make_volatile(gone->path);
    for (size_t i = m->count; i-- > 0;)
        if (memcmp(m->queues[i]->record.uuid, gone->uuid, 16) == 0) {
            mqxi_snapshot_wake(m->queues[i]->q);
            mirror_remove(m, m->queues[i]);
        }
    if (unlink(gone->path) < 0 && errno != ENOENT)
        say("%s: cannot be removed: %s", gone->path, strerror(errno));
}

static int note_changes(struct looking *l)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->changed_count; i++) {
        struct attached *a = l->changed[i];
        bool renamed = strcmp(a->record.name, l->records[i].name) != 0;

        if (l->full && !ends(&l->records[i]))
            continue;
        a->record = l->records[i];
        a->mode = a->record.mode;
        if (a->due)
            a->due = mirror_now(); /* not in a window of what it was before */
        if (ends(&a->record)) {
            mqxi_snapshot_wake(a->q);
            mirror_remove(l->m, a);
        } else if (renamed) { /* other sections are for it now */
            r = policies_renew(l->m, a);
        }
    }
    return r;
}

/* Neither under its name nor among the unlinked: somebody removed the file itself. */
static void remove_vanished(struct mirror *m)
{
    for (size_t i = m->count; i-- > 0;) {
        struct attached *a = m->queues[i];

        if (a->seen)
            continue;
        say_event(
            SAY_WARNING, "not-mirrored", a->record.name,
            "queue /%s: its segment has vanished; its messages are in the store, and come back "
            "when mqxd is started again",
            a->record.name);
        mirror_remove(m, a);
    }
}

static int add_found(struct looking *l)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < l->found_count; i++) {
        struct found *f = &l->found[i];

        if (atomic_load(&f->q->header->durable) == MQXI_DURABLE_OFF)
            continue; /* forgotten just now */
        r = mirror_add(l->m, f->q, &f->record);
        f->q = NULL;
        if (r == -ENOMEM) /* said; the others can be served */
            r = 0;
    }
    return r;
}

static void finish(struct looking *l)
{
    for (size_t i = 0; i < l->found_count; i++)
        if (l->found[i].q)
            mqxi_segment_detach(l->found[i].q);
    free(l->found);
    free(l->gone);
    free(l->dropped);
    free(l->changed);
    free(l->records);
}

/* As a rule nothing is: then the journal stays as it is. */
static bool has_changes(const struct looking *l)
{
    size_t changed = l->gone_count + l->changed_count + l->dropped_count;

    for (size_t i = 0; i < l->found_count; i++)
        changed += l->found[i].changed;
    return changed > 0;
}

static int act(struct looking *l)
{
    int r = has_changes(l) ? store_transact(l->m->store, write_changes, l) : 1;

    l->full = r == -ENOSPC;
    if (l->full)
        r = store_remove(l->m->store, write_changes, l);
    if (r < 0)
        return r;
    l->m->freed |= r == 0;
    r = note_changes(l);
    for (size_t i = 0; i < l->gone_count; i++)
        forget(l->m, &l->gone[i]);
    return r;
}

/* New ones that the store cannot have yet. */
static void postpone(struct looking *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->found_count; i++) {
        struct found *f = &l->found[i];

        if (!f->changed) {
            l->found[kept++] = *f;
            continue;
        }
        atomic_store(&f->q->header->disk_full, 1);
        mqxi_snapshot_wake(f->q);
        mqxi_segment_detach(f->q);
    }
    l->found_count = kept;
}

int discover_gone(struct mirror *m)
{
    struct looking l = {.m = m};
    int r = peek_each_gone(look_at_gone, &l);

    if (r == 0)
        r = act(&l);
    finish(&l);
    return r;
}

int discover(struct mirror *m)
{
    struct looking l = {.m = m};
    int r;

    for (size_t i = 0; i < m->count; i++)
        m->queues[i]->seen = false;
    /* Names first: what is unlinked meanwhile is then found among the unlinked. */
    r = mqxi_name_list(look_at, &l);
    if (r == 0)
        r = peek_each_gone(look_at_gone, &l);
    if (r == 0)
        r = act(&l);
    if (l.full)
        postpone(&l);
    if (r == 0) {
        remove_vanished(m);
        r = add_found(&l);
    }
    finish(&l);
    return r == 0 && l.full ? -ENOSPC : r;
}
