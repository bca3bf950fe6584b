/* mq_notify between processes: what the dead, the stopped and the hostile leave behind. */
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "client.h"
#include "names.h"
#include "notify_testing.h"
#include "wait.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

/* --- the usual ------------------------------------------------------------------------------- */

static void leaves_nothing_behind(void)
{
    open_q(4);
    IS(atomic_load(&q->header->put_tells), 0); /* nobody ever registered: senders do not look */
    for (int i = 0; i < 1000; i++) {
        IS(registers(i), 0);
        CHECK(atomic_load(&q->header->notify) != 0);
        IS(entries_in_use(), 1);
        sends();
        IS(notified(0), i); /* a send to oneself is delivered by oneself, at once */
        IS(atomic_load(&q->header->notify), 0);
        IS(entries_in_use(), 0);
        drains();
    }
    IS(atomic_load(&q->header->put_tells), MQXI_TELLS_NOTIFIERS);
    IS(atomic_load(&q->refs), 1);
}

/* The helper, who sees what is being removed, may be the one to clear it away, a little later. */
static void is_cleared_away(void)
{
    WAIT_FOR(entries_in_use() == 0 && atomic_load(&q->refs) == 1);
}

static void close_removes(void)
{
    open_q(4);
    for (int i = 0; i < 1000; i++) {
        IS(registers(i), 0);
        mqxi_notify_closed(q);
        IS(atomic_load(&q->header->notify), 0);
        is_cleared_away();
    }
    sends();
    IS(notified(0), -1);
}

/* A queue that does not name its owner's id as its registry: that name was another user's. */
static void another_registry(void)
{
    char path[PATH_MAX], *slash;
    int file;

    if (geteuid() != 0)
        skip(); /* only root gives files away */
    IS(mqxi_path(MQXI_CLIENTS, "0", path), 0);
    slash = strrchr(path, '/');
    *slash = 0;
    IS(mkdir(path, 0755), 0);
    IS(chmod(path, 01777), 0);
    *slash = '/';
    file = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    CHECK(file >= 0);
    IS(fchown(file, 65534, 65534), 0);
    open_q(4);
    CHECK(q->registry != q->uid);
    IS(registers(7), 0);
    sends();
    IS(notified(0), 7);
}

/* --- the dead -------------------------------------------------------------------------------- */

struct life {
    _Atomic int registered;
    _Atomic int told;
};

static void register_and_live(void *arg)
{
    struct life *life = arg;

    IS(registers(5), 0);
    life->registered = 1;
    if (notified(1000) == 5)
        life->told = 1;
    for (;;)
        pause();
}

static pid_t registrant(struct life *life)
{
    pid_t pid = start(register_and_live, life);

    WAIT_FOR(life->registered);
    life->registered = 0;
    return pid;
}

static void dead_registrants(void)
{
    struct life *life = shared(sizeof(*life));

    open_q(4);
    for (unsigned i = 0; i < 2 * MQXI_NOTIFY_ENTRIES; i++) {
        pid_t pid = registrant(life);

        if (i % 2) { /* fired, and not fetched */
            kill(pid, SIGSTOP);
            sends();
            drains();
        }
        murder(pid);
        IS(registers((int)i), 0);
        sends();
        IS(notified(0), (int)i);
        drains();
    }
}

/* Stopped ones keep their entries until they have been told. */
static void stopped_registrants(void)
{
    struct life *life = shared(MQXI_NOTIFY_ENTRIES * sizeof(*life));
    pid_t pid[MQXI_NOTIFY_ENTRIES];

    open_q(4);
    for (unsigned i = 0; i < MQXI_NOTIFY_ENTRIES; i++) {
        int status;

        pid[i] = registrant(&life[i]);
        kill(pid[i], SIGSTOP);
        IS(waitpid(pid[i], &status, WUNTRACED), pid[i]);
        sends();
        drains();
    }
    IS(registers(1), ENOMEM);
    for (unsigned i = 0; i < MQXI_NOTIFY_ENTRIES; i++)
        kill(pid[i], SIGCONT);
    for (unsigned i = 0; i < MQXI_NOTIFY_ENTRIES; i++)
        WAIT_FOR(life[i].told);
    WAIT_FOR(entries_in_use() == 0);
    IS(registers(1), 0);
    sends();
    IS(notified(0), 1);
}

