/*
 * A datagram to the socket that $NOTIFY_SOCKET names, in the file system or,
 * with an '@' before, in the abstract name space.  One that does not arrive is
 * not worth stopping for: the manager sees what it misses.
 */
#include "service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "text.h"

static struct {
    int fd; /* 0: nobody is told */
    struct sockaddr_un address;
    socklen_t length;
    uint64_t every, next; /* watchdog, ns; every 0: there is none */
} service;

static void tell(const char *text)
{
    if (service.fd)
        sendto(service.fd, text, strlen(text), MSG_NOSIGNAL,
               (const struct sockaddr *)&service.address, service.length);
}

/* Half of the time that the manager gives us. */
static void read_watchdog(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (!time || (pid && strtoull(pid, NULL, 10) != (unsigned long long)getpid()))
        return;
    service.every = strtoull(time, NULL, 10) * 1000 / 2;
}

int service_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un *a = &service.address;
    struct timeval patience = {.tv_sec = 5};
    size_t length = name ? strlen(name) : 0;

    if (length == 0)
        return 0;
    if ((name[0] != '/' && name[0] != '@') || length < 2 || length >= sizeof(a->sun_path)) {
        say("NOTIFY_SOCKET=%s: must be a path, or @ and a name", name);
        return -EINVAL;
    }
    a->sun_family = AF_UNIX;
    memcpy(a->sun_path, name, length);
    if (name[0] == '@')
        a->sun_path[0] = 0;
    service.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    service.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (service.fd < 0) {
        say("NOTIFY_SOCKET: no socket: %s", strerror(errno));
        return -errno;
    }
    setsockopt(service.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    read_watchdog();
    return 0;
}

void service_ready(void)
{
    tell("READY=1");
}

void service_reloading(void)
{
    char text[80];
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t); /* so that an older READY is not taken for the new one */
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
             (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000);
    tell(text);
}

void service_stopping(void)
{
    tell("STOPPING=1");
}

void service_status(const char *format, ...)
{
    char text[300] = "STATUS=";
    va_list args;

    if (!service.fd)
        return;
    va_start(args, format);
    vsnprintf(text + 7, sizeof(text) - 7, format, args);
    va_end(args);
    mqxi_text_clean(text); /* a line of its own would be an order */
    tell(text);
}

uint64_t service_alive(uint64_t now)
{
    if (!service.every)
        return UINT64_MAX;
    if (now >= service.next) {
        tell("WATCHDOG=1");
        service.next = now + service.every;
    }
    return service.next - now;
}
