/*
 * Whoever creates, removes or changes a System V queue is killed or stopped after
 * everything that others can see of it.  Then the key must lead to a whole queue or
 * be free, every id that is listed must be usable, and both must be so again.
 */
#include "sysv.h"

#include "coverage.h"
#include "daemon.h"
#include "ledger.h"
#include "typed.h"

#define KEY    (durable ? DURABLE_KEY : 0x73746570)
#define LEN    200 /* with overflow pages */
#define QBYTES 8000

static const char *const names[] = {
    "create a System V queue",         "create or find a System V queue",
    "create a private queue",          "create beside a System V queue",
    "find a System V queue",           "find a queue whose creator stands",
    "find a queue whose creator died", "clear away what a creator left",
    "remove a System V queue",         "change a System V queue",
    "create a durable System V queue", "remove a durable System V queue"};

static enum sysv_naming what;
static const char *title;
static bool durable;
static int old;   /* the queue that is found, removed or changed */
static int taken; /* the one that has an index */
static struct actor *actor, *creator;
static struct traced traced, standing; /* the actor; the creator */
static struct trace creation;

const char *sysv_naming_name(enum sysv_naming which)
{
    return names[which];
}

/* --- whoever else uses it --------------------------------------------------------------------- */

static void check_usable(int id)
{
    typed_begin(id, LEN);
    typed_check_room(0);
    typed_drain_after_death();
    typed_settle();
}

static int create(void)
{
    int id = msgget(KEY, IPC_CREAT | IPC_EXCL | 0600);

    if (id < 0)
        fault("creating it: %s", strerror(errno));
    return id;
}

/* The queue of this key, usable; or a new one. */
static int check_key(bool *there)
{
    int id = msgget(KEY, 0600);

    *there = id >= 0;
    if (!*there && errno != ENOENT)
        fault("msgget: %s", strerror(errno));
    if (!*there)
        id = create();
    if (id >= 0)
        check_usable(id);
    return id;
}

static void check_remove(int id)
{
    struct msqid_ds ds;

    if (msgctl(id, IPC_RMID, NULL) != 0)
        fault("IPC_RMID: %s", strerror(errno));
    if (msgctl(id, IPC_STAT, &ds) == 0 || errno != EINVAL)
        fault("a removed queue is there");
}

/* The key is free, and can be used anew. */
static void check_free(int gone)
{
    int id = msgget(KEY, 0600);

    if (id >= 0 || errno != ENOENT)
        fault("the key of a removed queue gives %d (%s)", id, strerror(errno));
    id = id >= 0 ? id : create();
    if (id == gone)
        fault("a new queue has a removed one's id");
    check_remove(id);
}

/* All queues that are listed: usable, too; and then removed.  Returns how many. */
static int remove_listed(void)
{
    struct msqid_ds ds;
    struct msginfo info;
    int highest = msgctl(0, MSG_INFO, (struct msqid_ds *)&info), n = 0;

    for (int i = 0; i <= highest; i++) {
        int id = msgctl(i, MSG_STAT, &ds);

        if (id < 0)
            continue;
        check_usable(id);
        check_remove(id);
        n++;
    }
    return n;
}

/* --- rounds ----------------------------------------------------------------------------------- */

static int64_t call_create(struct actor *a)
{
    (void)a;
    return msgget(KEY, IPC_CREAT | IPC_EXCL | 0600);
}

static int64_t call(struct actor *a)
{
    struct msqid_ds ds;

    switch (what) {
    case SYSV_CREATE:
    case SYSV_BESIDE:
        return call_create(a);
    case SYSV_FIND:
    case SYSV_FIND_NEW:
    case SYSV_FIND_LEFT:
        return msgget(KEY, 0600);
    case SYSV_CLEAR:
        return msgctl(0, MSG_STAT, &ds);
    case SYSV_SHARE:
        return msgget(KEY, IPC_CREAT | 0600);
    case SYSV_PRIVATE:
        return msgget(IPC_PRIVATE, 0600);
    case SYSV_REMOVE:
        return msgctl(old, IPC_RMID, NULL);
    default:
        memset(&ds, 0, sizeof ds);
        ds.msg_perm.uid = geteuid();
        ds.msg_perm.gid = getegid();
        ds.msg_perm.mode = 0600;
        ds.msg_qbytes = QBYTES;
        return msgctl(old, IPC_SET, &ds);
    }
}

