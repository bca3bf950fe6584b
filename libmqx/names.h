/* Queue names and the directories that hold everything. */
#ifndef MQXI_NAMES_H
#define MQXI_NAMES_H

#include <limits.h>

/*
 * Check a queue's name and return it without its slash in *out.
 * -EINVAL: no leading slash; -ENOENT: "/"; -EACCES: another slash, "/.", "/..";
 * -ENAMETOOLONG: more than 255 bytes.  The same as Linux's mq_open.
 */
int mqxi_name_check(const char *name, const char **out);

/* $MQX_DIR, else /run/mqx where it exists, else /dev/shm/mqx. */
const char *mqxi_dir(void);
/* From now on it stays what it is, whatever the program does to its environment and its working
 * directory.  Called when the first queue is used. */
void mqxi_dir_keep(void);

/* Directories below it, made (mode 1777) when missing. */
enum mqxi_place {
    MQXI_QUEUES,  /* segments, named as their queues */
    MQXI_FIFOS,   /* FIFOs: inode number of their segment - random number in it */
    MQXI_CLIENTS, /* registries, mqxd's doorbells, times of tidy.c, named after a user id */
    MQXI_GONE,    /* segments of unlinked durable queues that mqxd must still forget */
    MQXI_TMP,     /* segments that are being built, or unlinked */
    MQXI_SYSV,    /* the next two */
    MQXI_IDS,     /* System V queues: index / id, the segment (msqids.h) */
    MQXI_KEYS,    /* their keys: key / id */
    MQXI_PLACES
};
/* path = directory / name (name may be ""); -ENAMETOOLONG. path: PATH_MAX bytes. */
int mqxi_path(enum mqxi_place place, const char *name, char *path);
/* Call each(name, arg) for everything in the directory; stops at the first non-zero return and
 * returns it.  No directory: 0. */
int mqxi_list(enum mqxi_place place, int (*each)(const char *name, void *arg), void *arg);
int mqxi_list_path(const char *path, int (*each)(const char *name, void *arg), void *arg);
/* Make the directories (those before MQXI_SYSV; the others); 0 or -errno. */
int mqxi_dirs_make(void);
int mqxi_dirs_make_sysv(void);

#endif
