/*
 * The files of System V queues are named by id, and have owner and mode from IPC_SET.
 * The directory is everybody's to write to, for rm: who may do that is asked here, and
 * not by a sticky bit, for which the kernel would also refuse `>` on others' queues
 * (fs.protected_regular).
 */
#include "sysv.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "held.h"
#include "msqids.h"
#include "names.h"
#include "node.h"
#include "wait.h"

void sysv_directory_attr(struct stat *st)
{
    char path[PATH_MAX];
    struct stat real;

    *st = (struct stat){.st_mode = S_IFDIR | 0777, .st_nlink = 2};
    st->st_uid = geteuid();
    st->st_gid = getegid();
    if (mqxi_path(MQXI_IDS, "", path) == 0 && stat(path, &real) == 0) {
        st->st_atim = real.st_atim;
        st->st_mtim = real.st_mtim;
        st->st_ctim = real.st_ctim;
    }
}

int sysv_full_name(const char *entry, char *name)
{
    char said[NAME_MAX + sizeof(MQXI_SYSV_DIR) + 1];
    long type;
    int id, r;

    snprintf(said, sizeof(said), "%s/%s", MQXI_SYSV_DIR, entry);
    r = mqxi_name_sysv(said, &id, &type);
    if (r < 0)
        return r;
    if (type == 0)
        snprintf(name, NAME_MAX + 1, "%s/%d", MQXI_SYSV_DIR, id);
    else
        snprintf(name, NAME_MAX + 1, "%s/%d.%ld", MQXI_SYSV_DIR, id, type);
    return 0;
}

/* Who is found by its key is there, though its creator be stopped before he said so. */
static void make_live(const char *key)
{
    struct mqxi_queue *q;

    if (mqxi_msqid_attach_key((int)(uint32_t)strtoul(key, NULL, 16), &q) == 0)
        mqxi_segment_detach(q);
}

int sysv_enter(const char *entry, char *name, struct view *view)
{
    bool calls = *entry == '@';
    int r;

    entry += calls;
    if (calls && strncmp(entry, "0x", 2) == 0)
        make_live(entry + 2);
    r = sysv_full_name(entry, name);
    if (r < 0 || !calls)
        return r;
    *view = (struct view){.shows = SHOWS_CALLS};
    return sysv_type(name) == 0 ? 0 : -ENOENT;
}

long sysv_type(const char *name)
{
    long type;
    int id;

    return mqxi_name_sysv(name, &id, &type) == 0 ? type : 0;
}

void sysv_attr(const struct attached *a, struct stat *st)
{
    struct mqxi_header *h = a->queue->header;
    uint64_t changed = atomic_load_explicit(&h->changed_ns, memory_order_relaxed);

    st->st_mode &= S_IFMT | 0777;
    st->st_uid = atomic_load_explicit(&h->uid, memory_order_relaxed);
    st->st_gid = atomic_load_explicit(&h->gid, memory_order_relaxed);
    st->st_ctim = (struct timespec){(time_t)(changed / 1000000000u), (long)(changed % 1000000000u)};
}

void sysv_set_mode(struct attached *a, mode_t mode)
{
    struct mqxi_header *h = a->queue->header;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    atomic_store(&h->mode, mode & 0777);
    /* As IPC_SET: by this all know that their rights are others, and who waits asks for his. */
    atomic_store(&h->changed_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    mqxi_event_signal(&h->recv_event, true);
    mqxi_event_signal(&h->send_event, true);
}

int sysv_remove(const char *name, uid_t caller)
{
    struct mqxi_stat file;
    struct attached *a;
    int r = node_look_up(name, &file, &a);

    if (r < 0)
        return r;
    if (!a)
        return -EBADMSG;
    if (caller != 0 && caller != geteuid() && caller != a->queue->header->cuid &&
        caller != atomic_load(&a->queue->header->uid))
        r = -EPERM;
    if (r == 0 && sysv_type(name) != 0)
        r = -EPERM; /* not a queue, a way to see one */
    if (r == 0)
        r = mqxi_msqid_remove(a->queue);
    attached_put(a);
    return r == -EINVAL ? -ENOENT : r;
}
