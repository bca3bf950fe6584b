/*
 * A registrant's helper thread is asleep when a message fires its registration.
 * It is stepped through from there until it sleeps again: it gives the entry in
 * the queue back, sends the notification, and says so to the sender, who waits
 * for that.  Its process is killed, or the thread left standing, after everything
 * that others can see of it; then others send, receive, register and are
 * notified.
 */
#include "delivery.h"

#include "coverage.h"
#include "others.h"

#include <dirent.h>
#include <sys/ptrace.h>

#define MAXMSG 8
#define LEN    64

static char name[64];
static mqd_t hasty, patient;
static struct actor *registrant; /* in shared memory */
static struct traced helper;

/* The thread of that name; 0: there is none yet. */
static pid_t find_helper(pid_t pid)
{
    char path[300], comm[32] = "";
    struct dirent *entry;
    pid_t found = 0;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    tasks = opendir(path);
    while (tasks && !found && (entry = readdir(tasks))) {
        FILE *file;

        snprintf(path, sizeof path, "/proc/%d/task/%.16s/comm", (int)pid, entry->d_name);
        file = fopen(path, "r");
        if (file && fgets(comm, sizeof comm, file) && strcmp(comm, "mqx-notify\n") == 0)
            found = atoi(entry->d_name);
        if (file)
            fclose(file);
    }
    if (tasks)
        closedir(tasks);
    return found;
}

static void wait_for_helper(void)
{
    uint64_t begin = storm_now();
    pid_t tid = 0;

    while (!atomic_load(&registrant->phase) || !(tid = find_helper(registrant->pid)) ||
           !trace_asleep(tid)) {
        if (storm_now() - begin > STORM_LIMIT_NS)
            storm_die("the helper thread does not come to its sleep");
        storm_nap(20000);
    }
    helper = (struct traced){.pid = tid, .phase = &registrant->phase, .sleep_ends = true};
}

/* Registered, and fired, and the helper is about to find that. */
static void begin(void)
{
    storm_guard(4 * STORM_LIMIT);
    others_use(hasty, patient, MAXMSG, LEN);
    registrant->act = REGISTER;
    registrant->how = 0;
    registrant->queue = name;
    registrant->len = LEN;
    actor_begin(registrant);
    wait_for_helper();
    trace_attach(&helper);
    ledger_send(1);
    trace_leave_call(&helper);
}

/* All that there is for others, whatever became of the registrant. */
static void check(void)
{
    others_drain();
    others_check_room(0);
    others_check_registrable();
    ledger_settle();
}

static void play(const struct trace *trace, size_t position, bool kills)
{
    const struct point *last;

    begin();
    last = trace_go(&helper, trace, position);
    snprintf(fault_context, sizeof fault_context, "delivery, %s after %zu instructions",
             kills ? "killed" : "stopped", position);
    coverage_note(last, kills);
    if (kills)
        trace_kill(&helper);
    check();
    if (!kills) {
        trace_detach(&helper);
        check();
    }
    actor_end(registrant);
    check();
}

static void record(struct trace *trace)
{
    snprintf(fault_context, sizeof fault_context, "delivery, undisturbed");
    begin();
    trace_record(&helper, trace);
    coverage_expect(trace);
    actor_end(registrant);
    check();
}

void delivery_run(uint64_t stride, uint64_t *chance, struct tally *tally)
{
    uint64_t every = sweep_effects_stride(stride), next = storm_below(chance, every), n = 0;
    uint64_t bad = faults;
    struct trace trace;

    if (!registrant)
        registrant = storm_shared(sizeof *registrant);
    snprintf(name, sizeof name, "/storm-step-off-delivery-%d", (int)getpid());
    patient = storm_open(name, O_CREAT | O_EXCL | O_RDWR, MAXMSG, LEN);
    hasty = mq_open(name, O_RDWR | O_NONBLOCK);
    if (patient == (mqd_t)-1 || hasty == (mqd_t)-1)
        storm_die("mq_open");
    record(&trace);
    *tally = (struct tally){.instructions = trace.count};
    for (size_t i = 0; i < trace.count && faults < bad + 3; i++) {
        const struct point *p = &trace.points[i];

        if (!trace_effect(p) ||
            (n++ != next && !coverage_lacks(p, true) && !coverage_lacks(p, false)))
            continue;
        next += n - 1 == next ? every : 0;
        play(&trace, i + 1, true);
        play(&trace, i + 1, false);
        tally->killed++, tally->stopped++;
    }
    trace_free(&trace);
    mq_close(hasty);
    mq_close(patient);
    mq_unlink(name);
    storm_guard(0);
}
