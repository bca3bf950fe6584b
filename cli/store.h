/* mqx store: what its parts share. */
#ifndef MQX_CLI_STORE_H
#define MQX_CLI_STORE_H

#include "../mqxd/inspect.h"

/* Look at each record; what is wrong is printed.  How many are wrong, or -errno, said. */
int64_t store_check(struct inspect *s);

/* Print the queue of this name, or with NULL all, and their messages, a JSON object a line. */
int store_dump(struct inspect *s, const char *queue);

#endif