/* It has used another queue before, or none. */
static void get_ready(struct actor *a)
{
    int other = msgget(IPC_PRIVATE, 0600);

    (void)a;
    if (other < 0 || msgctl(other, IPC_RMID, NULL) != 0)
        storm_die("an actor's first calls");
}

static void begin_traced(struct actor *a, struct traced *t, int64_t (*its)(struct actor *a))
{
    a->call = its;
    a->ready = get_ready;
    actor_begin_traced(a);
    *t = (struct traced){.pid = a->pid, .phase = &a->phase};
}

/* Where the creator has just given the queue its id, or after that its key: by a rename each. */
static size_t creator_position(void)
{
    size_t i = creation.count;

    for (unsigned renames = what == SYSV_CLEAR ? 2 : 1; i > 0 && renames > 0; i--)
        renames -= creation.points[i - 1].call == SYS_renameat2;
    return i + 1;
}

static void leave_unfinished(void)
{
    begin_traced(creator, &standing, call_create);
    trace_go(&standing, &creation, creator_position());
    if (what != SYSV_FIND_NEW)
        trace_kill(&standing);
}

/* Two private queues, of which the first is removed: the number of indexes in use is not free. */
static void take_index(void)
{
    int first = msgget(IPC_PRIVATE, 0600);

    taken = msgget(IPC_PRIVATE, 0600);
    if (first < 0 || taken < 0)
        fault("msgget: %s", strerror(errno));
    check_remove(first);
}

static void begin(void)
{
    storm_guard(4 * STORM_LIMIT);
    if (what == SYSV_REMOVE || what == SYSV_SET || what == SYSV_FIND) {
        old = create();
        check_usable(old);
    }
    if (what == SYSV_FIND_NEW || what == SYSV_FIND_LEFT || what == SYSV_CLEAR)
        leave_unfinished();
    begin_traced(actor, &traced, call);
    /* Afterwards, as its preparation takes an index, too. */
    if (what == SYSV_BESIDE)
        take_index();
}

/* It goes on.  expected, or: its result; an id if it is 0 or more, else -errno. */
static void finish(int64_t expected, int64_t or)
{
    int64_t r;

    trace_finish(&traced);
    r = atomic_load(&actor->result);
    if (r < 0)
        r = -(int64_t)atomic_load(&actor->error);
    if (r != expected && r != or)
        fault("it gave %" PRId64 ", not %" PRId64, r, expected);
    actor_end(actor);
}

static void check_created(bool dead)
{
    bool there;
    int id = check_key(&there);

    if (!dead) {
        int expected = there || what == SYSV_SHARE ? id : -EEXIST;

        finish(expected, expected);
        if (check_key(&there) != id)
            fault("the key has another queue");
    }
    check_remove(id);
    check_free(id);
}

static void check_found(bool dead)
{
    bool there;
    int id = check_key(&there);

    if (!there)
        fault("a queue that has its key is not found");
    if (!dead)
        finish(id, id);
    if (what == SYSV_FIND_NEW) {
        trace_finish(&standing);
        if (atomic_load(&creator->result) != id)
            fault("its creator got %" PRId64 " (%s)", atomic_load(&creator->result),
                  strerror(atomic_load(&creator->error)));
        actor_end(creator);
    }
    check_remove(id);
    check_free(id);
}

/* What a dead creator left is removed by whoever comes across it, who must leave alone what others
 * create meanwhile. */
static void check_cleared(bool dead)
{
    bool there, again;
    int id = check_key(&there);

    if (there)
        fault("a queue that was never finished is found");
    if (!dead)
        finish(what == SYSV_CLEAR ? -EINVAL : -ENOENT, id);
    if (check_key(&again) != id)
        fault("the key has another queue");
    check_remove(id);
    check_free(id);
}

