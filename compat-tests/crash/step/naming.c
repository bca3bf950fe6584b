/*
 * Whoever creates or removes a queue is killed or stopped after everything that
 * others can see of it.  Then the name must be that of a whole queue, or free to
 * be used.
 */
#include "naming.h"

#include "coverage.h"
#include "others.h"

#include <ftw.h>

#define MAXMSG 10
#define LEN    1000 /* with overflow pages */

static enum act act;
static char name[64];
static char folder[4200]; /* where everything begins with nothing */
static struct actor *actor;
static struct traced traced;

/* --- whoever else uses the name --------------------------------------------------------------- */

struct pair {
    mqd_t hasty, patient;
};

static bool open_pair(struct pair *p, int flags)
{
    p->hasty = storm_open(name, flags | O_RDWR | O_NONBLOCK, MAXMSG, LEN);
    if (p->hasty == (mqd_t)-1)
        return false;
    p->patient = mq_open(name, O_RDWR);
    if (p->patient == (mqd_t)-1)
        storm_die("mq_open of what was just opened");
    return true;
}

static void close_pair(const struct pair *p)
{
    mq_close(p->hasty);
    mq_close(p->patient);
}

static void check_usable(const struct pair *p)
{
    struct mq_attr attr;

    if (mq_getattr(p->hasty, &attr) != 0 || attr.mq_maxmsg != MAXMSG || attr.mq_msgsize != LEN ||
        attr.mq_curmsgs != 0)
        fault("a new queue is not as it was ordered");
    others_use(p->hasty, p->patient, MAXMSG, LEN);
    others_check_room(0);
    ledger_settle();
}

/* There is a usable queue of this name, or one can be made.  Says whether it was there. */
static bool check_name(void)
{
    struct pair p;
    bool there = open_pair(&p, 0);

    if (!there && errno != ENOENT)
        fault("mq_open: %s", strerror(errno));
    if (!there && !open_pair(&p, O_CREAT | O_EXCL)) {
        fault("creating it again: %s", strerror(errno));
        return false;
    }
    check_usable(&p);
    close_pair(&p);
    return there;
}

static void check_unlink(bool must)
{
    if (mq_unlink(name) != 0 && (must || errno != ENOENT))
        fault("mq_unlink: %s", strerror(errno));
}

/* --- creating --------------------------------------------------------------------------------- */

static void check_created(bool dead)
{
    bool there = check_name();

    if (!dead) {
        trace_finish(&traced);
        if ((atomic_load(&actor->result) >= 0) != there ||
            (!there && atomic_load(&actor->error) != EEXIST))
            fault("it gave %" PRId64 " (%s), and the queue was %sthere before",
                  atomic_load(&actor->result), strerror(atomic_load(&actor->error)),
                  there ? "" : "not ");
        check_name();
    }
    check_unlink(true);
}

/* --- removing --------------------------------------------------------------------------------- */

