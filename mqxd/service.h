/* What the service manager (systemd, Type=notify) is told of us: sd_notify(3), of which nothing
 * else is needed.  Without one, all of this does nothing. */
#ifndef MQXD_SERVICE_H
#define MQXD_SERVICE_H

#include <stdint.h>

/* From its environment; -errno, said, where that is no use. */
int service_open(void);

/* We serve; and again after service_reloading. */
void service_ready(void);
void service_reloading(void);
void service_stopping(void);
/* A line for people: 'systemctl status' shows it. */
__attribute__((format(printf, 1, 2))) void service_status(const char *format, ...);

/* We get on: called by the main loop alone, so that a disk that hangs is noticed.  Returns in how
 * many ns it is to be called again at the latest; UINT64_MAX: nobody waits for it. */
uint64_t service_alive(uint64_t now);

#endif
