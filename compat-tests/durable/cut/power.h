/* The power of cutfs, and what else befalls its disk by order. */
#ifndef CUT_POWER_H
#define CUT_POWER_H

#include "disk.h"

extern bool power_off;
extern uint64_t power_epoch; /* moves with each cut */

/* An order and its argument; 0 or -EINVAL. */
int power_obey(const char *order, const char *word);
/* A line about the state. */
int power_state(char *text, size_t size);

/* A change is about to be made.  0; -EIO: there is no power; 1: with this one it fails, before the
 * change has its effect; 2: after.  Then power_cut is to be called. */
int power_begin_change(void);
void power_cut(void);

/* A sync of what was written since disk_serial was `since`, by a descriptor with O_DSYNC, or of the
 * file.  It may lie, or fail. */
int power_sync(int file, uint64_t since, bool is_dsync);
void power_sync_names(void);
/* A change of its own.  *len becomes what was written: a full disk takes a part. */
int power_write(int file, const char *data, size_t *len, uint64_t at, bool is_dsync);
uint64_t power_space(void);
/* To make the file so large. */
bool power_has_room(int file, uint64_t size);

#endif
