/* What processes left behind that were killed while they created or unlinked a queue. */
#ifndef MQXI_TIDY_H
#define MQXI_TIDY_H

/* Remove it, if that was not looked for lately.  By who creates a queue. */
void mqxi_tidy_sometimes(void);

#endif
