/*
 * One name for each queue: of a POSIX queue its own without the slash; of a System V
 * queue ".sysv/ID", in decimal, or ".sysv/0xKEY", in hexadecimal.  A type behind that
 * (".sysv/ID.TYPE") says which messages are meant: those of this type, or, where it is
 * negative, the lowest type that is at most as high, as msgrcv takes it.
 */
#ifndef MQXI_ANYNAME_H
#define MQXI_ANYNAME_H

#include "choose.h"
#include "queue.h"

#define MQXI_SYSV_DIR ".sysv"

/* Is it a System V queue's?  No POSIX queue's name has a slash. */
bool mqxi_name_is_sysv(const char *name);
/* Its id, and the type that it says, or 0.  -ENOENT: no such name, or no queue with this key. */
int mqxi_name_sysv(const char *name, int *id, long *type);
/* As the type says, messages of at most so many bytes. */
struct mqxi_choice mqxi_choice_of(long type, uint32_t longest);

/* Of queues of either kind: where its segment is; attach it (-ENOENT: there is none); call
 * each(name, arg) for all of them until it returns other than 0. */
int mqxi_name_path(const char *name, char *path);
int mqxi_name_attach(const char *name, struct mqxi_queue **out);
int mqxi_name_list(int (*each)(const char *name, void *arg), void *arg);

#endif
