/* System V queues, in a directory of their own. */
#ifndef MQXFS_SYSV_H
#define MQXFS_SYSV_H

#include "anyname.h"
#include "attached.h"
#include "mqxfs.h"
#include "views.h"

static inline bool is_sysv(const struct attached *a)
{
    return a->queue->types;
}

/* But for its number. */
void sysv_directory_attr(struct stat *st);

/* The full name of the queue that this is called in the directory; with its id, whichever way
 * it is said.  name: NAME_MAX + 1 bytes.  -ENOENT. */
int sysv_full_name(const char *entry, char *name);
/* The same of what is looked up there: "@" before it means the way of libmqx's calls, which *view
 * then says. */
int sysv_enter(const char *entry, char *name, struct view *view);
/* The type in a full name; 0: none. */
long sysv_type(const char *name);

/* What its file shows that another queue's does not. */
void sysv_attr(const struct attached *a, struct stat *st);
void sysv_set_mode(struct attached *a, mode_t mode);
/* By its full name. */
int sysv_remove(const char *name, uid_t caller);

#endif