static void check_private(bool dead)
{
    int id = msgget(IPC_PRIVATE, 0600);

    check_usable(id);
    if (!dead) {
        trace_finish(&traced);
        if (atomic_load(&actor->result) < 0 || atomic_load(&actor->result) == id)
            fault("it gave %" PRId64 " (%s)", atomic_load(&actor->result),
                  strerror(atomic_load(&actor->error)));
        check_usable((int)atomic_load(&actor->result));
        check_remove((int)atomic_load(&actor->result));
        actor_end(actor);
    }
    check_remove(id);
}

static void check_removed(bool dead)
{
    bool there, again;
    int id = check_key(&there);

    if (there != (id == old))
        fault("queue %d has the key of %d", id, old);
    if (!dead) {
        finish(0, 0);
        if (!there && msgget(KEY, 0600) != id)
            fault("it took another's key");
        if (there)
            id = check_key(&again);
        if (there && again)
            fault("it is there after IPC_RMID");
    }
    check_remove(id);
    check_free(id);
}

static void check_set(bool dead)
{
    struct msqid_ds ds;

    check_usable(old);
    if (!dead)
        finish(0, 0);
    if (msgctl(old, IPC_STAT, &ds) != 0 || (!dead && ds.msg_qbytes != QBYTES))
        fault("IPC_SET has not set msg_qbytes");
    check_usable(old);
    check_remove(old);
}

static void check(bool dead)
{
    int left;

    switch (what) {
    case SYSV_PRIVATE:
        check_private(dead);
        break;
    case SYSV_REMOVE:
        check_removed(dead);
        break;
    case SYSV_SET:
        check_set(dead);
        break;
    case SYSV_FIND:
    case SYSV_FIND_NEW:
        check_found(dead);
        break;
    case SYSV_FIND_LEFT:
    case SYSV_CLEAR:
        check_cleared(dead);
        break;
    case SYSV_BESIDE:
        check_created(dead);
        check_remove(taken);
        break;
    default:
        check_created(dead);
    }
    left = remove_listed();
    if (left > (what == SYSV_PRIVATE && dead))
        fault("%d queues are left", left);
}

static void play(const struct trace *trace, size_t position, bool kills)
{
    const struct point *last;

    begin();
    last = trace_go(&traced, trace, position);
    snprintf(fault_context, sizeof fault_context,
             "%s, %s after %zu instructions (at %s:%u, system call %d)", title,
             kills ? "killed" : "stopped", position,
             last && last->store && last->store->file ? stores_name(last->store->file) : "-",
             last && last->store ? last->store->line : 0, last ? last->call : -1);
    coverage_note(last, kills);
    if (kills)
        trace_kill(&traced);
    check(kills);
}

/* The whole call, undisturbed. */
static void record(struct trace *trace)
{
    snprintf(fault_context, sizeof fault_context, "%s, undisturbed", title);
    begin();
    trace_record(&traced, trace);
    if (atomic_load(&actor->result) < 0 && what != SYSV_CLEAR && what != SYSV_FIND_LEFT)
        fault("it gave %s", strerror(atomic_load(&actor->error)));
    actor_end(actor);
    if (what == SYSV_FIND_NEW) {
        trace_finish(&standing);
        actor_end(creator);
    }
    remove_listed();
}

void sysv_naming_run(enum sysv_naming which, uint64_t stride, uint64_t *chance, struct tally *tally)
{
    struct trace trace;

    if (!actor) {
        actor = storm_shared(2 * sizeof *actor);
        creator = actor + 1;
        what = SYSV_CREATE;
        title = names[what];
        durable = false;
        record(&creation);
    }
    what = which == SYSV_CREATE_DURABLE   ? SYSV_CREATE
           : which == SYSV_REMOVE_DURABLE ? SYSV_REMOVE
                                          : which;
    title = names[which];
    durable = which >= SYSV_CREATE_DURABLE;
    record(&trace);
    coverage_begin(title, NULL);
    coverage_expect(&trace);
    sweep_effects(play, &trace, stride, chance, tally);
    trace_free(&trace);
}
