/*
 * thread_storm: many threads of one process use a few queues through the same
 * descriptors, in every way there is, while others close, open, duplicate and
 * unlink them.  Each message is received exactly once and as it was sent.
 *
 * It is made for the thread sanitizer, which sees only what happens in one process
 * and at one address: so all threads share the descriptors that main() opened,
 * for another mq_open would be another mapping of the queue, and a race between
 * the two would go unseen.  Some queues are scanned, some have a tree; some
 * messages fit into their slots, some do not.
 */
#include <poll.h>
#include <pthread.h>

#include "storm.h"

enum { QUEUES = 4, THREADS_MAX = 256, PASSING = 8, PRIOS = 5 };

static const struct {
    long maxmsg, msgsize;
} sizes[QUEUES] = {{4, 64}, {8, 1500}, {200, 64}, {200, 1500}};

struct message {
    uint64_t number; /* of all that were sent */
    uint64_t sum;    /* of the number, the length and the priority */
    uint8_t rest[1484];
};

static uint64_t seed, threads = 20, each = 3000;
static mqd_t queue[QUEUES];
static _Atomic mqd_t passing[PASSING]; /* descriptors that come and go meanwhile; -1: none */
static _Atomic uint64_t numbers, sent, received, notified, busy;
static _Atomic uint64_t wrong; /* messages that are not as they were sent, or came twice */
static _Atomic unsigned char *seen;

static void queue_name(char *name, size_t size, const char *kind, unsigned i)
{
    snprintf(name, size, "/thread-%s-%d-%u", kind, (int)getpid(), i);
}

