/* Messages as files: in a directory for each queue, in the order of their delivery. */
#ifndef MQXFS_MESSAGES_H
#define MQXFS_MESSAGES_H

#include "form.h"
#include "mqxfs.h"
#include "node.h"

/* A message's name: so that names sort in the order of delivery, and no queue has one that another
 * has (mv would take that for the same file). */
#define MESSAGE_NAME 48
void message_name(const struct mqxi_queue *q, uint64_t key, char *name);
/* -ENOENT: no message of this queue could have it. */
int message_key(const struct mqxi_queue *q, const char *name, uint64_t *key);
/* In directories. */
uint64_t message_ino(uint64_t queue, uint64_t key);
uint64_t folder_ino(uint64_t queue);

/* Attributes: of the directory of a queue, of which everything is known that attr_queue wants; of a
 * message. */
void folder_attr(const struct mqxi_stat *file, struct attached *a, struct stat *st);
void message_attr(const struct node *n, struct stat *st);

/* The directory of the queue of this name; a message in one: a node with one reference more. */
int folder_look_up(const struct view *in, const char *name, struct node **out, struct stat *st);
int message_look_up(const struct node *folder, const char *name, struct node **out,
                    struct stat *st);
/* each(name, inode number, arg) for all messages that can be taken, the next one first, until it
 * returns other than 0. */
int message_list(const struct node *folder, int (*each)(const char *name, uint64_t ino, void *arg),
                 void *arg);

/* What the file shows, to be freed by the caller. */
int message_read(fuse_req_t request, const struct node *n, struct text *out);
/* It is consumed. */
int message_remove(fuse_req_t request, const struct node *folder, const char *name);

/* May who makes the request read (4) or write (2) the folder's queue?  0 and a reference to it, or
 * NULL where it is damaged.  -EACCES, -ESTALE. */
int folder_enter(fuse_req_t request, const struct node *folder, mode_t want, struct attached **a);
/* Take exactly this one.  -ENOENT: it is not there, or somebody has it in his hands. */
int message_take(struct attached *a, uint64_t key, struct mqxi_taken *out);

#endif
