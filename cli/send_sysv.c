/*
 * mqx send to a System V queue, whose msgsnd knows no time-out: but no signal handler
 * is followed by its restart.  So an interval timer ends it, again and again, as one
 * signal might come before the call.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/msg.h>
#include <sys/time.h>

#include "anyname.h"
#include "cli.h"
#include "mqx.h"
#include "segment.h"
#include "send.h"

static void wake_up(int number)
{
    (void)number;
}

static void start_timer(void)
{
    struct sigaction action = {.sa_handler = wake_up};
    struct itimerval often = {.it_interval = {.tv_usec = 20000}, .it_value = {.tv_usec = 20000}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
}

static bool passed(const struct timespec *deadline)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > deadline->tv_sec ||
           (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

static int transfer(int id, const void *message, size_t len, const struct sysv_order *order)
{
    struct timespec deadline;
    int r;

    if (!order->timeout)
        return mqx_msgsnd(id, message, len, order->nonblock ? IPC_NOWAIT : 0) < 0 ? errno : 0;
    deadline = arg_deadline("send", order->timeout);
    start_timer();
    do
        r = mqx_msgsnd(id, message, len, order->nonblock ? IPC_NOWAIT : 0) < 0 ? errno : 0;
    while (r == EINTR && !passed(&deadline));
    return r == EINTR ? ETIMEDOUT : r;
}

/* Its id, and the largest message that it takes. */
static int find(const char *name, int *id, size_t *msgsize)
{
    struct mqxi_queue *q;
    int r = mqxi_name_attach(name + 1, &q);

    if (r < 0)
        return r;
    *id = q->id;
    *msgsize = q->layout.msgsize;
    mqxi_segment_detach(q);
    return 0;
}

int send_sysv(const char *name, const struct sysv_order *order, const char *text)
{
    char *input, *message;
    size_t len, msgsize;
    int id, r = find(name, &id, &msgsize);

    if (r < 0)
        return fail("send", name, -r);
    input = send_message(text, msgsize, &len);
    if (!input)
        return EXIT_FAILED;
    message = malloc(sizeof(long) + len);
    r = message ? 0 : ENOMEM;
    if (message) {
        memcpy(message, &order->type, sizeof(long));
        memcpy(message + sizeof(long), input, len);
        r = transfer(id, message, len, order);
    }
    free(message);
    free(input);
    if (r == EINVAL && len > msgsize)
        r = EMSGSIZE;
    return r == 0 ? EXIT_DONE : send_failed(name, msgsize, r);
}
