/* mqxd's log: lines on stderr. */
#ifndef MQXD_LOG_H
#define MQXD_LOG_H

/* One line, with "mqxd: " before and a newline behind. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* A crash says what may be behind it before it is one. */
void say_crashes(void);

#endif
