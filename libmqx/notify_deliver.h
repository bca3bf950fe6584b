/* What a notification does to the process that registered for it (notify_deliver.c). */
#ifndef MQXI_NOTIFY_DELIVER_H
#define MQXI_NOTIFY_DELIVER_H

#include <pthread.h>
#include <signal.h>

#include "engine.h"

/* A further kind, for mqxfs: call sigev_notify_function, which has this type, at once, from
 * whatever thread it is that delivers. */
#define MQXI_SIGEV_CALL 0x6d71
typedef void mqxi_notified(union sigval value, struct mqxi_sender by);

/* A struct sigevent, copied: the caller's and its attributes may be gone by then. */
struct mqxi_delivery {
    int kind; /* SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, MQXI_SIGEV_CALL */
    int signo;
    union sigval value;
    void (*function)(union sigval);
    bool with_attr;
    pthread_attr_t attr;
};

/* 0; -ENOMEM.  Async-signal-safe, but where thread attributes are given. */
int mqxi_delivery_copy(struct mqxi_delivery *d, const struct sigevent *event);
/* It is no longer needed. */
void mqxi_delivery_drop(struct mqxi_delivery *d);

/* SIGEV_SIGNAL: send it to this process.  Async-signal-safe.  MQXI_SIGEV_CALL: call. */
void mqxi_deliver_signal(const struct mqxi_delivery *d, struct mqxi_sender by);
/* SIGEV_THREAD: run the function in a new thread of this name. */
void mqxi_deliver_thread(const struct mqxi_delivery *d, const char *name);

#endif
