/*
 * Each round has a queue of its own, with some messages.  One process is brought
 * behind something in its msgsnd or msgrcv that others can see, and killed or left
 * standing there, while everybody else uses the queue, or removes it.  Afterwards
 * each message has come once, and the queue holds what it says.
 */
#include "sysv.h"

#include "coverage.h"
#include "ledger.h"
#include "typed.h"

#define SMALL 64  /* in the slot: 256 messages fill a queue */
#define LARGE 200 /* overflow: 81 */

static const struct typed_scenario {
    const char *name;
    bool sends, waits, sleeper;
    unsigned before; /* messages: types 1, 2, 3 in turn, and 4 behind the 64th, in the tree */
    size_t len;
    struct wish wish; /* or the type that is sent */
    char left;        /* another one was killed in a send ('s') or receive ('r') before */
} typed_scenarios[] = {
    {"msgsnd", true, .before = 3, .len = SMALL, .wish.type = 2},
    {"msgsnd the first", true, .len = SMALL, .wish.type = 1},
    {"msgsnd large", true, .before = 3, .len = LARGE, .wish.type = 2},
    {"msgsnd into the tree", true, .before = 70, .len = SMALL, .wish.type = 4},
    {"msgsnd large into the tree", true, .before = 70, .len = LARGE, .wish.type = 1},
    {"msgsnd to a full queue", true, .before = 1000, .len = LARGE, .wish.type = 1},
    {"msgsnd to a sleeper", true, .sleeper = true, .len = SMALL, .wish.type = 1},
    {"msgsnd that waits", true, .waits = true, .before = 1000, .len = LARGE, .wish.type = 1},
    {"msgrcv", .before = 3, .len = SMALL},
    {"msgrcv large", .before = 3, .len = LARGE},
    {"msgrcv by type", .before = 70, .len = SMALL, .wish.type = 2},
    {"msgrcv by type from the tree", .before = 70, .len = SMALL, .wish.type = 4},
    {"msgrcv large by type from the tree", .before = 70, .len = LARGE, .wish.type = 4},
    {"msgrcv of the lowest type", .before = 70, .len = SMALL, .wish.type = -3},
    {"msgrcv of all types but one", .before = 70, .len = SMALL, .wish = {1, MSG_EXCEPT}},
    {"msgrcv of nothing", .before = 70, .len = SMALL, .wish.type = 9},
    {"msgrcv from an empty queue", .len = SMALL},
    {"msgrcv that waits", .waits = true, .before = 3, .len = SMALL, .wish.type = 9},
    {"msgrcv beside a sleeper", .sleeper = true, .before = 1000, .len = LARGE, .wish.type = 1},
    {"msgrcv after who died sending", .before = 3, .len = SMALL, .wish.type = 9, .left = 's'},
    {"msgrcv after who died receiving", .before = 3, .len = SMALL, .wish.type = 9, .left = 'r'},
    {"msgrcv after who died sending large into the tree", .before = 70, .len = LARGE,
     .wish.type = 9, .left = 's'},
    {"msgrcv after who died receiving large from the tree", .before = 70, .len = LARGE,
     .wish.type = 9, .left = 'r'},
};
const size_t sysv_count = sizeof typed_scenarios / sizeof typed_scenarios[0];

enum after { DIES, STANDS, REMOVED, AFTERS };

static const struct typed_scenario *sc;
static int queue;
static struct actor *actor, *former, *sleeper; /* in shared memory */
static struct traced traced;

const char *sysv_name(size_t which)
{
    return typed_scenarios[which].name;
}

/* --- actors ----------------------------------------------------------------------------------- */

static int64_t send_one(struct actor *a);

static bool sends(const struct actor *a)
{
    return a->call == send_one;
}

static struct wish wish_of(const struct actor *a)
{
    if (a == sleeper)
        return (struct wish){sends(a) ? 1 : 0, 0};
    return a == former ? (struct wish){sc->before > 64 ? 4 : 2, 0} : sc->wish;
}

/* What is done once per process is done. */
static void warm_up(struct actor *a)
{
    struct typed_message m = {.type = 1};
    int other = msgget(IPC_PRIVATE, 0600);

    (void)a;
    if (other < 0 || msgsnd(other, &m, LARGE, 0) != 0 ||
        msgrcv(other, &m, sizeof m.room, 0, 0) != LARGE || msgctl(other, IPC_RMID, NULL) != 0)
        storm_die("an actor's first calls");
}