static void check_unlinked(bool dead, const struct pair *old)
{
    struct pair p;
    bool there;

    others_use(old->hasty, old->patient, MAXMSG, LEN);
    others_check_room(0); /* who has it open keeps it */
    ledger_settle();
    there = open_pair(&p, 0);
    if (there) {
        others_use(old->hasty, p.patient, MAXMSG, LEN); /* the same */
        others_check_room(0);
        ledger_settle();
        close_pair(&p);
        check_unlink(true);
    }
    if (check_name())
        fault("it is there after mq_unlink");
    if (!dead) {
        trace_finish(&traced);
        /* Stopped before, it removes the new one, or finds none to remove. */
        if (atomic_load(&actor->result) != 0)
            fault("mq_unlink gave %s", strerror(atomic_load(&actor->error)));
        if (check_name() == there)
            fault("its mq_unlink took %s", there ? "nothing" : "another's queue");
    }
    check_unlink(true);
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void begin(void)
{
    actor->act = act;
    actor->how = FIRST_USE;
    actor->queue = name;
    actor->len = LEN;
    actor->maxmsg = MAXMSG;
    actor_begin_traced(actor);
    traced = (struct traced){.pid = actor->pid, .phase = &actor->phase};
}

static void go(const struct trace *trace, size_t position, bool kills)
{
    const struct point *last = trace_go(&traced, trace, position);

    snprintf(fault_context, sizeof fault_context, "%s, %s after %zu instructions (system call %d)",
             act == CREATE ? "mq_open" : "mq_unlink", kills ? "killed" : "stopped", position,
             last ? last->call : -1);
    coverage_note(last, kills);
    if (kills)
        trace_kill(&traced);
}

static void play(const struct trace *trace, size_t position, bool kills)
{
    struct pair old;

    if (act == UNLINK && !open_pair(&old, O_CREAT | O_EXCL))
        storm_die("mq_open");
    begin();
    go(trace, position, kills);
    if (act == CREATE) {
        check_created(kills);
    } else {
        check_unlinked(kills, &old);
        close_pair(&old);
    }
    if (!kills)
        actor_end(actor);
}

static void record(struct trace *trace)
{
    begin();
    trace_record(&traced, trace);
    coverage_expect(trace);
    if (atomic_load(&actor->result) < 0)
        fault("undisturbed it gave %s", strerror(atomic_load(&actor->error)));
    actor_end(actor);
}

static void init(enum act what, const char *policy)
{
    act = what;
    snprintf(name, sizeof name, "/storm-step-%s-name-%d", policy, (int)getpid());
    if (!actor)
        actor = storm_shared(sizeof *actor);
}

void naming_run(enum act what, const char *policy, uint64_t stride, uint64_t *chance,
                struct tally *tally)
{
    struct trace trace;
    struct pair old;

    init(what, policy);
    if (act == UNLINK) {
        if (!open_pair(&old, O_CREAT | O_EXCL))
            storm_die("mq_open");
        close_pair(&old);
    }
    record(&trace);
    if (act == CREATE)
        check_unlink(true);
    sweep_effects(play, &trace, stride, chance, tally);
    trace_free(&trace);
}

/* --- the first of all ------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Everybody may make queues there, whatever became of who made the folders. */
static int check_mode(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    bool in_place = !strchr(path + ftw->base, '.');

    if (type == FTW_D && in_place && (st->st_mode & 07777) != 01777)
        fault("%s has mode %o", path, st->st_mode & 07777u);
    return 0;
}

/* In a process that has not used a queue before, as this one may not. */
static void check_in_child(bool last)
{
    pid_t pid = storm_fork();
    int status;

    if (pid == 0) {
        uint64_t before = faults;

        umask(022);
        check_name();
        if (last)
            check_unlink(true);
        nftw(folder, check_mode, 16, FTW_PHYS);
        fflush(stdout);
        _exit(faults != before);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        faults++;
}

static void play_first(const struct trace *trace, size_t position, bool kills)
{
    remove_tree(folder);
    begin();
    go(trace, position, kills);
    check_in_child(kills);
    if (kills)
        return;
    trace_finish(&traced);
    if (atomic_load(&actor->result) < 0 && atomic_load(&actor->error) != EEXIST)
        fault("it gave %s", strerror(atomic_load(&actor->error)));
    actor_end(actor);
    check_in_child(true);
}

void naming_first(uint64_t stride, uint64_t *chance, struct tally *tally)
{
    char before[4096];
    struct trace trace;

    snprintf(before, sizeof before, "%s", getenv("MQX_DIR"));
    snprintf(folder, sizeof folder, "%s/first", before);
    if (mkdir(before, 01777) != 0 && errno != EEXIST)
        storm_die("mkdir");
    setenv("MQX_DIR", folder, 1);
    umask(geteuid() == 0 ? 0777 : 0077); /* no file may depend on it */
    init(CREATE, "off");
    record(&trace);
    sweep_effects(play_first, &trace, stride, chance, tally);
    trace_free(&trace);
    remove_tree(folder);
    setenv("MQX_DIR", before, 1);
    umask(022);
}
