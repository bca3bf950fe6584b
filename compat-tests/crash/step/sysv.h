/* System V queues: msgsnd and msgrcv.  sysv_naming.c: msgget and msgctl. */
#ifndef STEP_SYSV_H
#define STEP_SYSV_H

#include "sweep.h"

const char *sysv_name(size_t which);
extern const size_t sysv_count;

void sysv_run(size_t which, uint64_t stride, uint64_t *chance, struct tally *tally);

enum sysv_naming {
    SYSV_CREATE,  /* msgget with a key and IPC_CREAT | IPC_EXCL */
    SYSV_SHARE,   /* without IPC_EXCL: whoever comes first makes it */
    SYSV_PRIVATE, /* without a key */
    SYSV_BESIDE,  /* with a key, where the first index that is tried is taken */
    SYSV_FIND,
    SYSV_FIND_NEW, /* its creator stands, or died, just before he would say that it is there */
    SYSV_FIND_LEFT,
    SYSV_CLEAR, /* by its index: one whose creator died before it had its key */
    SYSV_REMOVE,
    SYSV_SET,
    SYSV_CREATE_DURABLE, /* from here on mqxd must run */
    SYSV_REMOVE_DURABLE,
    SYSV_NAMINGS
};
void sysv_naming_run(enum sysv_naming which, uint64_t stride, uint64_t *chance,
                     struct tally *tally);
const char *sysv_naming_name(enum sysv_naming which);

#endif