static int64_t send_one(struct actor *a)
{
    struct typed_message *m = (struct typed_message *)a->buffer;

    return msgsnd(queue, m, a->len, a->how & WAITS ? 0 : IPC_NOWAIT);
}

static int64_t receive_one(struct actor *a)
{
    struct wish wish = wish_of(a);

    return msgrcv(queue, a->buffer, TYPED_MAX, wish.type,
                  wish.flags | (a->how & WAITS ? 0 : IPC_NOWAIT));
}

/* As a sender: id. */
static void cast(struct actor *a, uint32_t id, bool sending, bool waits)
{
    a->id = id;
    a->how = waits ? WAITS : 0;
    a->len = sc->len;
    a->ready = warm_up;
    a->call = sending ? send_one : receive_one;
    if (sending)
        typed_sender(id);
    else
        typed_receiver();
}

/* In the child only, so that the message is in its memory: a->buffer is cleared before it begins.
 */
static void write_message(struct actor *a)
{
    struct typed_message *m = (struct typed_message *)a->buffer;
    struct wish wish = wish_of(a);

    warm_up(a);
    m->type = wish.type;
    message_build(m->room, a->id, 0, (unsigned)wish.type, a->len);
}

static void wake_actor(void)
{
    if (sc->sends)
        typed_receive((struct wish){0, 0});
    else
        typed_send(sc->wish.type);
}

static void begin(struct actor *a)
{
    if (sends(a))
        a->ready = write_message;
    actor_begin_traced(a);
    traced = (struct traced){
        .pid = a->pid, .phase = &a->phase, .wake = a->how & WAITS ? wake_actor : NULL};
}

static void returned(const struct actor *a, bool sharp, bool removed)
{
    int64_t result = atomic_load(&a->result);
    int error = atomic_load(&a->error), none = sends(a) ? EAGAIN : ENOMSG;

    if (result < 0 && error != none && !(removed && (error == EIDRM || error == EINVAL)))
        fault("it gave %s", strerror(error));
    if (sends(a) && !removed)
        typed_sent(a->id, result == 0);
    else if (!sends(a) && result >= 0)
        typed_received((const struct typed_message *)a->buffer, result, wish_of(a), sharp);
}

static void kill_actor(struct actor *a)
{
    bool over = actor_over(a);

    trace_kill(&traced);
    if (over)
        returned(a, false, false);
    else if (!sends(a))
        typed_receiver_died();
}

static void finish_actor(struct actor *a, bool sharp, bool removed)
{
    trace_finish(&traced);
    returned(a, sharp, removed);
    actor_end(a);
}

/* --- a round ---------------------------------------------------------------------------------- */

static void fill(void)
{
    for (unsigned i = 0; i < sc->before && typed_send(i < 64 ? 1 + (long)i % 3 : 4); i++)
        ;
}

static void open_queue(void)
{
    storm_guard(4 * STORM_LIMIT);
    queue = msgget(IPC_PRIVATE, 0600);
    if (queue < 0)
        storm_die("msgget");
    typed_begin(queue, sc->len);
    fill();
}

static void close_queue(void)
{
    typed_settle();
    if (msgctl(queue, IPC_RMID, NULL) != 0)
        fault("IPC_RMID: %s", strerror(errno));
}

static void begin_all(const struct trace *before, size_t left)
{
    open_queue();
    if (sc->left) {
        cast(former, 2, sc->left == 's', false);
        begin(former);
        trace_go(&traced, before, left);
        kill_actor(former);
    }
    if (sc->sleeper) {
        cast(sleeper, 3, !sc->sends, true);
        if (sends(sleeper))
            sleeper->ready = write_message;
        actor_begin(sleeper);
        if (!actor_wait_asleep(sleeper))
            fault("the sleeper does not sleep");
    }
    cast(actor, 1, sc->sends, sc->waits);
    begin(actor);
}

/* help: it is given what it waits for; else who was to wake it did.  A removed queue wakes it. */
static void finish_sleeper(bool help, bool removed)
{
    if (!sc->sleeper)
        return;
    if (help && sends(sleeper))
        typed_receive((struct wish){0, 0});
    else if (help)
        typed_send(1);
    if (!actor_wait_over(sleeper, WAIT_NS))
        fault("a sleeper is not woken");
    else
        returned(sleeper, false, removed);
    actor_end(sleeper);
}

