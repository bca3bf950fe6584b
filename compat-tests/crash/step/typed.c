/*
 * The harness's messages are numbered as they were sent, so the first that a wish
 * fits is known.  It may be passed over only if somebody stands, or died, in a
 * receive: once, and then it may come later than its place says.
 */
#include "typed.h"

#include "ledger.h"

#define MOST    20000
#define SENDERS 4
#define QBYTES  16384

static struct {
    long type;
    bool there, loose;
} sent[MOST];
static unsigned count, receivers, loosened, gone;
static struct {
    bool may, must;
    unsigned came;
} senders[SENDERS];
static int queue;
static size_t length;

static struct msqid_ds holds(void)
{
    struct msqid_ds ds;

    if (msgctl(queue, IPC_STAT, &ds) != 0) {
        fault("IPC_STAT: %s", strerror(errno));
        memset(&ds, 0, sizeof ds);
    }
    return ds;
}

/* The kernel's usual room, where there is more. */
static void limit(void)
{
    struct msqid_ds ds = holds();

    if (ds.msg_qbytes <= QBYTES)
        return;
    ds.msg_qbytes = QBYTES;
    if (msgctl(queue, IPC_SET, &ds) != 0)
        fault("IPC_SET: %s", strerror(errno));
}

void typed_begin(int id, size_t len)
{
    queue = id;
    length = len;
    count = receivers = loosened = gone = 0;
    memset(senders, 0, sizeof senders);
    limit();
}

bool typed_send(long type)
{
    struct typed_message m = {.type = type};

    if (count == MOST)
        storm_die("too many messages");
    message_build(m.room, 0, count, (unsigned)type, length);
    if (msgsnd(queue, &m, length, IPC_NOWAIT) != 0) {
        if (errno != EAGAIN)
            fault("msgsnd: %s", strerror(errno));
        return false;
    }
    sent[count].type = type;
    sent[count].there = true;
    sent[count++].loose = false;
    return true;
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool fits(struct wish wish, long type)
{
    if (wish.type == 0)
        return true;
    if (wish.type < 0)
        return type <= -wish.type;
    return wish.flags & MSG_EXCEPT ? type != wish.type : type == wish.type;
}

/* Does the wish take message i rather than message n? */
static bool goes_before(struct wish wish, unsigned i, unsigned n)
{
    if (!fits(wish, sent[i].type))
        return false;
    if (wish.type < 0 && sent[i].type != sent[n].type)
        return sent[i].type < sent[n].type;
    return i < n;
}

static void check_order(struct wish wish, unsigned n)
{
    for (unsigned i = 0; i < count; i++) {
        if (!sent[i].there || sent[i].loose || !goes_before(wish, i, n))
            continue;
        if (loosened == receivers)
            fault("message %u of type %ld came before %u of type %ld (type %ld was asked for)", n,
                  sent[n].type, i, sent[i].type, wish.type);
        loosened += loosened < receivers;
        sent[i].loose = true;
    }
}

void typed_received(const struct typed_message *m, int64_t len, struct wish wish, bool sharp)
{
    const struct storm_msg *msg = (const struct storm_msg *)m->room;
    uint64_t n = msg->number;

    if (len != (int64_t)length || !message_whole(m->room, length) || (long)msg->round != m->type)
        fault("a damaged message of type %ld and %" PRId64 " bytes", m->type, len);
    else if (!fits(wish, m->type))
        fault("type %ld came where %ld was asked for", m->type, wish.type);
    else if (msg->sender > 0 && (msg->sender >= SENDERS || !senders[msg->sender].may))
        fault("a message that nobody sent");
    else if (msg->sender > 0 && senders[msg->sender].came++ > 0)
        fault("sender %u's message came twice", msg->sender);
    else if (msg->sender == 0 && (n >= count || !sent[n].there))
        fault("message %" PRIu64 " came twice", n);
    else if (msg->sender == 0) {
        if (sharp)
            check_order(wish, (unsigned)n);
        sent[n].there = false;
    }
}

bool typed_receive(struct wish wish)
{
    struct typed_message m;
    ssize_t len = msgrcv(queue, &m, sizeof m.room, wish.type, wish.flags | IPC_NOWAIT);

    if (len >= 0)
        typed_received(&m, len, wish, true);
    else if (errno != ENOMSG)
        fault("msgrcv: %s", strerror(errno));
    return len >= 0;
}

/* --- what others do --------------------------------------------------------------------------- */

void typed_sender(uint32_t sender)
{
    senders[sender].may = true;
}

void typed_receiver(void)
{
    receivers++;
}

void typed_sent(uint32_t sender, bool did)
{
    senders[sender].must = did;
    senders[sender].may = did || senders[sender].came > 0;
    if (!did && senders[sender].came > 0)
        fault("the message of a send that failed came");
}

void typed_receiver_died(void)
{
    gone++;
}

/* --- all of it -------------------------------------------------------------------------------- */

void typed_drain(void)
{
    static const struct wish wishes[] = {{2, 0}, {-2, 0}, {2, MSG_EXCEPT}, {4, 0}, {0, 0}};
    static unsigned turn;

    for (unsigned nothing = 0; nothing < 5; turn++)
        nothing = typed_receive(wishes[turn % 5]) ? 0 : nothing + 1;
}

void typed_drain_after_death(void)
{
    uint64_t begin = storm_now();
    struct msqid_ds ds;

    while (typed_drain(), ds = holds(), ds.msg_qnum || ds.__msg_cbytes) {
        if (storm_now() - begin > WAIT_NS) {
            fault("an empty queue says %lu messages, %lu bytes", (unsigned long)ds.msg_qnum,
                  (unsigned long)ds.__msg_cbytes);
            return;
        }
        storm_nap(10000000);
    }
}

void typed_check_room(unsigned held)
{
    unsigned long n = 0, room = holds().msg_qbytes / length;
    struct msqid_ds ds;

    while (n < room && typed_send(n < 64 ? 1 + (long)n % 3 : 4))
        n++;
    ds = holds();
    if (n + held < room || (held == 0 && typed_send(1)))
        fault("room for %s%lu of %lu messages", n == room ? "more than " : "", n, room);
    if (ds.msg_qnum + held < n || ds.msg_qnum > room || ds.__msg_cbytes != ds.msg_qnum * length)
        fault("a full queue says %lu of %lu messages, %lu bytes", (unsigned long)ds.msg_qnum, room,
              (unsigned long)ds.__msg_cbytes);
    typed_drain();
}

void typed_settle(void)
{
    unsigned missing = 0;

    for (unsigned i = 0; i < count; i++)
        missing += sent[i].there;
    if (missing > gone)
        fault("%u messages are lost", missing - gone);
    for (unsigned i = 1; i < SENDERS; i++)
        if (senders[i].must && senders[i].came == 0)
            fault("the message of sender %u is lost", i);
}
