/*
 * A client sends and receives by chance, and now and then makes sure that what
 * it did so far is stored.  For that it has a fence: a sync queue that only it
 * receives from, so that a send to it that returned has seen a commit.  A commit
 * takes what was marked before it began, hence:
 *
 * - what was done before two fences in a row is stored, if the queue is sync: the
 *   second's commit began after the first's ended, and so after it was done;
 * - so it is if the queue is async, when the window was over between two fences,
 *   by when mqxd has seen it, and two more.
 *
 * No assumption is made of how long anything takes.
 */
#include "storm.h"

#include <sys/msg.h>

const struct queue queues[QUEUES] = {{"/cut-sync", 0, true},
                                     {"/cut-async", 0, false},
                                     {NULL, 0x6375741, true},
                                     {NULL, 0x6375742, false}};

static struct client *me;
static unsigned self;
static struct entry *receipts[NUMBERS]; /* received since the last fence */
static struct entry *returns[NUMBERS];  /* given back since then */
static unsigned return_count;
static unsigned receipt_count, fenced; /* numbers below that are stored */
static int handle[QUEUES];             /* mqd_t, or msqid */
static mqd_t fence;

static bool open_queue(unsigned q, bool create)
{
    struct mq_attr attr = {.mq_maxmsg = ledger->maxmsg, .mq_msgsize = MSGSIZE};

    if (queues[q].name)
        handle[q] =
            (int)mq_open(queues[q].name, O_RDWR | O_NONBLOCK | (create ? O_CREAT : 0), 0600, &attr);
    else
        handle[q] = msgget(queues[q].key, (create ? IPC_CREAT : 0) | 0600);
    return handle[q] >= 0;
}

static void open_fence(void)
{
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 8};
    char name[40];

    snprintf(name, sizeof(name), "/cut-fence-%u", self);
    /* There may be no mqxd now, and another soon. */
    while ((fence = mq_open(name, O_RDWR | O_NONBLOCK | O_CREAT, 0600, &attr)) < 0)
        storm_nap(1000000);
}

static bool pass_fence(void)
{
    char word[8] = "fence";

    while (mq_receive(fence, word, sizeof(word), NULL) >= 0)
        ; /* also what a cut left of the last life's */
    if (mq_send(fence, word, sizeof(word), 0) < 0)
        return false;
    return mq_receive(fence, word, sizeof(word), NULL) >= 0;
}

static bool make_sure(void)
{
    unsigned next = me->next, n = receipt_count, given_back = return_count;

    if (!pass_fence() || !pass_fence())
        return false;
    storm_nap((WINDOW_MS + 1) * UINT64_C(1000000)); /* at least that long */
    if (!pass_fence() || !pass_fence())
        return false;
    for (; fenced < next; fenced++)
        if (me->entry[fenced].sent)
            me->entry[fenced].stored = 1;
    for (unsigned i = 0; i < n; i++)
        receipts[i]->removed = 1;
    for (unsigned i = 0; i < given_back; i++)
        returns[i]->returned--;
    receipt_count = return_count = 0;
    atomic_fetch_add(&ledger->fences, 1);
    return true;
}

static void send_one(unsigned q)
{
    struct {
        long type;
        uint8_t bytes[MSGSIZE];
    } out;
    struct storm_msg *msg = (struct storm_msg *)out.bytes;
    struct entry *e = &me->entry[me->next];
    size_t len;
    int r;

    if (me->next == NUMBERS)
        return;
    len = storm_build(msg, self, ledger->epoch, me->next, MSGSIZE);
    e->queue = (uint8_t)q;
    e->began = storm_now();
    e->tried = 1;
    me->next++;
    out.type = 1 + (long)storm_prio(msg, 4);
    if (queues[q].name)
        r = mq_send(handle[q], (char *)out.bytes, len, storm_prio(msg, 4));
    else
        r = msgsnd(handle[q], &out, len, IPC_NOWAIT);
    e->ended = storm_now();
    if (r < 0) {
        if (errno != EAGAIN && errno != EIO)
            ledger_wrong("client %u: send: %s", self, strerror(errno));
        e->refused = ledger->life;
        if (e->received == ledger->life)
            ledger_wrong("a send failed whose message was received");
        return;
    }
    e->sent = 1;
    e->stored = queues[q].sync;
    atomic_fetch_add(&ledger->sends, 1);
}

