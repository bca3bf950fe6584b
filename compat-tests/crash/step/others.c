/* They never wait for longer than a call takes: who is stopped must not be in anybody's way. */
#include "others.h"

static mqd_t hasty, patient;
static uint64_t maxmsg;

void others_use(mqd_t hasty_queue, mqd_t patient_queue, uint64_t most, size_t len)
{
    hasty = hasty_queue;
    patient = patient_queue;
    maxmsg = most;
    ledger_begin(hasty, patient, len);
}

long others_count(void)
{
    return storm_count(hasty);
}

bool others_full(void)
{
    return others_count() == (long)maxmsg;
}

/* A deadline, where it is full, so that what the dead have is found. */
static bool put(uint64_t n)
{
    return ledger_send(n % LEDGER_PRIOS) || ledger_send_late(n % LEDGER_PRIOS);
}

void others_put(uint64_t count)
{
    for (uint64_t i = 0; i < count && put(i); i++)
        ;
}

void others_put_lowest(uint64_t count)
{
    while (count-- > 0 && (ledger_send(0) || ledger_send_late(0)))
        ;
}

void others_put_without_memory(void)
{
    for (uint64_t i = 0; i < maxmsg && ledger_send_without_memory(1); i++)
        ;
}

void others_turn(uint64_t count)
{
    for (uint64_t i = 0; i <= count && put(i); i++)
        ledger_receive();
}

void others_replace_first(void)
{
    if (put(LEDGER_PRIOS - 1))
        ledger_receive();
}

/* Who was published and not yet indexed when it was stopped is found before a deadline. */
void others_drain(void)
{
    while (ledger_receive() || ledger_receive_late())
        ;
}

void others_drain_after_death(void)
{
    uint64_t begin = storm_now();

    others_drain();
    while (ledger_lost() > 0 || others_count() > 0) {
        if (storm_now() - begin > WAIT_NS) {
            fault("%ld messages stay behind, %" PRIu64 " are lost", others_count(), ledger_lost());
            return;
        }
        ledger_receive_late();
    }
}

void others_check_room(uint64_t held)
{
    uint64_t n = 0;
    long count;

    while (n < maxmsg && put(n))
        n++;
    if (n + held < maxmsg)
        fault("room for only %" PRIu64 " of %" PRIu64 " messages", n, maxmsg);
    ledger_check_full();
    count = others_count();
    if (count > (long)maxmsg || count + (long)held < (long)maxmsg)
        fault("a full queue holds %ld of %" PRIu64 " messages", count, maxmsg);
    others_drain();
}

/* A signal of its own, which nobody handles: it waits until it is asked for. */
static sigset_t the_signal(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return set;
}

static void be_registered(void)
{
    const struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};

    if (mq_notify(patient, &event) != 0)
        fault("mq_notify: %s", strerror(errno));
}

void others_register(void)
{
    const struct timespec none = {0};
    sigset_t set = the_signal();

    mq_notify(patient, NULL);
    while (sigtimedwait(&set, NULL, &none) > 0)
        ; /* of an earlier registration */
    be_registered();
}

void others_check_notified(void)
{
    const struct timespec limit = {.tv_sec = WAIT_NS / 1000000000};
    sigset_t set = the_signal();

    if (sigtimedwait(&set, NULL, &limit) < 0)
        fault("a message for an empty queue notified nobody");
    be_registered();
}

void others_check_silent(void)
{
    const struct timespec none = {0};
    sigset_t set = the_signal();

    ledger_send(1);
    if (sigtimedwait(&set, NULL, &none) > 0)
        fault("a message notified beside which there was another");
}

void others_check_registrable(void)
{
    others_register();
    ledger_send(1);
    others_check_notified();
    others_drain();
    mq_notify(patient, NULL);
}
