/*
 * Building queues and damaging them.  Random bytes are rarely plausible: words
 * from elsewhere in the segment, sizes next to the limits and control words of
 * owners that live, died or never were go deeper.
 */
#include "damage.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "durable.h"
#include "engine.h"
#include "names.h"
#include "sys.h"
#include "thread.h"

void damage_must(bool ok, const char *what, long got)
{
    if (ok)
        return;
    fprintf(stderr, "not as it must be: %s: %ld\n", what, got);
    abort();
}

bool damage_may(long r, int other)
{
    return r == 0 || r == -EBADMSG || r == -EIO || (other && r == other);
}

bool damage_may_open(long r, int other)
{
    return damage_may(r, other) || (r == -EACCES && geteuid() != 0);
}

/* --- reading inputs ------------------------------------------------------------------------ */

struct mqxi_attr damage_shape(uint8_t which)
{
    /* Without a tree, with one of one, two and three levels. */
    static const uint32_t maxmsg[8] = {1, 3, 64, 65, 100, 300, 1100, 5000};
    static const uint32_t msgsize[4] = {1, MQXI_INLINE, MQXI_INLINE + 1, 9000};

    return (struct mqxi_attr){
        .maxmsg = maxmsg[which % 8],
        .msgsize = msgsize[which / 8 % 4],
        .mode = 0600,
        .durable = (enum mqxi_durable)(which / 32 % 3),
    };
}

struct damage_head damage_head(struct damage_input *in, struct mqxi_attr *attr)
{
    struct damage_head head = {0};
    size_t n = in->left < sizeof(head) ? in->left : sizeof(head);

    memcpy(&head, in->at, n);
    in->at += n;
    in->left -= n;
    *attr = damage_shape(head.shape);
    return head;
}

bool damage_next(struct damage_input *in, struct damage_record *out)
{
    if (in->left < sizeof(*out))
        return false;
    memcpy(out, in->at, sizeof(*out));
    in->at += sizeof(*out);
    in->left -= sizeof(*out);
    return true;
}

uint64_t damage_region(const struct mqxi_layout *l, unsigned region, uint64_t *length)
{
    const uint64_t edges[] = {0,       l->ctl,   l->used,     l->dirty,
                              l->tree, l->slots, l->overflow, l->size};

    region %= DAMAGE_REGIONS;
    *length = edges[region + 1] - edges[region];
    return edges[region];
}

/* --- damage -------------------------------------------------------------------------------- */

/* The word that a record means; one of the header where the region is empty. */
static uint64_t place(const struct mqxi_layout *l, unsigned region, uint64_t offset)
{
    uint64_t length, start = damage_region(l, region, &length);

    if (length < 8)
        start = damage_region(l, DAMAGE_HEADER, &length);
    return start + offset % (length / 8) * 8;
}

static uint64_t telling(const struct mqxi_queue *q, uint64_t which)
{
    int error;
    const struct mqxi_identity *me = mqxi_client_self(q->uid, &error);
    uint64_t mine = me ? atomic_load(&me->owner) : 1;
    const uint64_t values[] = {
        0,
        1,
        UINT64_MAX,
        INT64_MAX,
        MQXI_CTL_FILLING | mine,
        MQXI_CTL_TAKING | mine,
        MQXI_CTL_FILLING | 1,                   /* dead: generation 1 of number 0 */
        MQXI_CTL_TAKING | (mine - 1),           /* this number's last holder */
        MQXI_CTL_TAKING | MQXI_CTL_OWNER,       /* no such number */
        MQXI_CTL_OWNED | MQXI_CTL_STATE | mine, /* no such state */
        MQXI_CTL_OWNED,                         /* neither */
        MQXI_SEQ_MAX,                           /* the last sequence */
        MQXI_SEQ_MAX - 1,
        (UINT64_C(32767) << MQXI_SEQ_BITS) | 1, /* keys: lowest priority, */
        1 | UINT64_C(1) << 40,                  /* highest priority, late */
        atomic_load(&q->ctl[0]),
        q->layout.maxmsg,
        q->layout.maxmsg + 1ull,
        q->layout.msgsize + 1ull,
        UINT64_C(1) << MQXI_NODE_SLOT_BITS,
        MQXI_CTL_LEAVING | mine,
        MQXI_CTL_LEAVING | (mine - 1),
    };

    return values[which % (sizeof(values) / sizeof(*values))];
}

static uint32_t telling_size(const struct mqxi_layout *l, uint64_t which)
{
    const uint32_t values[] = {0,
                               1,
                               2,
                               63,
                               64,
                               65,
                               MQXI_INLINE,
                               MQXI_INLINE + 1,
                               MQXI_PAGE,
                               l->maxmsg - 1,
                               l->maxmsg,
                               l->maxmsg + 1,
                               l->msgsize,
                               l->msgsize + 1,
                               (uint32_t)l->room,
                               (uint32_t)l->room + 1,
                               MQXI_MAXMSG_MAX,
                               MQXI_MAXMSG_MAX + 1,
                               MQXI_MSGSIZE_MAX,
                               INT32_MAX,
                               UINT32_MAX,
                               UINT32_MAX - 4095};

    return values[which % (sizeof(values) / sizeof(*values))];
}

