/* What the parts of inspect.h share.  All return 0 or -errno, and say what went wrong. */
#ifndef MQXD_INSPECT_PRIVATE_H
#define MQXD_INSPECT_PRIVATE_H

#include "inspect.h"

/* LMDB's error as ours. */
int inspect_failed(const struct inspect *s, const char *what, int r);
/* Root looks at other users' stores: what is made in them on the way is theirs. */
void inspect_give(const struct inspect *s, const char *name);
/* A byte of the lock file; -EAGAIN or -EACCES (not said): somebody has it. */
int inspect_lock(const struct inspect *s, short type, int byte);
/* *alone: nobody can write here, and there is nothing to lock. */
int inspect_open_lock(struct inspect *s, bool *alone);
/* dir/data.mdb, with a suffix; -ENAMETOOLONG (not said). */
int inspect_data_path(const char *dir, const char *suffix, char *path);
/* Before anything is made there. */
int inspect_set_dir(struct inspect *s, const char *dir);
/* 0, also if there is none. */
int inspect_read_journal(struct inspect *s);
/* Begin to look.  The store is locked, if it can be. */
int inspect_look(struct inspect *s, bool alone);

#endif
