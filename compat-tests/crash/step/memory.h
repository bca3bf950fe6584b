/* A file system of our own for the queues, so that it can be full. */
#ifndef STEP_MEMORY_H
#define STEP_MEMORY_H

/* Mount one on $MQX_DIR, for this process and its children.  NULL, or why not. */
const char *memory_own(void);
/* Not a page is left, until it is given back. */
void memory_take_all(void);
void memory_give_back(void);

#endif