/* Between firing and waking the registrant. */
static void firer_dies_before_the_wake(void)
{
    struct mqxi_notify *entry;
    siginfo_t info;
    uint64_t registration;

    open_q(4);
    IS(registers(3), 0);
    registration = atomic_load(&q->header->notify);
    entry = mqxi_notify_entry(q, registration);
    IS(atomic_load(&entry->word), mqxi_notify_word(registration));
    atomic_store(&entry->word, MQXI_NOTIFY_FIRED | UINT64_C(4194303) << 32 | 4294967295);
    IS(mqx_notify(fd, NULL), 0); /* too late */
    IS(registers(4), 0);         /* header->notify is out of date, and is mended */
    IS(notified_by(MENDED_S, &info), 3);
    IS(info.si_pid, 4194303);
    IS(info.si_uid, 4294967295);
    sends();
    IS(notified(0), 4);
    IS(entries_in_use(), 0);
}

static void put_and_die(void *arg)
{
    (void)arg;
    sends_and_dies();
}

/* Between publishing and firing. */
static void sender_dies_before_firing(void)
{
    siginfo_t info;
    pid_t pid;

    open_q(4);
    IS(registers(3), 0);
    pid = start(put_and_die, NULL);
    finish(pid);
    IS(notified_by(MENDED_S, &info), 3);
    IS(info.si_pid, pid);
    IS(info.si_uid, getuid());
    IS(entries_in_use(), 0);
    /* Registered while it is not empty, and emptied then. */
    IS(registers(4), 0);
    drains();
    sends_and_dies();
    IS(notified(MENDED_S), 4);
}

/* A sender that was stopped while it was about to fire, and goes on when another registration is in
 * the same entry. */
static void late_firer(void)
{
    uint64_t before;

    open_q(4);
    IS(registers(1), 0);
    before = atomic_load(&q->header->notify);
    IS(mqx_notify(fd, NULL), 0);
    IS(registers(2), 0);
    IS(atomic_load(&q->header->notify) & 255, before & 255);
    mqxi_notify_mend(q, before, 0);
    IS(registers(3), EBUSY);
    IS(notified(0), -1);
    sends();
    IS(notified(0), 2);
}

/* A message that was there before is no news, however long it is there. */
static void old_message_is_no_news(void)
{
    open_q(4);
    IS(registers(0), 0);
    sends();
    IS(notified(0), 0);
    IS(registers(1), 0);
    IS(notified(4), -1);
    sends();
    IS(notified(0), -1);
    drains();
    sends();
    IS(notified(0), 1);
}

/* --- receivers ------------------------------------------------------------------------------- */

static void receive_one(void *arg)
{
    char buffer[32];
    mqd_t own = mqx_open("/q", O_RDWR);

    (void)arg;
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    raise(SIGSTOP);
    IS(mqx_receive(own, buffer, sizeof(buffer), NULL), 1);
}

static void await_trap(pid_t pid)
{
    int status;

    IS(waitpid(pid, &status, 0), pid);
    CHECK(WIFSTOPPED(status));
}

static bool about_to_sleep(pid_t pid)
{
    char path[64];
    long number = -1;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/syscall", (int)pid);
    file = fopen(path, "r");
    CHECK(file && fscanf(file, "%ld", &number) == 1);
    fclose(file);
    return number == SYS_futex_waitv || number == SYS_futex;
}

/* A receiver who sleeps, and, when woken, comes no further than out of the system call.  (One that
 * is stopped by a signal is not asleep in it any more: the kernel makes it begin again.) */
