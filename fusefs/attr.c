/*
 * Attributes.  Who may do what is decided by the kernel (mount option
 * default_permissions) from the owner, group and mode that are reported here,
 * the same in every view.
 */
#include "attr.h"

#include <limits.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "durable.h"
#include "messages.h"
#include "names.h"
#include "node.h"
#include "replace.h"
#include "sysv.h"

#define FORM_BLOCK (1 << 19)
#define TEXT_INO   (UINT64_C(1) << 61) /* of the one text that there is */

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)};
}

static bool can_create(const struct view *v)
{
    return v->shows == SHOWS_QUEUES && !view_is_read_only(v) && !v->folders;
}

void attr_directory(const struct view *v, struct stat *st)
{
    const struct view sysv = {.shows = SHOWS_SYSV};
    bool is_root = view_same(v, &(struct view){0});
    char path[PATH_MAX];
    struct stat real;

    if (v->shows == SHOWS_SYSV) {
        sysv_directory_attr(st);
        st->st_ino = view_ino(v);
        if (!view_same(v, &sysv)) /* nothing is removed there */
            st->st_mode = S_IFDIR | 0555;
        return;
    }
    *st = (struct stat){.st_ino = is_root ? FUSE_ROOT_ID : view_ino(v),
                        .st_mode = S_IFDIR | (can_create(v) ? 01777 : 0555),
                        .st_nlink = 2 + is_root};
    st->st_uid = geteuid();
    st->st_gid = getegid();
    if (mqxi_path(MQXI_QUEUES, "", path) == 0 && stat(path, &real) == 0) {
        st->st_atim = real.st_atim;
        st->st_mtim = real.st_mtim;
        st->st_ctim = real.st_ctim;
    }
}

void attr_queue(const struct mqxi_stat *file, const struct view *v, struct attached *a,
                struct stat *st)
{
    struct mqxi_header *h = a ? a->queue->header : NULL;

    *st = (struct stat){.st_ino = file->ino,
                        .st_mode = S_IFREG,
                        .st_nlink = file->size,
                        .st_uid = file->uid,
                        .st_gid = file->gid,
                        .st_blksize = MQXI_PAGE};
    if (!h)
        return;
    st->st_mode |= atomic_load_explicit(&h->mode, memory_order_relaxed) & 07777;
    /* Programs write as much at a time: objects are to be whole. */
    if (view_has_form(v))
        st->st_blksize = FORM_BLOCK;
    if (view_is_read_only(v) || v->acks)
        st->st_mode &= ~(mode_t)0222;
    if (v->acks) /* who may read may say that he has */
        st->st_mode |= (st->st_mode & 0444) >> 1;
    /* tail begins near the end of what has a size. */
    st->st_size = view_is_stream(v) || v->form ? 0 : (off_t)attached_bytes(a);
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_atim = time_of(atomic_load_explicit(&h->last_recv_ns, memory_order_relaxed));
    st->st_mtim = time_of(atomic_load_explicit(&h->last_send_ns, memory_order_relaxed));
    st->st_ctim = time_of(h->created_ns);
    if (is_sysv(a))
        sysv_attr(a, st);
    if (v->shows == SHOWS_CALLS) { /* anybody may open it */
        st->st_mode = S_IFREG | 0666;
        st->st_size = st->st_blocks = 0;
    }
}

/*
 * What is queued says nothing about the message that a reader gets.  tail would read from where it
 * expects the end, and then begin anew, which takes another message; Node.js and wc believe the
 * size.  Of what has none they all read what there is.
 */
static void hide_size(struct stat *st)
{
    st->st_size = st->st_blocks = 0;
}

void attr_text(struct stat *st)
{
    *st = (struct stat){.st_ino = TEXT_INO,
                        .st_mode = S_IFREG | 0444,
                        .st_nlink = 1,
                        .st_uid = geteuid(),
                        .st_gid = getegid()};
}

/* Fill in a node's attributes: 0, -ESTALE, ... */
static int attr_of(fuse_ino_t ino, struct stat *st)
{
    struct mqxi_stat file;
    struct attached *a;
    int r;

    if (node_view(ino) && !node_folder(ino)) {
        attr_directory(node_view(ino), st);
        return 0;
    }
    if (!node_view(ino) && node_of(ino)->kind == NODE_MESSAGE) {
        message_attr(node_of(ino), st);
        return 0;
    }
    if (node_of(ino)->kind == NODE_TEXT) {
        attr_text(st);
        return 0;
    }
    r = node_resolve(node_of(ino), &file, &a);
    if (r < 0)
        return r;
    if (node_folder(ino))
        folder_attr(&file, a, st);
    else
        attr_queue(&file, &node_of(ino)->view, a, st);
    if (!node_folder(ino) && node_of(ino)->is_read)
        hide_size(st);
    if (a)
        attached_put(a);
    return 0;
}

