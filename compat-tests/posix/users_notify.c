/* mq_notify on another user's queue. */
#include "users.h"

#include <pthread.h>
#include <signal.h>

static siginfo_t last;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    last = *info;
    shared->signals++;
}

/* Register this process for SIGUSR1. */
static int register_it(mqd_t q)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 4711};

    must(sigaction(SIGUSR1, &action, NULL) == 0);
    return mq_notify(q, &event);
}

static mqd_t open_it(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);

    must(q != -1);
    return q;
}

static void wait_for_signals(int n)
{
    for (int i = 0; i < 60000 && shared->signals < n; i++)
        usleep(1000);
    must(shared->signals == n);
}

static void send_it(void)
{
    shared->number[0] = getpid();
    must(mq_send(open_it(), "x", 1, 0) == 0);
}

static void *send_in_thread(void *unused)
{
    send_it();
    return unused;
}

static void send_it_from_a_thread(void)
{
    pthread_t thread;

    must(pthread_create(&thread, NULL, send_in_thread, NULL) == 0);
    must(pthread_join(thread, NULL) == 0);
}

/* With another real user id. */
static void send_it_with_rights(void)
{
    must(setresuid(third.uid, other.uid, other.uid) == 0);
    send_it();
}

static void register_and_tell(void)
{
    mqd_t q = open_it();

    must(register_it(q) == 0);
    shared->ready = 1;
    wait_for_signals(1);
    must(last.si_code == SI_MESGQ && last.si_signo == SIGUSR1);
    must(last.si_pid == shared->number[0] && last.si_uid == (uid_t)shared->number[1]);
    must(last.si_value.sival_int == 4711);
    must(mq_receive(q, (char[32]){0}, 32, NULL) == 1);
    must(mq_send(q, "y", 1, 0) == 0 && mq_receive(q, (char[32]){0}, 32, NULL) == 1);
    must(shared->signals == 1); /* once */
}

static void notifies_of(const struct user *registered, const struct user *sender, uid_t real,
                        void (*send)(void))
{
    pid_t pid;

    owner_creates(0666, 5, 32);
    shared->number[1] = (long)real;
    pid = spawn_as(registered, register_and_tell);
    await(shared->ready);
    as(sender, send);
    assert_int_equal(reap(pid), 0);
}

static void notifies(const struct user *registered, const struct user *sender)
{
    notifies_of(registered, sender, sender->uid, send_it);
}

static void of_a_thread(void **state)
{
    (void)state;
    notifies_of(&owner, &other, other.uid, send_it_from_a_thread);
}

static const struct user root; /* all zero */

static void of_real_user(void **state)
{
    (void)state;
    notifies_of(&owner, &root, third.uid, send_it_with_rights);
}

static void owner_notifies(void **state)
{
    (void)state;
    notifies(&other, &owner);
}

static void owner_is_notified(void **state)
{
    (void)state;
    notifies(&owner, &other);
}

static void third_notifies(void **state)
{
    (void)state;
    notifies(&other, &third);
}

static void self(void)
{
    mqd_t q = open_it();

    for (int i = 1; i <= 3; i++) {
        must(register_it(q) == 0);
        must(mq_send(q, "x", 1, 0) == 0);
        wait_for_signals(i);
        must(last.si_pid == getpid() && last.si_uid == other.uid);
        must(mq_send(q, "x", 1, 0) == 0); /* it was not empty */
        must(register_it(q) == 0 && mq_notify(q, NULL) == 0);
        must(mq_receive(q, (char[32]){0}, 32, NULL) == 1);
        must(mq_receive(q, (char[32]){0}, 32, NULL) == 1);
    }
}

static void oneself(void **state)
{
    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, self);
}

/* --- one at a time, and its end -----------------------------------------------------------------
 */

static void busy(void)
{
    mqd_t q = open_it();

    must(register_it(q) == -1 && errno == EBUSY);
    must(mq_notify(q, NULL) == 0); /* nothing of ours */
    must(register_it(q) == -1 && errno == EBUSY);
}

static void not_busy(void)
{
    mqd_t q = open_it();

    must(register_it(q) == 0 && mq_notify(q, NULL) == 0);
}

static int how;
enum { NEVER, BY_NULL, BY_CLOSE, BY_OTHER_CLOSE, BY_EXIT, BY_KILL };

static void hold_registration(void)
{
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    mqd_t q = open_it(), again = open_it();

    must((how == NEVER ? mq_notify(q, &none) : register_it(q)) == 0);
    must(register_it(again) == -1 && errno == EBUSY);
    shared->ready = 1;
    while (!shared->done)
        usleep(1000);
    if (how == BY_NULL)
        must(mq_notify(again, NULL) == 0);
    else if (how == BY_CLOSE)
        must(mq_close(q) == 0);
    else if (how == BY_OTHER_CLOSE)
        must(mq_close(again) == 0);
    else if (how == BY_EXIT)
        _exit(0);
    shared->ready = 2;
    while (shared->done < 2)
        usleep(1000);
}