/* A receive failed: with a message in its hands? */
static void give_back(int error)
{
    struct entry *e = ledger_in_buffer(self);

    if (error != EAGAIN && error != ENOMSG && error != EIO)
        ledger_wrong("client %u: receive: %s", self, strerror(error));
    if (e)
        e->returned++;
    if (e && return_count < NUMBERS)
        returns[return_count++] = e;
}

static struct entry *receive_one(unsigned q, unsigned *priority)
{
    struct storm_msg *msg = (struct storm_msg *)me->buffer.bytes;
    struct entry *e = NULL;
    ssize_t len;

    msg->sum = 0;
    me->begun++;
    if (queues[q].name)
        len = mq_receive(handle[q], (char *)msg, MSGSIZE, priority);
    else
        len = msgrcv(handle[q], &me->buffer, MSGSIZE, 0, IPC_NOWAIT);
    if (len >= 0)
        e = ledger_received(self, q, msg, (size_t)len);
    else
        give_back(errno);
    if (len >= 0 && e && queues[q].name && *priority != storm_prio(msg, 4))
        ledger_wrong("another priority than it was sent with: %u", *priority);
    if (e && ledger->commit && queues[q].sync)
        e->removed = 1;
    me->noted++;
    return e;
}

/* A queue that is there for a moment: for it, and when it goes, mqxd changes the database directly,
 * and the journal begins anew. */
static void use_own_queue(uint64_t *luck)
{
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 8};
    char name[40], word[8] = "own";
    mqd_t own;

    snprintf(name, sizeof(name), "/cut-own-%u", self);
    own = mq_open(name, O_RDWR | O_NONBLOCK | O_CREAT, 0600, &attr);
    if (own < 0)
        return;
    for (uint64_t n = storm_below(luck, 5); n > 0; n--)
        (void)!mq_send(own, word, sizeof(word), 0);
    if (storm_below(luck, 2))
        (void)!mq_receive(own, word, sizeof(word), NULL);
    mq_close(own);
    if (storm_below(luck, 4))
        mq_unlink(name);
}

void client_work(unsigned client, uint64_t luck)
{
    unsigned priority;

    self = client;
    me = &ledger->client[client];
    /* The library says that there is no mqxd, which is as it should be. */
    if (!freopen("/dev/null", "w", stderr))
        storm_die("/dev/null");
    fenced = me->next; /* what an earlier life had not stored is perhaps lost */
    for (unsigned q = 0; q < QUEUES; q++)
        while (!open_queue(q, true))
            storm_nap(1000000);
    open_fence();
    for (;;) {
        unsigned q = (unsigned)storm_below(&luck, QUEUES);
        uint64_t dice = storm_below(&luck, 1000);

        if (dice < ledger->percent_fences * 10 || me->next == NUMBERS)
            make_sure(); /* which fails while there is no mqxd */
        if (storm_below(&luck, 1000) < ledger->permille_own)
            use_own_queue(&luck);
        if (storm_below(&luck, 100) < ledger->percent_sends) {
            send_one(q);
        } else {
            struct entry *e = receive_one(q, &priority);

            if (e && receipt_count < NUMBERS)
                receipts[receipt_count++] = e;
            if (!e)
                storm_nap(50000); /* mqxd needs a processor, too */
        }
    }
}

/* The highest priority first, and of one priority, nothing before what was sent when it had been
 * sent already. */
static void drain_queue(unsigned q)
{
    uint64_t latest[4] = {0};
    unsigned priority = 0, before = 4;
    struct entry *e;

    if (!open_queue(q, false)) {
        if (errno != ENOENT)
            ledger_wrong("queue %u cannot be opened: %s", q, strerror(errno));
        return;
    }
    while ((e = receive_one(q, &priority))) {
        if (priority > before)
            ledger_wrong("queue %u: priority %u came after %u", q, priority, before);
        if (e->sent && e->ended < latest[priority])
            ledger_wrong("queue %u: one that was sent later came first", q);
        if (e->began > latest[priority])
            latest[priority] = e->began;
        before = priority;
    }
}

void client_drain(void)
{
    self = CHECKER;
    me = &ledger->client[CHECKER];
    for (unsigned q = 0; q < QUEUES; q++)
        drain_queue(q);
    open_fence();
    while (!make_sure()) /* refused where the disk takes its time */
        storm_nap(1000000);
    _exit(0);
}
