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

#define ASLEEP     SIZE_MAX            /* position: in the sleep */
#define LONG_LOOP  50                  /* executions: its edges are looked at */
#define PROMPT_NS  UINT64_C(700000000) /* sooner than any sleeper looks by itself */
#define PROMPT_TRY 8                   /* a busy machine is slow, but not each time */

enum choice {
    EVERY,    /* instruction; of a long loop the first two rounds and the last */
    DISTINCT, /* the same for shorter loops too, and not in libc */
    EFFECTS   /* stores to shared memory, and system calls */
};

static const struct scenario *sc;
static bool kernel;
static mqd_t hasty, patient;
static char name[64];
static struct actor *former, *actor, *sleeper; /* in shared memory */
static bool sleeping, slept;                   /* the sleeper is at it; was started in this round */
static struct traced traced;

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

static void close_queue(void)
{
    mq_close(hasty);
    mq_close(patient);
    if (mq_unlink(name) != 0)
        storm_die("mq_unlink");
}

static void prepare(void)
{
    if (sc->flags & FRESH) {
        close_queue();
        open_queue();
    }
    others_use(hasty, patient, sc->maxmsg, sc->len);
    if (sc->flags & REGISTERED)
        others_register();
    for (uint64_t i = 0; i < sc->before; i++)
        ledger_send(i + 1 == sc->urgent ? 3 : 1);
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
    if (sc->act == SEND)
        ledger_receive_late();
    else if (ledger_send(1))
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

static void check_killed(bool effect)
{
    kill_actor(actor);
    check_sleeper(effect);
    others_drain_after_death();
    others_check_room(0);
    ledger_settle();
}

/* Each leaves the queue as another one than the actor has seen.  Who finds it full or empty repairs
 * it: where that does not happen, all that the actor has seen is still there. */
static void meanwhile(enum mode mode, size_t position)
{
    switch (mode) {
    case REFILLED:
        others_drain();
        others_check_room(1);
        others_put(sc->before);
        break;
    case ADDED:
        if (sc->before + 1 < sc->maxmsg)
            others_put(sc->maxmsg - sc->before - 1);
        break;
    case CHANGED:
        if (position % 2)
            others_put(sc->maxmsg);
        else
            others_drain();
        break;
    default:
        others_turn(sc->before);
        actor->must_succeed =
            sc->before > 0 && sc->before + 2 <= sc->maxmsg && !sc->left && !(sc->how & NO_MEMORY);
    }
}

static void check_stopped(bool effect, enum mode mode, size_t position)
{
    check_sleeper(effect);
    meanwhile(mode, position);
    finish_actor(actor);
    check_sleeper(false);
    others_drain_after_death();
    others_check_room(0);
    ledger_settle();
}

/* --- one round -------------------------------------------------------------------------------- */

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

/* Another process is killed, or stopped for a while, in its call. */
static void leave(const struct trace *trace, size_t position)
{
    cast(former, 1, sc->left, 0, 1);
    begin_actor(former);
    trace_go(&traced, trace, position);
    if (sc->flags & LEFT_STOPPED) {
        if (sc->left == RECEIVE)
            ledger_send_late(1);
        else
            ledger_receive_late();
        finish_actor(former);
    } else {
        kill_actor(former);
    }
    for (uint64_t i = 0; i < sc->drained; i++)
        ledger_receive();
}

static void play(const struct trace *before, size_t left, const struct trace *trace,
                 size_t position, enum mode mode)
{
    const struct point *last = NULL;
    bool effect;

    storm_guard(4 * STORM_LIMIT);
    set_context("before its begin", left, 0, NULL);
    prepare();
    if (sc->left)
        leave(before, left);
    begin_all();
    if (position == ASLEEP)
        trace_go_asleep(&traced);
    else
        last = trace_go(&traced, trace, position);
    set_context(mode == KILLED ? "killed" : "stopped", left, position, last);
    coverage_note(last, mode == KILLED);
    if (sc->how & NO_MEMORY) {
        ledger_send_without_memory(1);
        memory_give_back();
    }
    effect = mode <= REFILLED &&
             (!last || (trace_effect(last) && (mode == KILLED || holds_nothing(trace, position))));
    if (mode == KILLED)
        check_killed(effect);
    else
        check_stopped(effect, mode, position);
}

/* --- a scenario ------------------------------------------------------------------------------- */

/* The whole call, undisturbed.  Then the queue is looked at, as always. */
static void record(const struct trace *before, size_t left, struct trace *trace)
{
    storm_guard(4 * STORM_LIMIT);
    set_context("undisturbed", left, 0, NULL);
    prepare();
    if (sc->left)
        leave(before, left);
    begin_all();
    trace_record(&traced, trace);
    if (sc->how & NO_MEMORY)
        memory_give_back();
    if (sc->flags & REGISTERED && sc->act == SEND)
        others_check_notified();
    ledger_returned(actor);
    actor_end(actor);
    check_sleeper(false);
    if (!sc->left || sc->how & TIMES_OUT) /* then all is repaired that had to be */
        ledger_check_count(others_count());
    others_drain_after_death();
    others_check_room(0);
    ledger_settle();
}

static void record_former(struct trace *trace)
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

/* Does a call wake who sleeps, or do sleepers only find out by themselves? */
static void check_prompt(void)
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

uint64_t effects_stride(uint64_t stride)
{
    return (stride + 15) / 16;
}

/* Is the instruction before this position worth a look? */
static bool worth(const struct point *p, enum choice choice)
{
    bool edge = p->nth <= 2 || p->nth == p->of; /* of its executions */

    if (trace_effect(p))
        return true;
    switch (choice) {
    case EVERY:
        return p->of < LONG_LOOP || edge;
    case DISTINCT:
        return edge && stores_inside(p->at);
    default:
        return false;
    }
}

/* The positions to look at, in `list`. */
static size_t choose(const struct trace *trace, enum choice choice, size_t *list)
{
    size_t n = 0;

    for (size_t i = 0; i < trace->count; i++)
        if (worth(&trace->points[i], choice))
            list[n++] = i + 1;
    return n;
}

/* Which shared stores there are, whatever their order. */
static uint64_t kind_of(const struct trace *trace)
{
    uint64_t kind = 0;

    for (size_t i = 0; i < trace->count; i++)
        if (trace->points[i].store && trace->points[i].nth == 1)
            kind += storm_mix(trace->points[i].at);
    return kind;
}

static void run_modes(const struct trace *before, size_t left, const struct trace *trace,
                      enum choice choice, uint64_t stride, uint64_t *chance, struct tally *tally)
{
    size_t *list = malloc((trace->count + 1) * sizeof *list);
    size_t n = list ? choose(trace, choice, list) : 0;
    uint64_t bad = faults, every = choice == EFFECTS ? effects_stride(stride) : stride;

    for (enum mode mode = KILLED; mode < MODES; mode++) {
        if (sc->how & WAITS)
            play(before, left, trace, ASLEEP, mode);
        for (size_t i = storm_below(chance, every); i < n && faults < bad + 3; i += every) {
            bool rare = sc->left || !trace_effect(&trace->points[list[i] - 1]);

            if (rare && mode > REFILLED && i % (MODES - ADDED) != mode - ADDED)
                continue; /* each of these at every third */
            play(before, left, trace, list[i], mode);
            *(mode == KILLED ? &tally->killed : &tally->stopped) += 1;
        }
    }
    tally->instructions += trace->count;
    free(list);
}

/* After a death (or a stop) at each thing that others could see, but for the middle of a copy. */
static void run_left(uint64_t stride, uint64_t *chance, struct tally *tally)
{
    struct trace before, trace;
    uint64_t kinds[65], bad = faults, every = effects_stride(stride);
    uint64_t skip = storm_below(chance, every);
    size_t known = 0;

    record_former(&before);
    for (size_t i = 0; i < before.count && faults < bad + 3; i++) {
        const struct point *p = &before.points[i];
        bool fresh = known + 1 < sizeof kinds / sizeof kinds[0];

        if (!trace_effect(p) || (p->store && !p->store->engine) || skip-- > 0)
            continue;
        skip = every - 1;
        record(&before, i + 1, &trace);
        kinds[known] = kind_of(&trace);
        for (size_t k = 0; k < known; k++)
            fresh &= kinds[k] != kinds[known];
        known += fresh;
        run_modes(&before, i + 1, &trace, fresh && !(sc->flags & BRIEF) ? DISTINCT : EFFECTS,
                  stride, chance, tally);
        trace_free(&trace);
    }
    trace_free(&before);
}

bool rounds_run(const struct scenario *scenario, uint64_t stride, uint64_t *chance,
                struct tally *tally)
{
    struct trace trace;

    *tally = (struct tally){0};
    sc = scenario;
    if (!open_queue())
        return false;
    if (sc->left) {
        run_left(stride, chance, tally);
    } else {
        if (sc->flags & SLEEPER)
            check_prompt();
        record(NULL, 0, &trace);
        run_modes(NULL, 0, &trace, sc->flags & BRIEF ? EFFECTS : EVERY, stride, chance, tally);
        trace_free(&trace);
    }
    close_queue();
    storm_guard(0);
    return true;
}
