/*
 * One round: a queue with some messages, a process that is brought to one
 * instruction of its call and killed or left standing there, and everybody else,
 * who must find all as if nothing were: they receive what is there, in order, are
 * told "empty", fill the queue, are told "full", wait in vain until a deadline,
 * and empty it.  Then who was stopped goes on, and what its call returns must
 * fit.  At the end all slots can be used, and each message has come once.
 */
#include "rounds.h"

#include "coverage.h"
#include "memory.h"
#include "others.h"

#define PROMPT_NS  UINT64_C(700000000) /* sooner than any sleeper looks by itself */
#define PROMPT_TRY 8                   /* a busy machine is slow, but not each time */

static const struct scenario *sc;
static bool kernel;
static mqd_t hasty, patient;
static char name[64];
static struct actor *former, *actor, *sleeper; /* in shared memory */
static bool sleeping, slept;                   /* the sleeper is at it; was started in this round */
static struct traced traced, beside; /* the actor, or the former; a former who still stands */

void rounds_init(bool on_kernel)
{
    struct actor *all = storm_shared(3 * sizeof *all);
    mqd_t other = storm_open(ACTORS_OTHER, O_CREAT | O_RDWR, 2, STORM_MSG_MAX);

    if (other == (mqd_t)-1)
        storm_die("mq_open");
    mq_close(other);
    kernel = on_kernel;
    former = &all[0];
    actor = &all[1];
    sleeper = &all[2];
}

static void set_context(const char *what, size_t left, size_t position, const struct point *last)
{
    int n = snprintf(fault_context, sizeof fault_context, "%s, %s after %zu instructions", sc->name,
                     what, position);

    if (sc->left && n > 0)
        n += snprintf(fault_context + n, sizeof fault_context - (size_t)n,
                      " (the former after %zu)", left);

    if (last && last->store && n > 0)
        snprintf(fault_context + n, sizeof fault_context - (size_t)n, ", just stored in %s:%u",
                 last->store->file ? stores_name(last->store->file) : "libc", last->store->line);
    else if (last && last->call >= 0 && n > 0)
        snprintf(fault_context + n, sizeof fault_context - (size_t)n, ", just called %d",
                 last->call);
}

/* --- the queue -------------------------------------------------------------------------------- */

static bool open_queue(void)
{
    static char room[STORM_MSG_MAX];
    const char *policy = sc->flags & SYNC ? "sync" : sc->flags & ASYNC ? "async" : "off";

    snprintf(name, sizeof name, "/storm-step-%s-%d", policy, (int)getpid());
    patient = storm_open(name, O_CREAT | O_EXCL | O_RDWR, sc->maxmsg, sc->len);
    if (patient == (mqd_t)-1 && kernel && (errno == EINVAL || errno == EMFILE))
        return false;
    hasty = mq_open(name, O_RDWR | O_NONBLOCK);
    if (patient == (mqd_t)-1 || hasty == (mqd_t)-1)
        storm_die("mq_open");
    /* Who looks for a reply does so for less long where the last one ran on the same CPU. */
    if (!(sc->flags & FRESH) &&
        (mq_send(hasty, "", 0, 0) != 0 || mq_receive(hasty, room, sizeof room, NULL) < 0))
        storm_die("the first message");
    return true;
}

void round_close(void)
{
    mq_close(hasty);
    mq_close(patient);
    if (mq_unlink(name) != 0)
        storm_die("mq_unlink");
}

bool round_open(const struct scenario *scenario)
{
    sc = scenario;
    if (!open_queue())
        return false;
    if (!(sc->flags & FRESH)) { /* it has been full before: each round finds the same */
        set_context("before the first round", 0, 0, NULL);
        others_use(hasty, patient, sc->maxmsg, sc->len);
        others_check_room(0);
        ledger_settle();
    }
    return true;
}

static void prepare(void)
{
    if (sc->flags & FRESH) {
        round_close();
        open_queue();
    }
    others_use(hasty, patient, sc->maxmsg, sc->len);
    if (sc->flags & REGISTERED)
        others_register();
    for (uint64_t i = 0; i < sc->holes; i++)
        ledger_send(1);
    for (uint64_t i = 0; i < sc->before; i++)
        ledger_send(i + 1 == sc->urgent ? 3 : 1);
    for (uint64_t i = 0; i < sc->holes; i++)
        ledger_receive();
    sleeping = slept = false;
}

/* --- actors ----------------------------------------------------------------------------------- */

static void cast(struct actor *a, uint32_t id, enum act act, unsigned how, unsigned prio)
{
    a->id = id;
    a->act = act;
    a->how = how;
    a->prio = prio;
    a->queue = name;
    a->len = sc->len;
    ledger_actor(a);
}

