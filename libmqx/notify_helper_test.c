/* The thread that waits for notifications: seldom seen, and gone where it must be. */
#include <pthread.h>
#include <sys/syscall.h>

#include "notify_deliver.h"
#include "notify_testing.h"
#include "thread.h"

/* The thread sanitizer has a thread of its own in most processes. */
#define COUNTS_THREADS()                                                                           \
    do {                                                                                           \
        if (DEFERS_SIGNALS)                                                                        \
            SKIP("the thread sanitizer's own thread counts, too");                                 \
    } while (0)

static void helper_is_modest(void)
{
    struct sigevent event = event_of(SIGEV_SIGNAL, 0);
    int helpers;

    COUNTS_THREADS();
    open_q(4);
    IS(threads(&helpers), 1);
    event.sigev_notify = 17;
    IS(mqx_notify(fd, &event), -1);
    IS(mqx_notify(fd, NULL), 0);
    IS(threads(&helpers), 1); /* none for what fails or needs none */
    for (int i = 0; i < 100; i++) {
        IS(registers(i), 0);
        sends();
        IS(notified(0), i);
        drains();
    }
    WAIT_FOR(threads(&helpers) == 2 && helpers == 1);
}

static void register_in_child(void *arg)
{
    int helpers;

    (void)arg;
    IS(registers(0), EBUSY);
    IS(threads(&helpers), 1);
}

static void busy_makes_no_thread(void)
{
    open_q(4);
    IS(registers(0), 0);
    finish(start(register_in_child, NULL));
}

static void *end_at_once(void *arg)
{
    return arg;
}

/* libc makes all threads take part in setuid: the helper too, though it has all signals blocked. */
static void helper_takes_part_in_setuid(void)
{
    pthread_t first; /* for its first thread, libc makes sure that the signal is unblocked */
    int helpers;

    COUNTS_THREADS();
    IS(pthread_create(&first, NULL, end_at_once, NULL), 0);
    IS(pthread_join(first, NULL), 0);
    open_q(4);
    IS(registers(0), 0);
    WAIT_FOR(threads(&helpers) == 2 && helpers == 1);
    IS(setresuid((uid_t)-1, geteuid(), (uid_t)-1), 0);
}

#define MANY 300

static void many_queues(void)
{
    mqd_t many[MANY];
    char queue_name[16];
    bool seen[MANY] = {false};
    int helpers;

    COUNTS_THREADS();
    open_q(4);
    for (int i = 0; i < MANY; i++) {
        snprintf(queue_name, sizeof(queue_name), "/many-%d", i);
        fd = many[i] = open_queue(queue_name, 1);
        IS(registers(i), 0);
    }
    WAIT_FOR(threads(&helpers) == 4 && helpers == 3); /* one for each 120 of them */
    for (int i = MANY - 1; i >= 0; i--) {
        int value;

        IS(mqx_send(many[i], "x", 1, 0), 0);
        value = notified(60);
        CHECK(value >= 0 && value < MANY && !seen[value]);
        seen[value] = true;
    }
    fd = many[7];
    drains();
    IS(registers(7), 0);
    IS(mqx_send(fd, "x", 1, 0), 0);
    IS(notified(60), 7);
}

static void send_one(void *arg)
{
    (void)arg;
    sends();
}

/* The first helper of a process sleeps on the events of more than a hundred of them. */
static void woken_by_any(void)
{
    mqd_t many[130];
    char queue_name[16];

    open_q(4);
    for (int i = 0; i < 130; i++) {
        snprintf(queue_name, sizeof(queue_name), "/many-%d", i);
        fd = many[i] = open_queue(queue_name, 1);
        IS(registers(i), 0);
    }
    for (int i = 0; i < 130; i += 43) {
        fd = many[i];
        finish(start(send_one, NULL));
        IS(notified(60), i);
    }
}

/* --- what fired before the registrant's next call --------------------------------------------- */

/* Its sender has made it fire, and does not come to wake the helper. */
static void fires_unheard(void)
{
    uint64_t registration = atomic_exchange(&q->header->notify, 0);

    CHECK(registration != 0);
    atomic_store(&mqxi_notify_entry(q, registration)->word,
                 MQXI_NOTIFY_FIRED | (uint64_t)(uint32_t)getpid() << 32 | (uint32_t)getuid());
}