static pid_t drowsy_receiver(void)
{
    pid_t pid = start(receive_one, NULL);
    bool entry = false;

    await_trap(pid);
    do {
        IS(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        await_trap(pid);
        entry = !entry;
    } while (!entry || !about_to_sleep(pid));
    IS(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
    WAIT_FOR(asleep(pid));
    return pid;
}

/* What was put for a receiver who was woken and has not come yet is not in the queue. */
static void handed_does_not_count(void)
{
    pid_t receiver;

    open_q(4);
    IS(registers(1), 0);
    receiver = drowsy_receiver();
    sends();
    await_trap(receiver);
    IS(notified(0), -1);
    IS(registers(2), EBUSY);
    CHECK(atomic_load(&q->header->notify_handed) == atomic_load(&q->header->sequence));
    sends();
    IS(notified(0), 1);
    IS(registers(2), 0);
    sends(); /* the second one counts */
    IS(notified(0), -1);
    ptrace(PTRACE_DETACH, receiver, NULL, NULL);
    finish(receiver);
}

/* The bit says that somebody sleeps, and nobody does. */
static void promise_is_withdrawn(void)
{
    open_q(4);
    IS(registers(1), 0);
    atomic_fetch_or(&q->header->recv_event, MQXI_EVENT_SLEEPERS);
    sends();
    IS(notified(0), 1);
    IS(atomic_load(&q->header->notify_handed), 0);
    IS(registers(2), 0);
    sends();
    IS(notified(0), -1);
    drains();
    sends();
    IS(notified(0), 2);
}

/* Its receiver was killed: then the message is in the queue after all, and who waits is told. */
static void receiver_dies(void)
{
    pid_t receiver;

    open_q(4);
    IS(registers(1), 0);
    receiver = drowsy_receiver();
    sends();
    await_trap(receiver);
    IS(notified(0), -1);
    murder(receiver);
    IS(notified(MENDED_S), 1);
}

/* --- damage ---------------------------------------------------------------------------------- */

static void damaged_registrations(void)
{
    uint64_t state = 1;
    _Atomic uint64_t *word;

    open_q(4);
    word = &q->header->notify;
    for (int i = 0; i < 3000 && !time_is_up(); i++) {
        size_t words = (sizeof(struct mqxi_header) - offsetof(struct mqxi_header, notify)) / 8;

        registers(i);
        for (uint32_t n = below(&state, 4); n > 0; n--) {
            uint64_t value = next_random(&state);

            value >>= below(&state, 64);
            if (below(&state, 2))
                value |= UINT64_C(3) << 62;
            atomic_store(&word[below(&state, (uint32_t)words)], value);
        }
        IS(mqx_send(fd, "x", 1, 0), 0);
        if (i % 3 == 0)
            mqx_notify(fd, NULL);
        if (i % 3 == 1)
            mqxi_notify_closed(q);
        drains();
    }
    memset((void *)word, 0, sizeof(struct mqxi_header) - offsetof(struct mqxi_header, notify));
    while (notified(0) >= 0)
        ;
    WAIT_FOR(registers(12345) == 0);
    sends();
    WAIT_FOR(notified(1) == 12345);
}

static void vanished_segment(void)
{
    char path[PATH_MAX];

    open_q(4);
    IS(registers(1), 0);
    IS(mqxi_path(MQXI_QUEUES, "q", path), 0);
    IS(truncate(path, 0), 0);
    WAIT_FOR(atomic_load(&q->dead)); /* the helper looks at it, and lives */
    IS(registers(1), EIO);
    IS(mqx_notify(fd, NULL), -1);
    fd = open_queue("/other", 4);
    IS(registers(2), 0);
    sends();
    IS(notified(0), 2);
}

/* CPU time that a thread has used: ours, or our helper's. */
static uint64_t cpu_ns(int task)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", task);
    file = fopen(path, "r");
    CHECK(file && fscanf(file, "%llu", &ns) == 1);
    fclose(file);
    return ns;
}

/* An entry whose event changes all the time does not keep the helper busy for ever. */
static void restless_entry(void)
{
    struct mqxi_notify *entry;
    int self = getpid(), helper;

    open_q(4);
    IS(registers(1), 0);
    WAIT_FOR(find_helper(&helper));
    entry = mqxi_notify_entry(q, atomic_load(&q->header->notify));
    while (cpu_ns(self) < UINT64_C(1500000000))
        for (int i = 0; i < 10000; i++) {
            atomic_fetch_add(&entry->event, MQXI_EVENT_STEP);
            if (i % 100 == 0)
                mqxi_event_wake(&entry->event, true);
        }
    CHECK(cpu_ns(helper) < cpu_ns(self) / 3);
    sends();
    IS(notified(0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(leaves_nothing_behind),
        UNIT(close_removes),
        UNIT(another_registry),
        UNIT(dead_registrants),
        UNIT(stopped_registrants),
        UNIT(firer_dies_before_the_wake),
        UNIT(sender_dies_before_firing),
        UNIT(late_firer),
        UNIT(old_message_is_no_news),
        UNIT(handed_does_not_count),
        UNIT(promise_is_withdrawn),
        UNIT(receiver_dies),
        UNIT(damaged_registrations),
        UNIT(vanished_segment),
        UNIT(restless_entry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
