/* Does the store's file hold together?  LMDB trusts it, and crashes or runs in circles if not. */
#ifndef MQXD_CHECK_H
#define MQXD_CHECK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Look at every page of the database in this file that is in use.  0: it holds
 * together, or there is none, or it is in a format that only LMDB knows and
 * judges.  -EBADMSG: damaged, and why (room bytes) says what.  Others: the file
 * cannot be read.  Nobody may be writing to it.
 */
int check_database(const char *path, char *why, size_t room);

/* The same for no more than what LMDB believes while it is opened; others may be writing. */
int check_head(const char *path, char *why, size_t room);

/*
 * The same for the database as this transaction left it, while others write:
 * the caller holds a reading transaction of LMDB that sees it, so that none of
 * its pages is used anew.  -EAGAIN: its head is overwritten already; begin a new
 * one.
 */
int check_snapshot(const char *path, uint64_t transaction, char *why, size_t room);

#endif