static void removes_it(void)
{
    IS(mqx_notify(fd, NULL), 0);
}

static void closes_it(void)
{
    IS(mqx_close(open_queue("/q", 4)), 0); /* any of its descriptors */
}

static void registers_another(void)
{
    IS(registers(1000), 0);
}

/* Not a moment later, and once.  The helper, which looks once a second, may come before us. */
static void comes_before(void (*call)(void))
{
    int helper;

    open_q(4);
    for (int i = 0; i < 20; i++) {
        IS(registers(i), 0);
        WAIT_FOR(find_helper(&helper) && asleep(helper)); /* knows of it, and of no more */
        fires_unheard();
        call();
        IS(notified(0), i);
        IS(mqx_notify(fd, NULL), 0);
        IS(entries_in_use(), 0);
        IS(notified(0), -1);
    }
}

static void removal_comes_after(void)
{
    comes_before(removes_it);
}

static void closing_comes_after(void)
{
    comes_before(closes_it);
}

static void registering_comes_after(void)
{
    comes_before(registers_another);
}

static atomic_int begun, ended;

static void take_time(union sigval value, struct mqxi_sender by)
{
    (void)value, (void)by;
    begun = 1;
    usleep(50000);
    ended = 1;
}

/* The helper has it already, and is not done. */
static void removal_waits_for_helper(void)
{
    struct sigevent event = {.sigev_notify = MQXI_SIGEV_CALL};

    event.sigev_notify_function = (void (*)(union sigval))(void (*)(void))take_time;
    open_q(4);
    IS(mqxi_notify_register(q, &event), 0);
    finish(start(send_one, NULL));
    WAIT_FOR(begun);
    IS(mqx_notify(fd, NULL), 0);
    IS(ended, 1);
}

/* --- fork and the like ----------------------------------------------------------------------- */

static atomic_int calls;

static void count_call(union sigval value)
{
    calls += value.sival_int;
}

static void notify_thread_in_child(void *arg)
{
    struct sigevent event = event_of(SIGEV_THREAD, 1);

    (void)arg;
    event.sigev_notify_function = count_call;
    calls = 0;
    IS(mqx_notify(fd, &event), 0);
    sends();
    WAIT_FOR(calls == 1);
}

static void child_has_its_own_helper(void)
{
    open_q(4);
    notify_thread_in_child(NULL);
    drains();
    finish(start(notify_thread_in_child, NULL));
    IS(calls, 1);
    IS(entries_in_use(), 0);
}

/* A child of vfork closes descriptors before exec, in our memory. */
static void vfork_closes_nothing(void)
{
    int status;
    pid_t pid;

    open_q(4);
    IS(registers(1), 0);
    pid = vfork();
    CHECK(pid >= 0);
    if (pid == 0) {
        mqxi_notify_closed(q);
        _exit(0);
    }
    IS(waitpid(pid, &status, 0), pid);
    IS(registers(2), EBUSY);
    sends();
    IS(notified(0), 1);
}

static void main_thread_ends(void *arg)
{
    IS(registers(1), 0);
    if (arg) { /* used up: the helper is idle */
        sends();
        IS(notified(0), 1);
    }
    pthread_exit(NULL);
}

/* The process ends with its last thread, which the helper is not. */
static void helper_keeps_no_process(void)
{
    COUNTS_THREADS();
    open_q(4);
    finish(start(main_thread_ends, NULL));
    finish(start(main_thread_ends, &fd));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(helper_is_modest),
        UNIT(busy_makes_no_thread),
        UNIT(helper_takes_part_in_setuid),
        UNIT(many_queues),
        UNIT(woken_by_any),
        UNIT(removal_comes_after),
        UNIT(closing_comes_after),
        UNIT(registering_comes_after),
        UNIT(removal_waits_for_helper),
        UNIT(child_has_its_own_helper),
        UNIT(vfork_closes_nothing),
        UNIT(helper_keeps_no_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