void attr_get(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;
    int r = attr_of(ino, &st);

    (void)fi;
    if (r < 0)
        fuse_reply_err(request, -r);
    else
        fuse_reply_attr(request, &st, node_view(ino) && !node_folder(ino) ? ATTR_VALID : 0);
}

static int set_mode(struct attached *a, mode_t mode)
{
    struct mqxi_header *h = a->queue->header;

    if (atomic_load(&a->queue->dead))
        return -EIO;
    if (is_sysv(a))
        sysv_set_mode(a, mode);
    else
        atomic_store(&h->mode, mode & 07777);
    if (atomic_load(&h->durable) != MQXI_DURABLE_OFF)
        mqxi_durable_rescan(a->queue->uid);
    return 0;
}

/* A queue is neither truncated nor extended; size 0 comes from `>` and changes nothing. */
static int may_set(const struct view *v, const struct stat *want, int which)
{
    if (which & FUSE_SET_ATTR_SIZE && want->st_size != 0)
        return -EINVAL;
    /* It would be computed from a mode that is not the queue's. */
    if (which & FUSE_SET_ATTR_MODE &&
        (view_is_read_only(v) || v->acks || v->shows == SHOWS_CALLS))
        return -EROFS;
    /* Times are those of the messages; touch (now) is welcome, and has no effect. */
    if ((which & FUSE_SET_ATTR_ATIME && !(which & FUSE_SET_ATTR_ATIME_NOW)) ||
        (which & FUSE_SET_ATTR_MTIME && !(which & FUSE_SET_ATTR_MTIME_NOW)))
        return -EPERM;
    return 0;
}

/* Whether the caller may, the kernel knows.  A segment is mapped by its user's processes: another
 * user gets another one. */
static int set_owner(struct node *n, struct mqxi_stat *file, struct attached *a,
                     const struct stat *want, int which)
{
    uid_t uid = which & FUSE_SET_ATTR_UID ? want->st_uid : file->uid;
    gid_t gid = which & FUSE_SET_ATTR_GID ? want->st_gid : file->gid;
    const struct mqxi_layout *l = &a->queue->layout;
    struct replacement by = {l->maxmsg, l->msgsize, uid, gid};
    int r = 0;

    if (is_sysv(a))
        return uid != file->uid || gid != file->gid ? -EPERM : 0;
    if (uid != file->uid)
        r = geteuid() != 0 ? -EPERM : replace_queue(n, a, &by);
    else if (gid != file->gid)
        r = replace_group(n, file, a, gid);
    if (r < 0)
        return r;
    file->uid = uid;
    file->gid = gid;
    return 0;
}

static int set(struct node *n, const struct stat *want, int which, struct stat *now)
{
    struct mqxi_stat file;
    struct attached *a;
    int r = node_resolve(n, &file, &a);

    if (r < 0)
        return r;
    r = may_set(&n->view, want, which);
    if (r == 0 && which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
        r = a ? set_owner(n, &file, a, want, which) : -EBADMSG;
    if (r == 0 && which & FUSE_SET_ATTR_MODE)
        r = a ? set_mode(a, want->st_mode) : -EBADMSG;
    if (r == 0)
        attr_queue(&file, &n->view, a, now);
    if (a)
        attached_put(a);
    return r;
}

void attr_set(fuse_req_t request, fuse_ino_t ino, struct stat *want, int which,
              struct fuse_file_info *fi)
{
    struct stat now;
    int r = node_view(ino) || node_of(ino)->kind != NODE_QUEUE
                ? -EPERM
                : set(node_of(ino), want, which, &now);

    (void)fi;
    if (r < 0)
        fuse_reply_err(request, -r);
    else
        fuse_reply_attr(request, &now, 0);
}

void attr_statfs(fuse_req_t request, fuse_ino_t ino)
{
    struct statvfs fs;

    (void)ino;
    if (statvfs(mqxi_dir(), &fs) < 0)
        fuse_reply_err(request, errno);
    else
        fuse_reply_statfs(request, &fs);
}
