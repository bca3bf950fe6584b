/*
 * poll on a queue's file.  We are one who polls the queue in the stead of all
 * who poll its file: our descriptor of its FIFO (libmqx/bell.c) has an edge
 * whenever the queue changes.  The kernel then hears of each file that somebody
 * polls, and asks again, if he is still there.
 *
 * Not the way of blocked reads, whose sleep a sender sees: to him who polls no
 * message is promised.
 */
#include "polled.h"

#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "bell.h"
#include "calls.h"
#include "engine.h"
#include "files.h"
#include "record.h"
#include "repair.h"
#include "segment.h"
#include "sys.h"
#include "thread.h"

#define EVENTS 64

static int set = -1;

int polled_start(void)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    return set < 0 ? -errno : set;
}

static unsigned readiness(const struct remote *r)
{
    struct attached *a = r->attached;
    unsigned token = mqxi_op_enter(), can = mqxi_readiness(a->queue);

    if (r->view.prio && !record_is_there(a, &r->view))
        can &= ~MQXI_CAN_RECEIVE;
    mqxi_op_leave(token);
    return (can & MQXI_CAN_RECEIVE ? POLLIN | POLLRDNORM : 0) |
           (can & MQXI_CAN_SEND ? POLLOUT | POLLWRNORM : 0);
}

/* Have the queue's FIFO in the set.  Where that fails, the tick must do. */
static void watch(struct attached *a)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = a};
    char path[PATH_MAX];
    unsigned token;

    if (a->fifo < 0 && mqxi_segment_fifo(a->queue, path) == 0) {
        a->fifo = mqxi_sys_openat(AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
        if (a->fifo >= 0 && (mqxi_bell_verify(a->queue, a->fifo) < 0 ||
                             epoll_ctl(set, EPOLL_CTL_ADD, a->fifo, &event) < 0)) {
            mqxi_sys_close(a->fifo);
            a->fifo = -1;
        }
        if (a->fifo >= 0)
            mqxi_file_opened(a->queue, a->fifo); /* of use where its name is gone */
    }
    token = mqxi_op_enter();
    mqxi_bell_watch(a->queue, MQXI_TELLS_EDGES);
    mqxi_op_leave(token);
}

void polled_unwatch(struct attached *a)
{
    if (a->fifo < 0)
        return;
    atomic_store(&a->queue->fd, -1);
    mqxi_sys_close(a->fifo); /* takes it out of the set */
    a->fifo = -1;
}

void polled_ask(struct remote *r, fuse_req_t request, struct fuse_pollhandle *handle, unsigned also)
{
    if (handle) {
        polled_forget(r); /* the kernel has one for a file, however many poll it */
        r->poller = handle;
        watch(r->attached);
    }
    /* Afterwards: what changes from now on, we hear of. */
    r->told = call_permitted(r, request, MQXI_MAY_READ | MQXI_MAY_WRITE) ? readiness(r) : POLLERR;
    fuse_reply_poll(request, r->told | also);
}

void polled_forget(struct remote *r)
{
    if (r->poller)
        fuse_pollhandle_destroy(r->poller);
    r->poller = NULL;
}

static void tell(struct remote *r)
{
    fuse_lowlevel_notify_poll(r->poller);
    polled_forget(r); /* who sleeps on asks again */
}

static const struct attached *changed;
static bool wanted;

static void tell_of_change(struct remote *r)
{
    if (r->attached != changed || !r->poller)
        return;
    tell(r);
    wanted = true;
}

void polled_collect(void)
{
    struct epoll_event event[EVENTS];
    int n = epoll_wait(set, event, EVENTS, 0);

    for (int i = 0; i < n; i++) {
        changed = event[i].data.ptr;
        wanted = false;
        remote_each(tell_of_change);
        if (!wanted) /* nobody does any more */
            polled_unwatch(event[i].data.ptr);
    }
}

/* A process that died may have left the queue other than its FIFO shows. */
static void look(struct remote *r)
{
    unsigned token;
    bool swept;

    if (!r->poller)
        return;
    token = mqxi_op_enter();
    mqxi_repair_sometimes(r->attached->queue, &swept);
    mqxi_op_leave(token);
    if (readiness(r) & ~r->told)
        tell(r);
}

void polled_tick(void)
{
    remote_each(look);
}
