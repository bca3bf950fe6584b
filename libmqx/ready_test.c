/* poll, select and epoll tell the truth, whatever the FIFO shows, and whoever died. */
#include "ready.h"

#include <mqueue.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/user.h>

#include "bell.h"
#include "client.h"
#include "engine.h"
#include "handles.h"
#include "slots.h"
#include "sys.h"
#include "testing.h"

static mqd_t q;

static mqd_t open_queue(int flags, long maxmsg)
{
    struct mq_attr attr = {.mq_maxmsg = maxmsg, .mq_msgsize = 8};

    q = mq_open("/q", O_CREAT | O_RDWR | flags, 0600, &attr);
    CHECK(q >= 0);
    return q;
}

static struct mqxi_queue *queue_of(mqd_t fd)
{
    struct mqxi_queue *queue = NULL;
    unsigned access;

    IS(mqxi_handle_get(fd, &queue, &access), 0);
    return queue;
}

static void put(void)
{
    IS(mq_send(q, "x", 1, 0), 0);
}

static void take(void)
{
    char buffer[8];

    IS(mq_receive(q, buffer, sizeof(buffer), NULL), 1);
}

/* Change the queue as somebody who is killed before he can ring. */
static void change_silently(void (*change)(void))
{
    struct mqxi_header *h = queue_of(q)->header;
    uint32_t puts = atomic_exchange(&h->put_tells, 0), takes = atomic_exchange(&h->take_tells, 0);

    change();
    atomic_fetch_or(&h->put_tells, puts);
    atomic_fetch_or(&h->take_tells, takes);
}

/* --- ways to wait -------------------------------------------------------------------------------
 */

enum way { POLL, SELECT, LEVEL, EDGE, SHOT, WAYS };

static int wait_in(enum way way, int events, int ms)
{
    struct epoll_event e = {(uint32_t)events, {.u64 = 3}};
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    struct pollfd p = {.fd = q, .events = (short)events};
    fd_set set;
    int fd, r;

    if (way == POLL)
        return poll(&p, 1, ms);
    if (way == SELECT) {
        FD_ZERO(&set);
        FD_SET(q, &set);
        return select(q + 1, events == POLLIN ? &set : NULL, events == POLLOUT ? &set : NULL, NULL,
                      ms < 0 ? NULL : &t);
    }
    fd = epoll_create1(0);
    e.events |= way == EDGE ? EPOLLET : way == SHOT ? EPOLLONESHOT : 0;
    IS(epoll_ctl(fd, EPOLL_CTL_ADD, q, &e), 0);
    r = epoll_wait(fd, &e, 1, ms);
    close(fd);
    return r;
}

struct waiting {
    enum way way;
    int events;
    bool reopen;
};

static void wait_for_ever(void *arg)
{
    const struct waiting *w = arg;

    if (w->reopen)
        q = mq_open("/q", O_RDWR);
    IS(wait_in(w->way, w->events, -1), 1);
}