static void check_all(void)
{
    typed_drain_after_death();
    typed_check_room(0);
    typed_drain_after_death();
    close_queue();
}

static void check_removed(void)
{
    struct msqid_ds ds;

    if (msgctl(queue, IPC_RMID, NULL) != 0)
        fault("IPC_RMID: %s", strerror(errno));
    finish_sleeper(false, true);
    traced.wake = NULL;
    finish_actor(actor, false, true);
    if (msgctl(queue, IPC_STAT, &ds) == 0 || errno != EINVAL)
        fault("a removed queue is there");
}

static void set_context(const char *what, size_t left, size_t position, const struct point *last)
{
    const struct store *store = last ? last->store : NULL;

    snprintf(fault_context, sizeof fault_context,
             "%s, %s after %zu instructions (the former after %zu), at %s:%u, system call %d",
             sc->name, what, position, left, store && store->file ? stores_name(store->file) : "-",
             store ? store->line : 0, last ? last->call : -1);
}

static void play(const struct trace *before, size_t left, const struct trace *trace,
                 size_t position, enum after after)
{
    static const char *const names[] = {"killed", "stopped", "stopped (and the queue is removed)"};
    const struct point *last;

    set_context("undisturbed", left, 0, NULL);
    begin_all(before, left);
    last = trace_go(&traced, trace, position);
    set_context(names[after], left, position, last);
    coverage_note(last, after == DIES);
    if (after == REMOVED) {
        check_removed();
        return;
    }
    if (after == DIES) {
        kill_actor(actor);
    } else {
        typed_drain();
        typed_check_room(1 + sc->sleeper);
        fill();
        finish_actor(actor, false, false);
    }
    finish_sleeper(true, false);
    check_all();
}

static void record(const struct trace *before, size_t left, struct trace *trace)
{
    set_context("undisturbed", left, 0, NULL);
    begin_all(before, left);
    trace_record(&traced, trace);
    coverage_expect(trace);
    returned(actor, !sc->left && !sc->sleeper, false);
    actor_end(actor);
    finish_sleeper(false, false);
    check_all();
}

/* --- all rounds ------------------------------------------------------------------------------- */

static void sweep(const struct trace *before, size_t left, uint64_t every, uint64_t *chance,
                  struct tally *tally)
{
    uint64_t skip = storm_below(chance, every), bad = faults;
    struct trace trace;

    record(before, left, &trace);
    for (size_t i = 0; i < trace.count && faults < bad + 3; i++) {
        const struct point *p = &trace.points[i];

        if (!trace_effect(p) ||
            (skip-- > 0 && !coverage_lacks(p, true) && !coverage_lacks(p, false)))
            continue;
        skip = every - 1;
        for (enum after after = DIES; after < AFTERS; after++)
            play(before, left, &trace, i + 1, after);
        tally->killed++;
        tally->stopped += 2;
    }
    tally->instructions += trace.count;
    trace_free(&trace);
}

static void record_former(struct trace *trace)
{
    set_context("the former, undisturbed", 0, 0, NULL);
    open_queue();
    cast(former, 2, sc->left == 's', false);
    begin(former);
    trace_record(&traced, trace);
    returned(former, true, false);
    actor_end(former);
    check_all();
}

void sysv_run(size_t which, uint64_t stride, uint64_t *chance, struct tally *tally)
{
    uint64_t every = sweep_effects_stride(stride), skip = storm_below(chance, every);
    struct trace before = {0};

    sc = &typed_scenarios[which];
    if (!actor) {
        actor = storm_shared(3 * sizeof *actor);
        former = actor + 1;
        sleeper = actor + 2;
    }
    *tally = (struct tally){0};
    coverage_begin(sc->left    ? "repair, typed"
                   : sc->sends ? "msgsnd"
                               : "msgrcv",
                   &(struct scenario){.maxmsg = sc->before, .len = sc->len});
    if (sc->left)
        record_former(&before);
    else
        sweep(NULL, 0, every, chance, tally);
    for (size_t i = 0; i < before.count; i++) {
        const struct point *p = &before.points[i];

        /* In any case after each kind of thing, where that does not take long. */
        if (!trace_effect(p) ||
            (skip-- > 0 && !(sc->before <= 64 && p->store && p->store->engine && p->nth == 1)))
            continue;
        skip = every - 1;
        sweep(&before, i + 1, every, chance, tally);
    }
    trace_free(&before);
    storm_guard(0);
}
