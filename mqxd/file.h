/* The file of the store's database, and its name: what LMDB leaves to others. */
#ifndef MQXD_FILE_H
#define MQXD_FILE_H

/* Make data.mdb in this directory, an empty database, if it is missing: whole or not at all, also
 * when the power fails.  0 or -errno; LMDB's errors as -EIO. */
int file_make(const char *dir);
/* What can be read in it is on disk, and so is its name.  0 or -errno. */
int file_settle(const char *dir);
/* The names in it are on disk.  0 or -errno. */
int file_sync_directory(const char *path);

#endif