static void unexpected(const char *what)
{
    printf("not ok - %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t sum_of(uint64_t number, size_t len, unsigned prio)
{
    return storm_mix(number ^ len << 48 ^ (uint64_t)prio << 40);
}

/* What may go wrong with a descriptor that another thread closes, and whose number another queue
 * may have by now. */
static void check_error(const char *what, bool passes)
{
    static const int always[] = {EAGAIN, ETIMEDOUT, EINTR}, passed[] = {EBADF, EMSGSIZE};

    for (unsigned i = 0; i < sizeof always / sizeof *always; i++)
        if (errno == always[i])
            return;
    for (unsigned i = 0; passes && i < sizeof passed / sizeof *passed; i++)
        if (errno == passed[i])
            return;
    unexpected(what);
}

static void send_one(mqd_t q, size_t most, uint64_t *chance, bool passes)
{
    struct message m = {.number = atomic_fetch_add(&numbers, 1)};
    size_t len = 16 + storm_below(chance, most - 15);
    unsigned prio = (unsigned)storm_below(chance, PRIOS);
    struct timespec soon = storm_deadline(storm_below(chance, 3) * 1000000);

    m.sum = sum_of(m.number, len, prio);
    memset(m.rest, (int)m.number & 0xff, sizeof m.rest);
    if (mq_timedsend(q, (const char *)&m, len, prio, &soon) == 0)
        atomic_fetch_add(&sent, 1);
    else
        check_error("mq_timedsend", passes);
}

static void check_message(const struct message *m, size_t len, unsigned prio)
{
    bool good = len >= 16 && m->number < atomic_load(&numbers) &&
                m->sum == sum_of(m->number, len, prio) && atomic_exchange(&seen[m->number], 1) == 0;

    for (size_t i = 16; good && i < len; i++)
        good = m->rest[i - 16] == (uint8_t)m->number;
    if (!good)
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&received, 1);
}

static bool receive_one(mqd_t q, struct timespec deadline, bool passes)
{
    struct message m;
    unsigned prio;
    ssize_t len = mq_timedreceive(q, (char *)&m, sizeof m, &prio, &deadline);

    if (len >= 0)
        check_message(&m, (size_t)len, prio);
    else
        check_error("mq_timedreceive", passes);
    return len >= 0;
}

static void on_message(union sigval value)
{
    (void)value;
    atomic_fetch_add(&notified, 1);
}

static void register_for(mqd_t q, uint64_t *chance)
{
    struct sigevent event = {.sigev_notify = SIGEV_NONE};

    if (storm_below(chance, 4) == 0) {
        event.sigev_notify = SIGEV_THREAD;
        event.sigev_notify_function = on_message;
    }
    if (mq_notify(q, storm_below(chance, 3) ? &event : NULL) == 0)
        return;
    if (errno != EBUSY)
        check_error("mq_notify", true);
    atomic_fetch_add(&busy, 1);
}

static void look(mqd_t q, uint64_t *chance)
{
    struct pollfd fd = {.fd = q, .events = POLLIN | POLLOUT};
    struct mq_attr attr;
    char line[128];

    switch (storm_below(chance, 3)) {
    case 0:
        if (poll(&fd, 1, (int)storm_below(chance, 3)) < 0)
            unexpected("poll");
        break;
    case 1:
        if (mq_getattr(q, &attr) < 0)
            unexpected("mq_getattr");
        break;
    default:
        if (pread(q, line, sizeof line, 0) < 0)
            unexpected("reading a queue's state");
    }
}

/* Give a queue's descriptor to everybody, and take back the one that was there. */
static void pass_on(uint64_t *chance)
{
    unsigned i = (unsigned)storm_below(chance, PASSING),
             which = (unsigned)storm_below(chance, QUEUES);
    mqd_t q = -1, before;
    char name[64];

    queue_name(name, sizeof name, "storm", which);
    switch (storm_below(chance, 3)) {
    case 0:
        q = fcntl(queue[which], F_DUPFD_CLOEXEC, 0); /* the sanitizer does not see mq_close */
        break;
    case 1:
        q = mq_open(name, O_RDWR);
        break;
    default: /* one that is new, and gone at once; nobody sends to it, where all would be lost */
        queue_name(name, sizeof name, "gone", i);
        q = storm_open(name, O_RDONLY | O_CREAT, 8, 1500);
        mq_unlink(name);
    }
    if (q < 0)
        unexpected("another descriptor");
    before = atomic_exchange(&passing[i], q);
    if (before >= 0 && mq_close(before) < 0)
        unexpected("mq_close");
}

static void use_passing(uint64_t *chance)
{
    mqd_t q = atomic_load(&passing[storm_below(chance, PASSING)]);

    if (q < 0)
        return;
    if (storm_below(chance, 2))
        send_one(q, 64, chance, true);
    else
        receive_one(q, storm_deadline(storm_below(chance, 2) * 1000000), true);
}

static void *work(void *arg)
{
    uint64_t chance = seed + (uintptr_t)arg;

    for (uint64_t i = 0; i < each; i++) {
        unsigned which = (unsigned)storm_below(&chance, QUEUES);
        uint64_t kind = storm_below(&chance, 64);

        if (kind < 24)
            send_one(queue[which], (size_t)sizes[which].msgsize, &chance, false);
        else if (kind < 48)
            receive_one(queue[which], storm_deadline(storm_below(&chance, 3) * 1000000), false);
        else if (kind < 54)
            look(queue[which], &chance);
        else if (kind < 56)
            register_for(queue[which], &chance);
        else if (kind < 58)
            pass_on(&chance);
        else
            use_passing(&chance);
    }
    return NULL;
}

static void open_all(void)
{
    char name[64];

    for (unsigned i = 0; i < QUEUES; i++) {
        queue_name(name, sizeof name, "storm", i);
        queue[i] = storm_open(name, O_RDWR | O_CREAT | O_EXCL, (uint64_t)sizes[i].maxmsg,
                              (uint64_t)sizes[i].msgsize);
        if (queue[i] < 0)
            unexpected("mq_open");
    }
    for (unsigned i = 0; i < PASSING; i++)
        atomic_store(&passing[i], -1);
}

static void drain_and_close_all(void)
{
    char name[64];

    for (unsigned i = 0; i < QUEUES; i++) {
        while (receive_one(queue[i], (struct timespec){0}, false))
            ;
        queue_name(name, sizeof name, "storm", i);
        mq_unlink(name);
        mq_close(queue[i]);
    }
}

int main(int argc, char **argv)
{
    pthread_t thread[THREADS_MAX];

    storm_options(argc, argv,
                  (struct storm_option[]){{"seed", &seed, false, "0: a new one"},
                                          {"threads", &threads, false, "up to 256"},
                                          {"each", &each, false, "operations of each thread"},
                                          {0}});
    if (threads > THREADS_MAX)
        threads = THREADS_MAX;
    storm_begin("thread_storm", &seed);
    seen = storm_shared(threads * each + 1);
    open_all();
    for (uintptr_t i = 0; i < threads; i++)
        if ((errno = pthread_create(&thread[i], NULL, work, (void *)(i << 32))) != 0)
            unexpected("pthread_create");
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    drain_and_close_all();
    printf("# %" PRIu64 " threads, %" PRIu64 " operations, %" PRIu64 " sent, %" PRIu64
           " received, %" PRIu64 " notified, %" PRIu64 " found another registered\n",
           threads, threads * each, sent, received, notified, busy);
    storm_check(sent > 0 && sent == received, "each message was received");
    storm_check(wrong == 0, "none twice, and all as they were sent");
    return storm_end("thread_storm", seed);
}
