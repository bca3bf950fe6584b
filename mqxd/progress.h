/* How far the restoring is: for who looks on at a terminal. */
#ifndef MQXD_PROGRESS_H
#define MQXD_PROGRESS_H

/* One more message. */
void progress_step(void);
/* The line is for something else now. */
void progress_clear(void);

#endif