static void held(const struct user *holder, const struct user *rival, int way)
{
    pid_t pid;

    owner_creates(0666, 5, 32);
    how = way;
    pid = spawn_as(holder, hold_registration);
    await(shared->ready == 1);
    as(rival, busy);
    if (way == BY_KILL)
        ok(kill(pid, SIGKILL));
    shared->done = 1;
    if (way == BY_KILL || way == BY_EXIT)
        assert_int_equal(reap(pid), way == BY_KILL ? 1000 + SIGKILL : 0);
    else
        await(shared->ready == 2);
    if (way == NEVER)
        as(rival, busy);
    else
        as(rival, not_busy);
    shared->done = 2;
    if (way != BY_KILL && way != BY_EXIT)
        assert_int_equal(reap(pid), 0);
}

static void held_by_other(void **state)
{
    held(&other, &owner, (int)(intptr_t)*state);
}

static void held_by_owner(void **state)
{
    held(&owner, &other, (int)(intptr_t)*state);
}

static void among_others(void **state)
{
    held(&other, &third, (int)(intptr_t)*state);
}

/* --- blocked receivers --------------------------------------------------------------------------
 */

static void receive_one(void)
{
    mqd_t q = open_it();

    shared->ready = 1;
    must(mq_receive(q, (char[32]){0}, 32, NULL) == 1);
}

static void receiver_first(void **state)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 9};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    pid_t pid;
    mqd_t q;

    (void)state;
    owner_creates(0666, 5, 32);
    q = reopen(O_RDWR);
    ok(sigaction(SIGRTMIN + 9, &action, NULL));
    ok(mq_notify(q, &event));
    pid = spawn_as(&other, receive_one);
    await_blocked(pid);
    as(&third, send_it);
    assert_int_equal(reap(pid), 0);
    assert_int_equal(shared->signals, 0);
    as(&third, send_it);
    await(shared->signals == 1);
}

/* --- sent before the removal --------------------------------------------------------------------
 */

static void remove_too_late(void)
{
    mqd_t q = open_it();

    for (int i = 1; i <= 10; i++) {
        must(register_it(q) == 0);
        shared->ready = i;
        while (shared->done < i)
            usleep(1000);
        must(mq_notify(q, NULL) == 0 && shared->signals == i);
        must(mq_receive(q, (char[32]){0}, 32, NULL) == 1);
    }
}

static void sent_before_removal(void **state)
{
    pid_t pid;

    (void)state;
    owner_creates(0666, 5, 32);
    pid = spawn_as(&other, remove_too_late);
    for (int i = 1; i <= 10; i++) {
        await(shared->ready == i);
        as(&owner, send_it);
        shared->done = i;
    }
    assert_int_equal(reap(pid), 0);
}

/* --- threads ------------------------------------------------------------------------------------
 */

static void in_thread(union sigval value)
{
    shared->number[2] = value.sival_int;
    shared->signals++;
}

static void thread_self(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD,
                             .sigev_notify_function = in_thread,
                             .sigev_value.sival_int = 17};
    mqd_t q = open_it();

    for (int i = 1; i <= 5; i++) {
        must(mq_notify(q, &event) == 0);
        must(mq_notify(q, &event) == -1 && errno == EBUSY);
        must(mq_send(q, "x", 1, 0) == 0);
        wait_for_signals(i);
        must(shared->number[2] == 17 && mq_receive(q, (char[32]){0}, 32, NULL) == 1);
    }
    must(mq_notify(q, &event) == 0 && mq_notify(q, NULL) == 0 && mq_send(q, "x", 1, 0) == 0);
    must(mq_receive(q, (char[32]){0}, 32, NULL) == 1);
    must(register_it(q) == 0 && mq_send(q, "x", 1, 0) == 0);
    wait_for_signals(6); /* by the signal; the thread would have been before it */
    must(last.si_code == SI_MESGQ);
}

static void thread(void **state)
{
    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, thread_self);
}

#define EACH_END(who, function)                                                                    \
    CALL("mq_notify(3): EBUSY, " who ": SIGEV_NONE counts", function, NEVER),                      \
        CALL("mq_notify(3): NULL removes it, " who, function, BY_NULL),                            \
        CALL("mq_close(3): removes it, " who, function, BY_CLOSE),                                 \
        CALL("mq_close(3): of another descriptor removes it, " who, function, BY_OTHER_CLOSE),     \
        CALL("mq_notify(3): exit removes it, " who, function, BY_EXIT),                            \
        CALL("mq_notify(3): a kill removes it, " who, function, BY_KILL)

int group_users_notify(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_notify(3): another user is notified, with the owner as sender", owner_notifies),
        SAYS("mq_notify(3): the owner is notified, with another user as sender", owner_is_notified),
        SAYS("mq_notify(3): one user is notified of another's message in a third's queue",
             third_notifies),
        SAYS("sigaction(2): si_pid is the process, whichever of its threads sent", of_a_thread),
        SAYS("sigaction(2): si_uid is the sender's real user id", of_real_user),
        SAYS("mq_notify(3): another user is notified of his own message, each time anew", oneself),
        EACH_END("another user's on the owner's queue", held_by_other),
        EACH_END("the owner's", held_by_owner),
        EACH_END("one user's, to a third", among_others),
        SAYS("mq_notify(3): a blocked receiver of another user comes first", receiver_first),
        SAYS("Linux: what was sent before another user's removal is delivered by then",
             sent_before_removal),
        SAYS("mq_notify(3): SIGEV_THREAD on another user's queue", thread),
    };

    return RUN("users: mq_notify", tests);
}
