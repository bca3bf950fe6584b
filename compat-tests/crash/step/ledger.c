/* What was sent, what came, and what must come next. */
#include "ledger.h"

#define MOST   8192 /* the harness's messages in a round */
#define ACTORS 4

char fault_context[300];
uint64_t faults;

static mqd_t hasty, patient;
static size_t len;
static uint64_t longest; /* call of the harness, ns */
static uint64_t number;  /* of the harness's next message: over all rounds */

static struct {
    uint64_t first; /* number of this round's first message */
    uint32_t count; /* messages sent */
    uint8_t prio[MOST], came[MOST];
    bool loose[MOST]; /* an actor may hold it */
    /* Per priority, in the order in which they were sent, and how many are done with. */
    uint32_t order[LEDGER_PRIOS][MOST], sent[LEDGER_PRIOS], done[LEDGER_PRIOS];
    struct actor *actor[ACTORS];
    uint32_t actors, actor_came[ACTORS];
    bool sent_by[ACTORS]; /* its send returned, and it succeeded */
} round;

void fault(const char *format, ...)
{
    va_list args;

    if (++faults > 20)
        return;
    printf("# %s: ", fault_context);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void ledger_begin(mqd_t hasty_queue, mqd_t patient_queue, size_t length)
{
    hasty = hasty_queue;
    patient = patient_queue;
    len = length;
    memset(round.came, 0, round.count);
    memset(round.loose, 0, round.count);
    memset(round.sent, 0, sizeof round.sent);
    memset(round.done, 0, sizeof round.done);
    memset(round.actor_came, 0, sizeof round.actor_came);
    memset(round.sent_by, 0, sizeof round.sent_by);
    round.first = number;
    round.count = round.actors = 0;
}

void ledger_actor(struct actor *a)
{
    if (round.actors == ACTORS)
        storm_die("too many actors");
    round.actor[round.actors++] = a;
}

/* --- what is inside --------------------------------------------------------------------------- */

/* The first message that nobody may hold; false: none. */
static bool head(uint32_t *which)
{
    for (int p = LEDGER_PRIOS - 1; p >= 0; p--) {
        uint32_t *done = &round.done[p];

        while (*done < round.sent[p] &&
               (round.came[round.order[p][*done]] || round.loose[round.order[p][*done]]))
            ++*done;
        if (*done < round.sent[p]) {
            *which = round.order[p][*done];
            return true;
        }
    }
    return false;
}

void ledger_loosen_first(void)
{
    uint32_t which;

    if (head(&which))
        round.loose[which] = true;
}

/* --- sending ---------------------------------------------------------------------------------- */

static void note_time(uint64_t begin)
{
    int error = errno;
    uint64_t took = storm_now() - begin;

    longest = took > longest ? took : longest;
    errno = error;
}

uint64_t ledger_longest(void)
{
    return longest;
}

/* 0, or why not. */
static int send_message(unsigned prio, mqd_t queue, const struct timespec *until)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    uint64_t begin;
    int r;

    message_build(room, 0, number, prio, len);
    begin = storm_now();
    r = until ? mq_timedsend(queue, room, len, prio, until) : mq_send(queue, room, len, prio);
    note_time(begin);
    if (r != 0)
        return errno;
    if (round.count == MOST)
        storm_die("too many messages in a round");
    round.prio[round.count] = (uint8_t)prio;
    round.order[prio][round.sent[prio]++] = round.count++;
    number++;
    return 0;
}

/* Sent?  Else it must be full. */
static bool was_sent(int error, int full)
{
    if (error != 0 && error != full)
        fault("a send failed: %s", strerror(error));
    return error == 0;
}

bool ledger_send(unsigned prio)
{
    return was_sent(send_message(prio, hasty, NULL), EAGAIN);
}

/* Most have passed: then nobody sleeps.  Now and then one is about to come. */
static const struct timespec *deadline(void)
{
    static const struct timespec passed = {1, 0};
    static struct timespec ahead;
    static unsigned turn;

    if (++turn % 32 > 0)
        return &passed;
    ahead = storm_deadline(1000000);
    return &ahead;
}

bool ledger_send_late(unsigned prio)
{
    return was_sent(send_message(prio, patient, deadline()), ETIMEDOUT);
}

bool ledger_send_without_memory(unsigned prio)
{
    int error = send_message(prio, hasty, NULL);

    return error != ENOSPC && was_sent(error, EAGAIN);
}

void ledger_check_full(void)
{
    if (ledger_send(0) || ledger_send_late(0))
        fault("a full queue took another message");
}

/* --- receiving -------------------------------------------------------------------------------- */

static void note_from_actor(const struct storm_msg *msg)
{
    for (uint32_t i = 0; i < round.actors; i++)
        if (round.actor[i]->act == SEND && round.actor[i]->id == msg->sender) {
            if (++round.actor_came[i] > 1)
                fault("the message of actor %u came twice", msg->sender);
            return;
        }
    fault("a message from another round, sender %u", msg->sender);
}

/* A message of this priority came: is there one of an actor's that goes before it? */
static void check_actors_first(unsigned prio)
{
    for (uint32_t i = 0; i < round.actors; i++)
        if (round.actor[i]->act == RECEIVE)
            return; /* who may hold it */
    for (uint32_t i = 0; i < round.actors; i++)
        if (round.sent_by[i] && !round.actor_came[i] && round.actor[i]->prio > prio)
            fault("priority %u came before the message of actor %u (priority %u)", prio,
                  round.actor[i]->id, round.actor[i]->prio);
}