static pid_t start_waiting(enum way way, int events, bool reopen)
{
    struct waiting w = {way, events, reopen};
    pid_t pid = start(wait_for_ever, &w);

    WAIT_FOR(asleep(pid));
    return pid;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- lies of the FIFO ---------------------------------------------------------------------------
 */

/* It shows a message where there is none, and cannot be mended: it is another user's. */
static void a_lie_that_stays(void)
{
    struct pollfd p[2] = {{.events = POLLIN}, {.events = POLLIN}};
    uint64_t cpu;
    int pipes[2];

    if (geteuid() != 0)
        SKIP("needs root, to become somebody else");
    p[0].fd = open_queue(0, 2);
    IS(pipe(pipes), 0);
    p[1].fd = pipes[0];
    IS(poll(p, 2, 10), 0);
    put();
    take();
    IS(seteuid(65534), 0);
    cpu = cpu_ns();
    IS(poll(p, 2, 700), 0);
    CHECK(cpu_ns() - cpu < 300000000); /* it does not turn in circles */
    put();
    IS(poll(p, 2, -1), 1);
    IS(p[0].revents, POLLIN);
    take();
    IS(write(pipes[1], "x", 1), 1);
    IS(poll(p, 2, -1), 1);
    IS(p[0].revents, 0);
    IS(p[1].revents, POLLIN);
}

/* In each way: not told of what is not, and told of what is, and nobody rang. */
static void lies(void)
{
    struct mqxi_header *h;

    open_queue(0, 2);
    h = queue_of(q)->header;
    for (int way = 0; way < WAYS; way++) {
        IS(wait_in((enum way)way, POLLIN, 10), 0);
        put();
        take(); /* the FIFO may still show a message */
        IS(wait_in((enum way)way, POLLIN, 10), 0);
        change_silently(put);
        IS(wait_in((enum way)way, POLLIN, way < LEVEL ? 0 : -1), 1);
        put();
        IS(wait_in((enum way)way, POLLOUT, 10), 0);
        change_silently(take);
        IS(wait_in((enum way)way, POLLOUT, way < LEVEL ? 0 : -1), 1);
        take();
        atomic_store(&h->shown, 7 << 2 | MQXI_CAN_SEND | MQXI_CAN_RECEIVE);
        IS(wait_in((enum way)way, POLLIN, 10), 0);
        put();
        IS(wait_in((enum way)way, POLLIN, -1), 1);
        take();
    }
}

/* Asleep while somebody changes the queue and does not ring. */
static void nobody_rings(void)
{
    pid_t pid[WAYS];

    open_queue(0, 2);
    for (int way = 0; way < WAYS; way++)
        pid[way] = start_waiting((enum way)way, POLLIN, way % 2);
    change_silently(put);
    for (int way = 0; way < WAYS; way++)
        finish(pid[way]);
    put();
    for (int way = 0; way < WAYS; way++)
        pid[way] = start_waiting((enum way)way, POLLOUT, way % 2);
    change_silently(take);
    for (int way = 0; way < WAYS; way++)
        finish(pid[way]);
}

static void wait_for_set(void *arg)
{
    struct epoll_event e = {EPOLLIN, {.u64 = 3}};
    int set = epoll_create1(0);

    IS(epoll_ctl(set, EPOLL_CTL_ADD, q, &e), 0);
    q = set;
    wait_for_ever(arg);
}

/* The same where it is an epoll set that is waited for, which has the queue in it.  One by one: who
 * looks shows it to the others. */
static void nobody_rings_in_a_set(void)
{
    open_queue(0, 2);
    for (int way = 0; way < EDGE; way++) {
        pid_t pid = start(wait_for_set, &(struct waiting){.way = (enum way)way, .events = POLLIN});

        WAIT_FOR(asleep(pid));
        change_silently(put);
        finish(pid);
        take();
    }
}

/* The same, and the queue's header says that it is shown: who rang was killed, and one that took
 * back what was shown before, and was slow, after him. */
static void put_and_lie(void)
{
    put();
    atomic_store(&queue_of(q)->header->shown, 1 << 2 | MQXI_CAN_SEND | MQXI_CAN_RECEIVE);
}

static void nobody_will_ring(void)
{
    pid_t pid[WAYS];

    open_queue(0, 2);
    for (int way = 0; way < WAYS; way++)
        pid[way] = start_waiting((enum way)way, POLLIN, way % 2);
    change_silently(put_and_lie);
    for (int way = 0; way < WAYS; way++)
        finish(pid[way]);
}

/* Asleep at an edge: messages were there before, and one more is not rung for. */
static void an_edge_is_not_rung_for(void)
{
    struct epoll_event e = {EPOLLIN | EPOLLET, {.u64 = 3}};
    int set = epoll_create1(0);

    open_queue(0, 9);
    put();
    IS(epoll_ctl(set, EPOLL_CTL_ADD, q, &e), 0);
    IS(epoll_wait(set, &e, 1, -1), 1);
    IS(epoll_wait(set, &e, 1, 2500), 0); /* longer than it takes to look: nothing new */
    change_silently(put);
    IS(epoll_wait(set, &e, 1, -1), 1);
    IS(epoll_wait(set, &e, 1, 0), 0);
}

/* --- the dead ------------------------------------------------------------------------------------
 */

static void take_and_die(void *arg)
{
    struct mqxi_taken taken;

    (void)arg;
    IS(mqxi_take(queue_of(q), &taken), 0);
    raise(SIGKILL);
}

/* The message that a dead receiver held comes back, and who waits is told; as is who only looks. */
static void receiver_died(void)
{
    struct mqxi_header *h;

    open_queue(0, 2);
    h = queue_of(q)->header;
    for (int way = 0; way < WAYS; way++) {
        pid_t pid, waiting;
        int status;

        put();
        pid = start(take_and_die, NULL);
        IS(waitpid(pid, &status, 0), pid);
        IS(mqxi_readiness(queue_of(q)), MQXI_CAN_SEND);
        if (way == POLL) { /* looks again and again, never long */
            WAIT_FOR(wait_in(POLL, POLLIN, 0) == 1);
        } else if (way == LEVEL) {
            WAIT_FOR(wait_in(LEVEL, POLLIN, 1) == 1);
        } else {
            waiting = start((void (*)(void *))wait_for_ever,
                            &(struct waiting){(enum way)way, POLLIN, false});
            finish(waiting);
        }
        take();
        atomic_store(&h->last_sweep, 0); /* the next is not to wait for a second */
    }
}

/* The only slot is neither free nor a message, as long as somebody is at it. */
static void neither(void)
{
    struct mqxi_taken taken;
    uint64_t cpu;

    open_queue(0, 1);
    put();
    IS(mqxi_take(queue_of(q), &taken), 0);
    cpu = cpu_ns();
    for (int way = 0; way < WAYS; way++) {
        IS(wait_in((enum way)way, POLLIN | POLLOUT, 200), 0);
        IS(wait_in((enum way)way, POLLIN, 0), 0);
        IS(wait_in((enum way)way, POLLOUT, 0), 0);
    }
    CHECK(cpu_ns() - cpu < 500000000);
    IS(mqxi_take_commit(queue_of(q), &taken), 0);
    IS(wait_in(POLL, POLLIN | POLLOUT, -1), 1);
}

/* --- killed while it rings ----------------------------------------------------------------------
 */

/* Who sends (or receives) is killed at its n-th system call, entry or exit; who waits in these ways
 * is told all the same. */
struct murder {
    bool receives;
    enum way first, last;
    int n;
    _Atomic int *kills;
};
#define STOPS 40 /* more than there are */

static void traced(void *arg)
{
    const struct murder *m = arg;
    int error;

    mqxi_client_self(queue_of(q)->registry, &error); /* takes many system calls, once */
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    m->receives ? take() : put();
    raise(SIGSTOP); /* done */
}

/* True: it came that far. */
static bool kill_at(pid_t pid, int n)
{
    int status;

    IS(waitpid(pid, &status, 0), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD);
    for (int i = 0; i < n; i++) {
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
        IS(waitpid(pid, &status, 0), pid);
        CHECK(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGSTOP) {
            murder(pid);
            return false;
        }
        CHECK(WSTOPSIG(status) == (SIGTRAP | 0x80));
    }
    murder(pid);
    return true;
}

static void commit_murder(void *arg)
{
    struct murder *m = arg;
    pid_t waiting[WAYS];
    char name[16];

    snprintf(name, sizeof(name), "/q%d", m->n);
    q = mq_open(name, O_CREAT | O_RDWR, 0600, &(struct mq_attr){.mq_maxmsg = 1, .mq_msgsize = 8});
    CHECK(q >= 0);
    if (m->receives)
        put();
    for (int way = m->first; way <= (int)m->last; way++)
        waiting[way] = start_waiting((enum way)way, m->receives ? POLLOUT : POLLIN, false);
    if (kill_at(start(traced, m), m->n))
        atomic_fetch_add(m->kills, 1);
    if (mqxi_count(queue_of(q)) == m->receives) /* killed before it did anything */
        m->receives ? take() : put();
    for (int way = m->first; way <= (int)m->last; way++)
        finish(waiting[way]);
}

static void killed_while_ringing(bool receives, enum way first, enum way last)
{
    struct murder m = {receives, first, last, 0, shared(sizeof(int))};
    pid_t pid[STOPS];

    for (m.n = 1; m.n <= STOPS; m.n++)
        pid[m.n - 1] = start(commit_murder, &m);
    for (int i = 0; i < STOPS; i++)
        finish(pid[i]);
    CHECK(*m.kills >= 10 && *m.kills < STOPS);
}

static void sender_killed_while_it_rings(void)
{
    killed_while_ringing(false, POLL, LEVEL);
}

static void sender_killed_while_it_rings_for_edges(void)
{
    killed_while_ringing(false, EDGE, EDGE);
}

static void receiver_killed_while_it_rings(void)
{
    killed_while_ringing(true, POLL, LEVEL);
}

/* --- epoll's table
 * -------------------------------------------------------------------------------- */

static void add(int set, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {events, {.u64 = data}};

    IS(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e), 0);
}

