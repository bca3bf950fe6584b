/* Everybody else, while one process is stopped or dead: what they do, and what they must find. */
#ifndef STEP_OTHERS_H
#define STEP_OTHERS_H

#include "ledger.h"

/* The queue that they use from now on, by two descriptors, and how many messages it takes. */
void others_use(mqd_t hasty, mqd_t patient, uint64_t maxmsg, size_t len);
/* Messages in it, as mq_getattr says. */
long others_count(void);
bool others_full(void);
/* Send so many, with all priorities in turn. */
void others_put(uint64_t count);
/* Send so many that go behind all others. */
void others_put_lowest(uint64_t count);
/* Send as long as there is memory for it. */
void others_put_without_memory(void);
/* Send one and receive the first, until so many messages, and one more, were replaced. */
void others_turn(uint64_t count);
/* Another message becomes the first, of the highest priority, and what was so is received. */
void others_replace_first(void);
/* Receive all, until "empty", without and with a deadline. */
void others_drain(void);
/* Somebody is dead: the same, until all is there that can be. */
void others_drain_after_death(void);
/* From empty to full and back.  held: slots that somebody who is stopped may have. */
void others_check_room(uint64_t held);
/* Be registered with mq_notify, anew, whatever became of the last registration. */
void others_register(void);
/* It has fired. */
void others_check_notified(void);
/* Still registered, where a message is: another one notifies nobody. */
void others_check_silent(void);
/* Of an empty queue, whose registrants are gone: be registered, be notified, and not any more. */
void others_check_registrable(void);

#endif
