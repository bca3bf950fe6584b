/* What the tests of mq_notify share: one queue, signals taken one by one, a look at the threads. */
#ifndef MQXI_NOTIFY_TESTING_H
#define MQXI_NOTIFY_TESTING_H

#include <dirent.h>
#include <mqx.h>

#include "handles.h"
#include "notify.h"
#include "testing.h"

#define SIGNAL   (SIGRTMIN + 5) /* queues up: what is sent twice comes twice */
#define MENDED_S 20 /* seconds in which a lost notification is found; some three in fact */

static mqd_t fd;
static struct mqxi_queue *q;

static inline mqd_t open_queue(const char *queue_name, long maxmsg)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = 32};
    mqd_t made = mqx_open(queue_name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);

    CHECK(made >= 0);
    return made;
}

/* The queue of a test, whose signal is blocked. */
static inline void open_q(long maxmsg)
{
    unsigned access;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGNAL);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = open_queue("/q", maxmsg);
    IS(mqxi_handle_get(fd, &q, &access), 0);
}

static inline struct sigevent event_of(int kind, int value)
{
    struct sigevent event = {.sigev_notify = kind, .sigev_signo = SIGNAL};

    event.sigev_value.sival_int = value;
    return event;
}

static inline int registers(int value)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, value);

    return mqx_notify(fd, &event) == 0 ? 0 : errno;
}

/* The notification's value, or -1 for none in so many seconds. */
static inline int notified_by(int seconds, siginfo_t *info)
{
    struct timespec limit = {.tv_sec = seconds};
    sigset_t set;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGNAL);
    do
        r = sigtimedwait(&set, info, &limit);
    while (r < 0 && errno == EINTR);
    return r == SIGNAL && info->si_code == SI_MESGQ ? info->si_value.sival_int : -1;
}

static inline int notified(int seconds)
{
    siginfo_t info;

    return notified_by(seconds, &info);
}

static inline void sends(void)
{
    IS(mqx_send(fd, "x", 1, 0), 0);
}

static inline void drains(void)
{
    char buffer[32];

    while (mqx_receive(fd, buffer, sizeof(buffer), NULL) >= 0)
        ;
    IS(errno, EAGAIN);
}

/* A message whose sender died before it could notify: published, and nothing after that. */
static inline void sends_and_dies(void)
{
    atomic_fetch_and(&q->header->put_tells, ~MQXI_TELLS_NOTIFIERS);
    sends();
    atomic_fetch_or(&q->header->put_tells, MQXI_TELLS_NOTIFIERS);
}

static inline uint64_t entries_in_use(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < MQXI_NOTIFY_ENTRIES; i++)
        n += atomic_load(&q->header->entry[i].owner) != 0;
    return n;
}

/* Threads of this process, and how many of them are helpers; *helper: one of them. */
static inline int look_at_threads(int *helpers, int *helper)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    int n = 0;

    CHECK(dir);
    *helpers = 0;
    while ((entry = readdir(dir))) {
        char path[300], name[32] = "";
        FILE *file;

        if (entry->d_name[0] == '.')
            continue;
        n++;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (file && fgets(name, sizeof(name), file) && strcmp(name, "mqx-notify\n") == 0) {
            *helper = atoi(entry->d_name);
            ++*helpers;
        }
        if (file)
            fclose(file);
    }
    closedir(dir);
    return n;
}

static inline int threads(int *helpers)
{
    int helper;

    return look_at_threads(helpers, &helper);
}

static inline bool find_helper(int *helper)
{
    int helpers;

    look_at_threads(&helpers, helper);
    return helpers > 0;
}

#endif