static bool same_as_actor(void)
{
    return sc->how & WAITS;
}

static void begin_sleeper(void)
{
    bool receives = (sc->act == RECEIVE) == same_as_actor();
    enum act transfer = receives ? RECEIVE : SEND, poll = receives ? AWAIT_MESSAGE : AWAIT_ROOM;

    cast(sleeper, 3, sc->flags & POLLER ? poll : transfer, WAITS, 1);
    actor_begin(sleeper);
    if (!actor_wait_asleep(sleeper))
        fault("the sleeper does not sleep");
    sleeping = slept = true;
}

static void end_sleeper(void)
{
    actor_end(sleeper);
    sleeper->dead = !actor_over(sleeper);
    sleeping = false;
}

/* The actor sleeps: somebody does what it waits for. */
static void wake_actor(void)
{
    if (sc->flags & SLEEPER && !slept)
        begin_sleeper();
    if (sc->act == SEND || sc->act == AWAIT_ROOM)
        ledger_receive_late();
    else if (ledger_send(1) && sc->act == RECEIVE)
        ledger_loosen_first();
}

static void begin_actor(struct actor *a)
{
    if (a->act == RECEIVE)
        ledger_loosen_first();
    actor_begin_traced(a);
    traced = (struct traced){
        .pid = a->pid, .phase = &a->phase, .wake = a->how & WAITS ? wake_actor : NULL};
}

static void begin_all(void)
{
    if (sc->flags & (SLEEPER | GONE) && !same_as_actor())
        begin_sleeper();
    if (sc->flags & GONE)
        end_sleeper();
    cast(actor, 2, sc->act, sc->how, sc->prio);
    begin_actor(actor);
    if (sc->how & NO_MEMORY)
        memory_take_all();
}

static void finish_actor(struct actor *a)
{
    trace_finish(&traced);
    ledger_returned(a);
    actor_end(a);
}

static void kill_actor(struct actor *a)
{
    if (actor_over(a))
        ledger_returned(a);
    else
        a->dead = true;
    trace_kill(&traced);
}

/* --- looking ---------------------------------------------------------------------------------- */

/*
 * The sleeper must go on if there is something for it: by itself (patient), even
 * if who was to wake it is dead or stopped.  Else it is given something.
 */
static void check_sleeper(bool patiently)
{
    bool receives = sleeper->act == RECEIVE || sleeper->act == AWAIT_MESSAGE;

    if (!sleeping)
        return;
    if (!actor_over(sleeper) && (!patiently || (receives ? others_count() == 0 : others_full()))) {
        if (receives)
            ledger_send(1);
        else
            ledger_receive_late();
    }
    if (!actor_wait_over(sleeper, WAIT_NS))
        fault("a sleeper is not woken; %ld messages are there", others_count());
    else
        ledger_returned(sleeper);
    end_sleeper();
}

/* Since it last slept, the actor has stored nothing: whatever it was woken for is still there. */
static bool holds_nothing(const struct trace *trace, size_t position)
{
    while (position-- > 0 && !trace->points[position].store)
        if (trace_sleeps(&trace->points[position]))
            return true;
    return !same_as_actor();
}

static void check_all(void)
{
    bool notifies = sc->act == REGISTER || sc->act == WITHDRAW || sc->how & TO_ITSELF;

    others_drain_after_death();
    if (notifies || sc->flags & REGISTERED)
        others_check_registrable();
    others_check_room(0);
    ledger_settle();
}

/* Slots that who is stopped may hold. */
static uint64_t held(void)
{
    return sc->flags & BESIDE ? 2 : 1;
}

static void finish_beside(void)
{
    if (!(sc->flags & BESIDE))
        return;
    traced = beside;
    finish_actor(former);
}

static void check_killed(bool effect)
{
    kill_actor(actor);
    check_sleeper(effect);
    finish_beside();
    check_all();
}

/* Each leaves the queue as another one than the actor has seen.  Who finds it full or empty repairs
 * it: where that does not happen, all that the actor has seen is still there. */
static void meanwhile(enum mode mode, size_t position)
{
    static unsigned turns[MODES];
    bool other = turns[mode]++ % 2;

    switch (mode) {
    case REFILLED:
        others_drain();
        others_check_room(held());
        others_put(sc->before);
        break;
    case ADDED:
        if (sc->before + 1 >= sc->maxmsg)
            break;
        if (other)
            others_put_lowest(sc->maxmsg - sc->before - 1);
        else
            others_put(sc->maxmsg - sc->before - 1);
        break;
    case CHANGED:
        if (position % 2)
            others_put(sc->maxmsg);
        else
            others_drain();
        break;
    default:
        if (other)
            others_turn(sc->before);
        else
            others_replace_first();
        actor->must_succeed =
            sc->before > 0 && sc->before + 2 <= sc->maxmsg && !sc->left && !(sc->how & NO_MEMORY);
    }
}