static void write_word(struct mqxi_queue *q, uint64_t at, const struct damage_record *d)
{
    uint8_t *base = (uint8_t *)q->header, *byte = base + at + (d->what >> 4 & 7u);
    uint32_t half = (uint32_t)d->value, *halves = (uint32_t *)(base + at);
    uint64_t *word = (uint64_t *)(base + at), value = d->value, room = (q->layout.size - at) / 8;

    switch (d->what & 15u) {
    case DAMAGE_FLIP:
        *byte ^= (uint8_t)value;
        break;
    case DAMAGE_ANYWHERE:
        memcpy(at + 16 <= q->layout.size ? byte : (uint8_t *)word, &value, 8);
        break;
    case DAMAGE_FEW:
        half = telling_size(&q->layout, value);
        /* fallthrough */
    case DAMAGE_HALF:
        halves[d->what >> 6 & 1u] = half;
        break;
    case DAMAGE_WORD:
        *word = value;
        break;
    case DAMAGE_TELLING:
        *word = telling(q, value);
        break;
    case DAMAGE_COPY:
        memcpy(word, base + place(&q->layout, value & 255u, value >> 8), 8);
        break;
    case DAMAGE_NODE:
        word[0] = atomic_load(&q->ctl[value % q->layout.maxmsg]);
        if (room > 1)
            word[1] = value;
        break;
    case DAMAGE_ADD:
        *word += (uint64_t)(int64_t)(int8_t)value;
        break;
    case DAMAGE_STRETCH:
        for (unsigned i = 0; i < 64 && i < room; i++)
            word[i] = value;
        break;
    default:
        *byte = (uint8_t)value;
    }
}

static int open_bell(int flags)
{
    char path[PATH_MAX];

    damage_must(mqxi_mqxd_path(MQXI_BELL_FILE, geteuid(), path) == 0, "path of the doorbell", 0);
    return open(path, flags | O_CLOEXEC, 0600);
}

void damage_make_bell(void)
{
    int fd = open_bell(O_RDWR | O_CREAT);

    damage_must(fd >= 0, "doorbell", errno);
    damage_must(mqxi_bell_mend(fd, 0) == 0, "a fresh doorbell", 0);
    close(fd);
}

static void damage_bell(const struct damage_record *d)
{
    int fd = open_bell(O_RDWR);
    off_t at = d->offset % 16u * 8 + (d->what >> 4 & 7u);

    if (fd < 0)
        return;
    if (d->offset >= 0xff00) {
        damage_must(ftruncate(fd, (off_t)(d->value % 8192)) == 0, "truncate the doorbell", errno);
    } else {
        damage_must(pwrite(fd, &d->value, 8, at) == 8, "write the doorbell", errno);
    }
    close(fd);
}

void damage_do(struct mqxi_queue *q, const struct damage_record *d)
{
    if (d->region % DAMAGE_PLACES == DAMAGE_BELL)
        damage_bell(d);
    else
        write_word(q, place(&q->layout, d->region % DAMAGE_PLACES, d->offset), d);
}

/* --- queues -------------------------------------------------------------------------------- */

static void put_messages(struct mqxi_queue *q, unsigned messages)
{
    static uint8_t bytes[MQXI_PAGE * 3];
    uint32_t count = (uint32_t)messages * (q->layout.maxmsg < 512 ? 2 : q->layout.maxmsg / 250) / 2;

    for (uint32_t i = 0; i < count; i++) {
        int r = mqxi_put(q, bytes, i * 97u % (q->layout.msgsize + 1), i * 31u % 5u, 0, NULL, NULL);

        damage_must(r == 0 || r == -EAGAIN, "put into an undamaged queue", r);
        if (r == -EAGAIN)
            break;
    }
}

static void build(const struct mqxi_attr *attr, unsigned messages, struct mqxi_unborn *u,
                  const char *name, char *fifo)
{
    unsigned token;
    int r = mqxi_segment_build(attr, u);

    damage_must(r == 0, "build", r);
    token = mqxi_op_enter();
    put_messages(u->queue, messages);
    mqxi_op_leave(token);
    mqxi_segment_fifo(u->queue, fifo);
    r = mqxi_segment_link(u, name);
    damage_must(r == 0, "link", r);
}

void damage_fill(const struct mqxi_attr *attr, unsigned messages, const char *name, char *fifo)
{
    struct mqxi_unborn u;

    build(attr, messages, &u, name, fifo);
    mqxi_segment_finish(&u, true);
    mqxi_segment_detach(u.queue);
}

void damage_build(struct damage_input *in, const char *name, char *fifo)
{
    struct damage_record record;
    struct damage_input rest;
    struct mqxi_attr attr;
    struct mqxi_unborn u;
    struct damage_head head = damage_head(in, &attr);

    build(&attr, head.messages, &u, name, fifo);
    for (rest = *in; damage_next(&rest, &record) && !(record.what & DAMAGE_OPERATION); *in = rest)
        damage_do(u.queue, &record);
    mqxi_segment_finish(&u, true);
    mqxi_segment_detach(u.queue);
}
