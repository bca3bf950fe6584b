/* mqx store: what its parts share. */
#ifndef MQX_CLI_STORE_H
#define MQX_CLI_STORE_H

#include "../mqxd/inspect.h"
#include "../mqxd/keys.h"

/* Look at each record; what is wrong is printed.  How many are wrong, or -errno, said. */
int64_t store_check(struct inspect *s);

/* store_rekey.c: the keys that are needed to read it, from this file, or as mqx.conf says for mqxd.
 * *out NULL: none are given.  0 or -errno, said. */
int store_keys_find(const char *file, struct keys **out);
/* Encrypt all that is encrypted with another key than the first, with that.  An exit status. */
int store_rekeyed(const char *dir, const char *key_file);

/* Print the queue of this name, or with NULL all, and their messages, a JSON object a line. */
int store_dump(struct inspect *s, const char *queue);

#endif
