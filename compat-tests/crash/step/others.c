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

void others_register(void)
{
    const struct sigevent silent = {.sigev_notify = SIGEV_NONE};

    if (mq_notify(patient, NULL) != 0 || mq_notify(patient, &silent) != 0)
        fault("mq_notify: %s", strerror(errno));
}

void others_check_notified(void)
{
    const struct sigevent silent = {.sigev_notify = SIGEV_NONE};

    if (mq_notify(patient, &silent) != 0)
        fault("a message for an empty queue notified nobody: %s", strerror(errno));
}

void others_check_registrable(void)
{
    others_register();
    ledger_send(1);
    others_check_notified();
    mq_notify(patient, NULL);
    others_drain();
}