static uint32_t tells(void)
{
    return atomic_load(&queue_of(q)->header->put_tells);
}

/* Whether the event of a queue can be told from others'. */
static void data_of_its_own(void)
{
    struct epoll_event e = {EPOLLIN, {.u64 = 2}};
    int set = epoll_create1(0), pipes[2];

    open_queue(0, 2);
    IS(pipe(pipes), 0);
    add(set, q, EPOLLIN, 1);
    add(set, pipes[0], EPOLLIN, 2);
    IS(tells(), MQXI_TELLS_POLLERS);
    IS(epoll_ctl(set, EPOLL_CTL_MOD, q, &e), 0);
    IS(tells(), MQXI_TELLS_POLLERS | MQXI_TELLS_EXACT);
}

static void data_that_others_take(void)
{
    int set = epoll_create1(0), pipes[2];

    open_queue(0, 2);
    IS(pipe(pipes), 0);
    add(set, q, EPOLLIN, 1);
    IS(tells(), MQXI_TELLS_POLLERS);
    add(set, pipes[0], EPOLLIN, 1);
    IS(tells(), MQXI_TELLS_POLLERS | MQXI_TELLS_EXACT);
}

/* A set with the number of one that was closed, by whatever means. */
static void numbers_are_used_again(void)
{
    struct epoll_event e;
    int set = epoll_create1(0), again;
    mqd_t first = open_queue(0, 2), second;

    add(set, first, EPOLLIN, 1);
    MQXI_SYS(SYS_close, set);
    again = epoll_create1(0);
    IS(again, set);
    second = mq_open("/q2", O_CREAT | O_RDWR, 0600, NULL);
    add(again, second, EPOLLIN, 1);
    IS(mq_send(second, "x", 1, 0), 0);
    IS(epoll_wait(again, &e, 1, -1), 1); /* not taken for the first one's, which is empty */
    IS(mq_close(second), 0);
    IS(epoll_wait(again, &e, 1, 0), 0);
}

