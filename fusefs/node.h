/* Nodes: what the kernel refers to by number between a LOOKUP and its FORGET. */
#ifndef MQXFS_NODE_H
#define MQXFS_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "attached.h"
#include "mqxfs.h"
#include "sys.h"
#include "views.h"

enum node_kind { NODE_QUEUE, NODE_DIRECTORY, NODE_TEXT, NODE_MESSAGE };

/* Which one it is, and what is said of it: it never changes. */
struct node_message {
    uint64_t key, sent_ns;
    uint32_t len, uid, gid; /* of its sender, and of the queue */
};

struct node {
    enum node_kind kind;
    struct view view; /* a directory's own, or that of the directory it was looked up in */
    uint64_t lookups; /* the kernel's references */
    uint64_t ino;     /* of the segment: which queue the name meant */
    bool sound;       /* which could be attached then */
    bool is_read;     /* it was opened to be read */
    struct node_message message;
    struct node *next, *previous;
    char *name; /* of the queue; a directory that is none: "" */
};

/* A new node with one reference; its number is unlike that of any other that lives.  NULL: no
 * memory. */
struct node *node_new(enum node_kind kind, const struct view *view, const char *name, uint64_t ino);
/* The directory's node, with one reference more.  Of a queue (SHOWS_MESSAGES), name and ino say
 * which. */
struct node *node_directory(const struct view *view, const char *name, uint64_t ino);
/* The queue has another name now: its nodes, too. */
void node_rename(uint64_t ino, const char *name);
void node_forget(struct node *n, uint64_t lookups);
/* The session is over: the kernel does not say so of each. */
void node_forget_all(void);

/* A queue's directory; NULL: it is none. */
const struct node *node_folder(fuse_ino_t number);

static inline fuse_ino_t node_number(const struct node *n)
{
    return (fuse_ino_t)(uintptr_t)n;
}

/* The directory's view; NULL: it is none. */
const struct view *node_view(fuse_ino_t number);

/* number: not FUSE_ROOT_ID. */
static inline struct node *node_of(fuse_ino_t number)
{
    return (struct node *)(uintptr_t)number;
}

/*
 * The node's queue as it is now.  *file: its segment file, with size for the
 * number of names it has (1, or 0: unlinked, and still open).  *a: a reference,
 * or NULL where the segment is damaged.  0; -ESTALE: the name means another
 * queue or none.
 */
int node_resolve(const struct node *n, struct mqxi_stat *file, struct attached **a);
/* Only its queue, to be opened: the one that was looked up, whatever has become of its name. */
int node_queue(const struct node *n, struct attached **a);
/* The same by name: -ENOENT; -EACCES: another user's, and we are not root. */
int node_look_up(const char *name, struct mqxi_stat *file, struct attached **a);

#endif
