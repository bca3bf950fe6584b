/*
 * Every LOOKUP gets a node of its own, although all of a queue's nodes show
 * the same st_ino: the kernel holds a lock of its inode, one a node, for as
 * long as a write waits for its answer.  With a shared node one blocked
 * writer would stop all others, unkillably.
 *
 * A directory has the same node at each LOOKUP: it may be somebody's working
 * directory, whose path would be gone with another node.
 */
#include "node.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "anyname.h"
#include "held.h"
#include "msqids.h"

static struct node *nodes, *directories;

static struct node **list_of(const struct node *n)
{
    return n->kind == NODE_DIRECTORY ? &directories : &nodes;
}

struct node *node_new(enum node_kind kind, const struct view *view, const char *name, uint64_t ino)
{
    struct node *n = malloc(sizeof(*n));
    char *copy = n ? strdup(name) : NULL;

    if (!copy) {
        free(n);
        return NULL;
    }
    n->name = copy;
    n->kind = kind;
    n->view = *view;
    n->lookups = 1;
    n->ino = ino;
    n->sound = n->is_read = false;
    n->previous = NULL;
    n->next = *list_of(n);
    if (n->next)
        n->next->previous = n;
    *list_of(n) = n;
    return n;
}

struct node *node_directory(const struct view *view, const char *name, uint64_t ino)
{
    for (struct node *n = directories; n; n = n->next)
        if (n->ino == ino && view_same(&n->view, view) && strcmp(n->name, name) == 0) {
            n->lookups++;
            return n;
        }
    return node_new(NODE_DIRECTORY, view, name, ino);
}

const struct view *node_view(fuse_ino_t number)
{
    static const struct view root;
    const struct node *n = number == FUSE_ROOT_ID ? NULL : node_of(number);

    return !n ? &root : n->kind == NODE_DIRECTORY ? &n->view : NULL;
}

const struct node *node_folder(fuse_ino_t number)
{
    const struct view *v = node_view(number);

    return v && v->shows == SHOWS_MESSAGES ? node_of(number) : NULL;
}

void node_forget(struct node *n, uint64_t lookups)
{
    n->lookups -= lookups < n->lookups ? lookups : n->lookups;
    if (n->lookups > 0)
        return;
    *(n->previous ? &n->previous->next : list_of(n)) = n->next;
    if (n->next)
        n->next->previous = n->previous;
    free(n->name);
    free(n);
}

void node_rename(uint64_t ino, const char *name)
{
    for (struct node *n = nodes; n; n = n->next) {
        char *copy = n->ino == ino ? strdup(name) : NULL;

        if (!copy) /* no memory: for who has it open it has no name */
            continue;
        free(n->name);
        n->name = copy;
    }
}

void node_forget_all(void)
{
    while (nodes)
        node_forget(nodes, nodes->lookups);
    while (directories)
        node_forget(directories, directories->lookups);
}

int node_look_up(const char *name, struct mqxi_stat *file, struct attached **a)
{
    const uid_t self = (uid_t)getauxval(AT_EUID); /* no system call */
    char path[PATH_MAX];
    int r = mqxi_name_path(name, path);

    *a = NULL;
    if (r == 0)
        r = mqxi_sys_stat(AT_FDCWD, path, file);
    if (r < 0)
        return r == -ENOTDIR ? -ENOENT : r;
    if (!S_ISREG(file->mode))
        return -ENOENT;
    if (self != 0 && file->uid != self)
        return -EACCES;
    r = attached_by_stat(name, file, a);
    file->size = 1;
    if (r == 0 && mqxi_held_removed((*a)->queue)) {
        mqxi_msqid_remove((*a)->queue); /* who removed it died at it, or may not: another user */
        r = -ENOENT;
    }
    if (*a && (r == -ENOENT || (*a)->queue->ino != file->ino)) { /* or created anew just now */
        attached_put(*a);
        *a = NULL;
        return -ENOENT;
    }
    return r == -EBADMSG ? 0 : r;
}

int node_queue(const struct node *n, struct attached **a)
{
    struct mqxi_stat file;
    int r;

    *a = n->sound ? attached_by_ino(n->ino) : NULL;
    if (*a && !atomic_load(&(*a)->queue->dead) && !mqxi_held_removed((*a)->queue))
        return 0;
    if (*a)
        attached_put(*a);
    r = node_resolve(n, &file, a);
    if (r == 0 && *a && file.size == 0 &&
        atomic_load(&(*a)->queue->dead)) { /* replaced (replace.c) */
        attached_put(*a);
        return -ESTALE;
    }
    return r < 0 ? r : *a ? 0 : -EBADMSG;
}

int node_resolve(const struct node *n, struct mqxi_stat *file, struct attached **a)
{
    int r = node_look_up(n->name, file, a);

    if (r == 0 && file->ino == n->ino)
        return 0;
    if (r == 0 && *a)
        attached_put(*a);
    if (r < 0 && r != -ENOENT)
        return r;
    /* The name is gone; open files may still use the queue. */
    *a = attached_by_ino(n->ino);
    if (!*a)
        return -ESTALE;
    *file = (struct mqxi_stat){
        .mode = S_IFREG, .uid = (*a)->queue->uid, .gid = (*a)->queue->gid, .ino = n->ino};
    return 0;
}