static void table_is_full(void)
{
    const int sets = 65, queues = 64;
    struct epoll_event e;
    int set[65];
    mqd_t fd[64];

    for (int i = 0; i < queues; i++)
        fd[i] = open_queue(0, 2);
    for (int i = 0; i < sets; i++)
        set[i] = epoll_create1(0);
    for (int i = 0; i < sets; i++) {
        for (int j = 0; j < queues; j++)
            add(set[i], fd[j], EPOLLIN, (uint64_t)j);
        IS(tells() & MQXI_TELLS_EXACT, i < 64 ? 0 : MQXI_TELLS_EXACT);
    }
    IS(epoll_wait(set[64], &e, 1, 0), 0);
    put();
    IS(epoll_wait(set[64], &e, 1, -1), 1);
    take();
    IS(epoll_wait(set[64], &e, 1, 0), 0);
    IS(epoll_wait(set[0], &e, 1, 0), 0);
}

/* A child of vfork closes what it likes before it executes something. */
static void vfork_closes(void)
{
    struct epoll_event e;
    int set = epoll_create1(0);
    pid_t pid;

    open_queue(0, 2);
    add(set, q, EPOLLIN, 1);
    pid = vfork();
    if (pid == 0) {
        closefrom(3);
        _exit(0);
    }
    finish(pid);
    put();
    take();
    IS(epoll_wait(set, &e, 1, 0), 0);
}

/* --- select
 * ----------------------------------------------------------------------------------------- */

/* More descriptors than we copy; the sets are no larger than the largest descriptor needs. */
static void select_of_many(void)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fd_set *set = (fd_set *)(page + 4096 - 128);
    int n = 1 << 20;

    open_queue(0, 2);
    CHECK(q < 64);
    IS(munmap(page + 4096, 4096), 0);
    FD_SET(q, set);
    IS(select(n, set, NULL, NULL, &(struct timeval){0, 10000}), 0);
    FD_SET(q, set);
    put();
    IS(select(n, set, NULL, NULL, NULL), 1);
    take();
    IS(select(n, set, NULL, NULL, &(struct timeval){0, 10000}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(a_lie_that_stays),
        UNIT(lies),
        UNIT(nobody_rings),
        UNIT(nobody_rings_in_a_set),
        UNIT(nobody_will_ring),
        UNIT(an_edge_is_not_rung_for),
        UNIT(receiver_died),
        UNIT(neither),
        UNIT(sender_killed_while_it_rings),
        UNIT(sender_killed_while_it_rings_for_edges),
        UNIT(receiver_killed_while_it_rings),
        UNIT(data_of_its_own),
        UNIT(data_that_others_take),
        UNIT(numbers_are_used_again),
        UNIT(table_is_full),
        UNIT(vfork_closes),
        UNIT(select_of_many),
    };

    return cmocka_run_group_tests_name("ready", tests, NULL, NULL);
}
