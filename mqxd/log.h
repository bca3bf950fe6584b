/* mqxd's log: lines on stderr. */
#ifndef MQXD_LOG_H
#define MQXD_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* As syslog's. */
enum say_level { SAY_ERROR = 3, SAY_WARNING = 4, SAY_NOTICE = 5, SAY_INFO = 6 };

/* One line, with "mqxd: " before and a newline behind: a warning, of no kind that has a name. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
/* The same of an event that programs look for, by its name; queue: which it concerns (without its
 * slash), or NULL. */
__attribute__((format(printf, 4, 5))) void say_event(enum say_level level, const char *event,
                                                     const char *queue, const char *format, ...);

/* Lines for programs from now on: level=warning event=... queue=... message=... */
void say_logfmt(void);
/* The last one that was a warning or an error, and when (CLOCK_REALTIME, ns; 0: there is none). */
const char *say_last(uint64_t *when);

/* A crash says what may be behind it before it is one. */
void say_crashes(void);

#endif
