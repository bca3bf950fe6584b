/* The names by which messages were moved. */
#ifndef MQXFS_ALIAS_H
#define MQXFS_ALIAS_H

#include <stdint.h>

/* The message with this key came into the queue (inode number) under this name. */
void alias_note(uint64_t queue, const char *name, uint64_t key);
/* 0; -ENOENT: no such, or it was long ago. */
int alias_find(uint64_t queue, const char *name, uint64_t *key);

#endif
