/*
 * What read and write cannot say: a message and its priority in one request.
 * It waits as they do.  A message is consumed when the kernel has accepted our
 * answer; the one that the file shows meanwhile is another.
 */
#include "control.h"

#include <stdlib.h>
#include <string.h>

#include "mqx_ioctl.h"
#include "parked.h"
#include "record.h"

#define FIRST_OTHER 0x60 /* from here on: libmqx's (protocol.h) */

bool control_is(unsigned command)
{
    return _IOC_TYPE(command) == 'q' && _IOC_NR(command) < FIRST_OTHER;
}

static void get_priority(const struct file *f, fuse_req_t request)
{
    const struct record *r = file_record(f);
    uint32_t prio = r->taken.prio;

    if (r->state == RECORD_NONE)
        fuse_reply_err(request, ENODATA);
    else
        fuse_reply_ioctl(request, 0, &prio, sizeof(prio));
}

/* -errno, or the answer was sent and the message is consumed. */
static int answer(struct parked *p, struct record *r)
{
    struct mqx_message *out;
    size_t size = sizeof(*out) + r->len;

    if (r->len > p->size)
        return -EMSGSIZE;
    out = malloc(size);
    if (!out)
        return -ENOMEM;
    *out = (struct mqx_message){.priority = r->taken.prio, .size = r->len};
    memcpy(out + 1, r->bytes, r->len);
    /* Where nobody gets it, the request was aborted, and it goes back with the record. */
    if (fuse_reply_ioctl(p->request, 0, out, size) == 0)
        record_consume(r, p->attached);
    free(out);
    return 0;
}

static bool attempt_receive(struct parked *p)
{
    struct record r = {0};
    int e = record_next(&r, p->attached, file_view(p->file), file_type(p->file));

    if (e == -EAGAIN)
        return false;
    if (e == 0)
        e = answer(p, &r);
    record_drop(&r, p->attached);
    if (e < 0)
        fuse_reply_err(p->request, -e);
    return true;
}

static bool may_wait(const struct file *f, const struct mqx_message *m)
{
    uint8_t reads = file_view(f)->reads;

    return !(m->flags & MQX_NOWAIT || file_flags(f) & O_NONBLOCK || reads == READS_AT_ONCE ||
             reads == READS_UNTIL_EMPTY);
}

static void receive(struct file *f, fuse_req_t request, const struct mqx_message *in, size_t room)
{
    struct parked p = {.attached = file_attached(f),
                       .direction = record_is_choice(file_view(f)) ? FOR_CHOICE : FOR_MESSAGE,
                       .request = request,
                       .attempt = attempt_receive,
                       .file = f,
                       .size = in->size < room ? in->size : room};

    if ((file_flags(f) & O_ACCMODE) == O_WRONLY)
        fuse_reply_err(request, EBADF);
    else
        file_try_or_park(&p, may_wait(f, in));
}

static void send(struct file *f, fuse_req_t request, const struct mqx_message *in, size_t size)
{
    int e = (file_flags(f) & O_ACCMODE) == O_RDONLY ? -EBADF
            : in->priority >= MQXI_PRIO_MAX         ? -EINVAL
            : in->size > size                       ? -EINVAL
                                                    : 0;

    if (e < 0)
        fuse_reply_err(request, -e);
    else
        file_send(f, request, in->priority, in + 1, in->size, may_wait(f, in));
}

static void set_priority(struct file *f, fuse_req_t request, const uint32_t *prio)
{
    int e = (file_flags(f) & O_ACCMODE) == O_RDONLY ? -EBADF : file_set_priority(f, *prio);

    if (e < 0)
        fuse_reply_err(request, -e);
    else
        fuse_reply_ioctl(request, 0, NULL, 0);
}

void control(struct file *f, fuse_req_t request, unsigned command, const void *in, size_t in_size,
             size_t out_size)
{
    bool message = in_size >= MQX_MESSAGE_SIZE(0) && !view_has_form(file_view(f));
    size_t room = message ? in_size - MQX_MESSAGE_SIZE(0) : 0;

    if (command == MQX_SET_PRIORITY && in_size == sizeof(uint32_t))
        set_priority(f, request, in);
    else if (command == MQX_GET_PRIORITY && out_size == sizeof(uint32_t))
        get_priority(f, request);
    else if (message && command == MQX_SEND(room))
        send(f, request, in, room);
    else if (message && command == MQX_RECEIVE(room) && out_size == in_size)
        receive(f, request, in, room);
    else
        fuse_reply_err(request, ENOTTY);
}