/* The harness received an actor's message: is there one of its own that goes before it? */
static void check_own_first(const struct storm_msg *msg, unsigned prio)
{
    uint32_t next;

    if (msg->sender != 0 && head(&next) && round.prio[next] > prio)
        fault("the message of actor %u (priority %u) came before %u (priority %u)", msg->sender,
              prio, next, round.prio[next]);
}

/* A message came: is it the one that had to be next? */
static void note_received(const char *room, ssize_t got, unsigned prio)
{
    const struct storm_msg *msg = (const struct storm_msg *)room;
    uint64_t n = msg->number - round.first;
    uint32_t next;

    if ((size_t)got != len || !message_whole(room, len) || msg->round != prio) {
        fault("a damaged message: %zd bytes, priority %u", got, prio);
        return;
    }
    if (msg->sender != 0) {
        note_from_actor(msg);
        return;
    }
    check_actors_first(prio);
    if (n >= round.count) {
        fault("a message of an earlier round");
        return;
    }
    if (!round.loose[n] && head(&next) && next != n && !round.came[n])
        fault("message %" PRIu64 " (priority %u) came before %u (priority %u)", n, prio, next,
              round.prio[next]);
    if (round.came[n]++)
        fault("message %" PRIu64 " came twice", n);
}

static bool receive_message(mqd_t queue, const struct timespec *until)
{
    static _Alignas(16) char room[STORM_MSG_MAX];
    unsigned prio = 0;
    uint32_t next;
    uint64_t begin = storm_now();
    ssize_t r = until ? mq_timedreceive(queue, room, len, &prio, until)
                      : mq_receive(queue, room, len, &prio);

    note_time(begin);

    if (r >= 0) {
        check_own_first((const struct storm_msg *)room, prio);
        note_received(room, r, prio);
        return true;
    }
    if (errno != (until ? ETIMEDOUT : EAGAIN))
        fault("a receive failed: %s", strerror(errno));
    else if (head(&next))
        fault("\"empty\", and message %u (priority %u) is there", next, round.prio[next]);
    return false;
}

bool ledger_receive(void)
{
    return receive_message(hasty, NULL);
}

bool ledger_receive_late(void)
{
    return receive_message(patient, deadline());
}

/* --- actors ----------------------------------------------------------------------------------- */

void ledger_returned(struct actor *a)
{
    int error = atomic_load(&a->error);
    int64_t result = atomic_load(&a->result);
    bool refused = (error == ENOSPC && a->how & NO_MEMORY) ||
                   (error == EBUSY && a->act == REGISTER); /* another was registered meanwhile */

    if (result >= 0) {
        if (a->act == RECEIVE)
            note_received(a->buffer, (ssize_t)result, a->prio_received);
        for (uint32_t i = 0; i < round.actors; i++)
            round.sent_by[i] |= round.actor[i] == a && a->act == SEND;
        return;
    }
    /* Others may have emptied or filled it meanwhile, and that is what it saw. */
    if (a->how & WAITS || a->must_succeed ||
        (error != (a->how & TIMES_OUT ? ETIMEDOUT : EAGAIN) && !refused))
        fault("the call of actor %u gave %s", a->id, strerror(error));
}

/* A process died with all of this message in its buffer: it may have received it. */
static bool held_by_dead(uint32_t sender, uint64_t n)
{
    for (uint32_t i = 0; i < round.actors; i++) {
        const struct actor *a = round.actor[i];
        const struct storm_msg *msg = (const struct storm_msg *)a->buffer;

        if (a->act == RECEIVE && a->dead && message_whole(a->buffer, len) &&
            msg->sender == sender && msg->number == n)
            return true;
    }
    return false;
}

uint64_t ledger_lost(void)
{
    uint64_t lost = 0;

    for (uint32_t i = 0; i < round.count; i++)
        lost += !round.came[i] && !held_by_dead(0, round.first + i);
    return lost;
}

void ledger_check_count(long count)
{
    long least = 0, most = 0;

    for (uint32_t i = 0; i < round.count; i++) {
        most += !round.came[i];
        least += !round.came[i] && !held_by_dead(0, round.first + i);
    }
    for (uint32_t i = 0; i < round.actors; i++) {
        const struct actor *a = round.actor[i];
        bool sent = a->act == SEND && (a->dead || atomic_load(&a->result) == 0);

        most += sent && round.actor_came[i] == 0;
        least += sent && round.actor_came[i] == 0 && !a->dead && !held_by_dead(a->id, a->id);
    }
    if (count < least || count > most)
        fault("%ld messages are counted, of %ld to %ld", count, least, most);
}

void ledger_settle(void)
{
    for (uint32_t i = 0; i < round.count; i++)
        if (!round.came[i] && !held_by_dead(0, round.first + i))
            fault("message %u is lost", i);
    for (uint32_t i = 0; i < round.actors; i++) {
        const struct actor *a = round.actor[i];
        bool sent = atomic_load(&a->result) == 0, came = round.actor_came[i] > 0;

        if (a->act == SEND && !a->dead && came != sent && !(sent && held_by_dead(a->id, a->id)))
            fault("the send of actor %u gave %" PRId64 ", and %u of its messages came", a->id,
                  atomic_load(&a->result), round.actor_came[i]);
    }
}