static void check_stopped(bool effect, enum mode mode, size_t position)
{
    struct traced own = traced;
    bool last = position % 2;

    check_sleeper(effect);
    meanwhile(mode, position);
    if (last)
        finish_beside();
    traced = own;
    finish_actor(actor);
    if (!last)
        finish_beside();
    check_sleeper(false);
    check_all();
}

/* --- one round -------------------------------------------------------------------------------- */

/* Another process is killed in its call, or stopped for a while, or until later. */
static void leave(const struct stand *stand)
{
    cast(former, 1, sc->left, 0, 1);
    begin_actor(former);
    trace_go(&traced, stand->former, stand->left);
    beside = traced;
    if (sc->flags & LEFT_STOPPED) {
        if (sc->left == RECEIVE)
            ledger_send_late(1);
        else
            ledger_receive_late();
        finish_actor(former);
    } else if (!(sc->flags & BESIDE)) {
        kill_actor(former);
    }
    for (uint64_t i = 0; i < sc->drained; i++)
        ledger_receive();
}

static void set_out(const struct stand *stand)
{
    storm_guard(4 * STORM_LIMIT);
    set_context("undisturbed", stand->left, 0, NULL);
    prepare();
    if (sc->left)
        leave(stand);
    begin_all();
}

/* Is the actor's message one that the harness is registered for? */
static bool notifies_harness(void)
{
    return sc->flags & REGISTERED && sc->act == SEND && !(sc->flags & SLEEPER);
}

/* Does the sleeper have to find out by itself?  Where that takes its time, not in all modes. */
static bool waits_for_sleeper(const struct stand *stand, const struct point *last)
{
    if (stand->brisk || stand->mode > REFILLED || (last && !trace_effect(last)))
        return false;
    return !last || stand->mode == KILLED || holds_nothing(stand->trace, stand->position);
}

void round_play(const struct stand *stand)
{
    const struct point *last = NULL;
    bool effect;

    set_out(stand);
    if (stand->position == ASLEEP)
        trace_go_asleep(&traced);
    else
        last = trace_go(&traced, stand->trace, stand->position);
    set_context(stand->mode == KILLED ? "killed" : "stopped", stand->left, stand->position, last);
    coverage_note(last, stand->mode == KILLED);
    if (sc->how & NO_MEMORY) {
        others_put_without_memory();
        memory_give_back();
    }
    if (stand->mode == KILLED && notifies_harness() && !stand->brisk && others_count() > 0)
        others_check_notified(); /* found by the registrant itself, if need be */
    effect = waits_for_sleeper(stand, last);
    if (stand->mode == KILLED)
        check_killed(effect);
    else
        check_stopped(effect, stand->mode, stand->position);
}

void round_record(const struct stand *stand, struct trace *trace)
{
    set_out(stand);
    trace_record(&traced, trace);
    if (sc->how & NO_MEMORY)
        memory_give_back();
    if (notifies_harness()) {
        others_check_notified();
        others_check_silent();
    }
    ledger_returned(actor);
    actor_end(actor);
    finish_beside();
    check_sleeper(false);
    if (!sc->left || sc->how & TIMES_OUT) /* then all is repaired that had to be */
        ledger_check_count(others_count());
    check_all();
}

void round_record_former(struct trace *trace)
{
    set_context("the former, undisturbed", 0, 0, NULL);
    prepare();
    cast(former, 1, sc->left, 0, 1);
    begin_actor(former);
    trace_record(&traced, trace);
    ledger_returned(former);
    actor_end(former);
    others_drain_after_death();
    ledger_settle();
}

void round_check_prompt(void)
{
    uint64_t least = UINT64_MAX;

    set_context("undisturbed", 0, 0, NULL);
    for (int i = 0; i < PROMPT_TRY && least > PROMPT_NS; i++) {
        uint64_t begin;

        prepare();
        begin_sleeper();
        begin = storm_now();
        if (same_as_actor()) {
            if (sc->act == SEND)
                ledger_receive();
            else
                ledger_send(1);
        } else {
            cast(actor, 2, sc->act, sc->how, sc->prio);
            begin_actor(actor);
            finish_actor(actor);
        }
        check_sleeper(true);
        least = storm_now() - begin < least ? storm_now() - begin : least;
        others_drain_after_death();
        ledger_settle();
    }
    if (least > PROMPT_NS)
        fault("a sleeper is not woken, but finds out by itself");
}
