/*
 * Stepping to the nth instruction takes n steps, for all instructions of a call
 * half the square of their number.  So calls are stepped through once, and after
 * that a breakpoint leads to the last instruction before the wanted position
 * that had not been run before in the call; only what is left is stepped.
 */
#include "trace.h"

#include "../storm.h"

#include <sys/ptrace.h>
#include <sys/syscall.h>

#define STEPS_MOST  1000000
#define WAKE_AGAIN  UINT64_C(300000000) /* its message may have gone to another */
#define SYSCALL     0x050f
#define FUTEX_WAITV 449

static bool sleeps(int call)
{
    return call == FUTEX_WAITV || call == SYS_futex || call == SYS_mq_timedsend ||
           call == SYS_mq_timedreceive || call == SYS_poll || call == SYS_ppoll ||
           call == SYS_restart_syscall; /* of an interrupted poll */
}

bool trace_asleep(pid_t pid)
{
    char path[64], text[64] = "";
    int fd;
    ssize_t n;

    snprintf(path, sizeof path, "/proc/%d/syscall", (int)pid);
    fd = open(path, O_RDONLY);
    n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    return n > 0 && text[0] != 'r' && sleeps(atoi(text)); /* else "running" */
}

bool trace_sleeps(const struct point *point)
{
    return sleeps(point->call);
}

/* The signal that it stopped with. */
static int stopped_by(pid_t pid, int status)
{
    if (!WIFSTOPPED(status)) {
        fprintf(stderr, "storm: process %d ended by itself (status %#x)\n", (int)pid, status);
        exit(2);
    }
    return WSTOPSIG(status);
}

/* Wait until it stops; wake it where it sleeps. */
static int wait_stop(struct traced *t)
{
    uint64_t begin = storm_now();
    int status;

    for (;;) {
        /* In this order: of one that has stopped meanwhile the last system call is shown, too. */
        bool asleep = t->wake && storm_now() - t->woken > WAKE_AGAIN && trace_asleep(t->pid);
        pid_t got = waitpid(t->pid, &status, t->wake ? WNOHANG : 0);

        if (got == t->pid)
            return stopped_by(t->pid, status);
        if (got < 0)
            storm_die("waitpid");
        if (storm_now() - begin > STORM_LIMIT_NS) {
            printf("# it hangs:");
            storm_print_process(t->pid);
            storm_die("a process does not come to its next instruction");
        }
        if (asleep) {
            t->wake();
            t->woken = storm_now();
        }
        sched_yield();
    }
}

/* The system call that it is about to make; -1: none. */
static int next_call(const struct user_regs_struct *regs)
{
    uint16_t code;

    /* What it runs is mapped here too, at the same place. */
    memcpy(&code, (const void *)(uintptr_t)regs->rip, sizeof code);
    return code == SYSCALL ? (int)regs->rax : -1;
}

static struct user_regs_struct registers(const struct traced *t)
{
    struct user_regs_struct regs;

    if (ptrace(PTRACE_GETREGS, t->pid, NULL, &regs) != 0)
        storm_die("registers");
    return regs;
}

static bool over(const struct traced *t)
{
    struct user_regs_struct regs;

    if (!t->sleep_ends)
        return atomic_load(t->phase) == TRACE_OVER;
    regs = registers(t);
    return next_call(&regs) == FUTEX_WAITV;
}

/* False: it is over. */
static bool step(struct traced *t)
{
    if (ptrace(PTRACE_SINGLESTEP, t->pid, NULL, NULL) != 0)
        storm_die("single step");
    return wait_stop(t) == SIGTRAP && !over(t);
}

void trace_begin(const struct traced *t)
{
    int status;

    if (waitpid(t->pid, &status, 0) != t->pid || stopped_by(t->pid, status) != SIGTRAP)
        storm_die("the process did not come to its call");
}

void trace_attach(const struct traced *t)
{
    int status = 0;

    if (ptrace(PTRACE_ATTACH, t->pid, NULL, NULL) != 0 ||
        waitpid(t->pid, &status, __WALL) != t->pid)
        storm_die("attach");
    stopped_by(t->pid, status);
}

/* Its sleep was interrupted, and what it slept on has changed: it is begun anew, and ends. */
void trace_leave_call(struct traced *t)
{
    do {
        if (ptrace(PTRACE_SINGLESTEP, t->pid, NULL, NULL) != 0)
            storm_die("single step");
        wait_stop(t);
    } while (over(t));
}

void trace_detach(const struct traced *t)
{
    if (ptrace(PTRACE_DETACH, t->pid, NULL, NULL) != 0)
        storm_die("detach");
}

/* --- recording -------------------------------------------------------------------------------- */

static void note(const struct user_regs_struct *regs, const struct ranges *shared,
                 struct point *point)
{
    struct store *store = stores_at(regs->rip);

    *point = (struct point){.at = regs->rip, .call = next_call(regs)};
    if (!store)
        return;
    if (ranges_have(shared, stores_target(store, regs)))
        point->store = store;
    else
        store->private = true;
}

static int by_place(const void *a, const void *b)
{
    const struct point *x = *(const struct point *const *)a, *y = *(const struct point *const *)b;

    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x > y) - (x < y);
}

/* Which execution of its instruction each is. */
static void number(struct trace *trace)
{
    struct point **sorted = malloc((trace->count + 1) * sizeof(struct point *));

    if (!sorted)
        storm_die("malloc");
    for (size_t i = 0; i < trace->count; i++)
        sorted[i] = &trace->points[i];
    qsort(sorted, trace->count, sizeof *sorted, by_place);
    for (size_t i = 0, end; i < trace->count; i = end) {
        for (end = i; end < trace->count && sorted[end]->at == sorted[i]->at; end++)
            sorted[end]->nth = (unsigned)(end - i + 1);
        for (size_t j = i; j < end; j++)
            sorted[j]->of = (unsigned)(end - i);
    }
    free(sorted);
}

void trace_record(struct traced *t, struct trace *trace)
{
    struct ranges shared;
    size_t room = 0;
    bool more = true;

    *trace = (struct trace){0};
    ranges_read(&shared, t->pid);
    while (more) {
        struct user_regs_struct regs;
        struct point *point;

        if (trace->count == room) {
            room = room ? 2 * room : 4096;
            trace->points = realloc(trace->points, room * sizeof *point);
        }
        if (!trace->points || trace->count == STEPS_MOST)
            storm_die("the call is too long");
        point = &trace->points[trace->count++];
        regs = registers(t);
        note(&regs, &shared, point);
        more = step(t);
        if (point->call == SYS_mmap || point->call == SYS_munmap)
            ranges_read(&shared, t->pid);
    }
    number(trace);
    if (t->sleep_ends)
        trace_detach(t);
    else
        trace_finish(t);
}

/* --- going to a position ---------------------------------------------------------------------- */

static uintptr_t stands_at(const struct traced *t)
{
    return registers(t).rip;
}

static bool set_debug_register(const struct traced *t, size_t which, uintptr_t value)
{
    size_t at =
        offsetof(struct user, u_debugreg) + which * sizeof(((struct user *)0)->u_debugreg[0]);

    return ptrace(PTRACE_POKEUSER, t->pid, at, value) == 0;
}

/* By a breakpoint of the processor's, which is this thread's alone: one in the code would end
 * another thread that comes there.  False: there is none to be had. */
static bool run_to(struct traced *t, uintptr_t at)
{
    if (!set_debug_register(t, 0, at) || !set_debug_register(t, 7, 1))
        return false;
    if (ptrace(PTRACE_CONT, t->pid, NULL, NULL) != 0)
        storm_die("continue");
    wait_stop(t);
    set_debug_register(t, 7, 0);
    return true;
}

const struct point *trace_go(struct traced *t, const struct trace *trace, size_t position)
{
    size_t at = position > 0 ? position - 1 : 0;

    /* One step is left, at least, to know what was run last. */
    while (at > 0 && (trace->points[at].nth != 1 || !run_to(t, trace->points[at].at)))
        at--;
    for (; at < position; at++) {
        if (over(t)) {
            if (!t->sleep_ends)
                trace_finish(t);
            return NULL;
        }
        if (at + 1 == position && stands_at(t) != trace->points[at].at)
            break;
        step(t);
    }
    return at == position && at > 0 ? &trace->points[at - 1] : NULL;
}

bool trace_go_asleep(struct traced *t)
{
    uint64_t begin = storm_now();
    int status;

    if (ptrace(PTRACE_CONT, t->pid, NULL, NULL) != 0)
        storm_die("continue");
    while (!trace_asleep(t->pid) && storm_now() - begin < STORM_LIMIT_NS)
        sched_yield();
    kill(t->pid, SIGSTOP);
    if (waitpid(t->pid, &status, 0) != t->pid)
        storm_die("waitpid");
    stopped_by(t->pid, status);
    return atomic_load(t->phase) != TRACE_OVER;
}

void trace_finish(struct traced *t)
{
    int sig = 0;

    while (sig != SIGSTOP) { /* with which it stops itself */
        if (ptrace(PTRACE_CONT, t->pid, NULL, NULL) != 0)
            storm_die("continue");
        sig = wait_stop(t);
    }
}

void trace_kill(const struct traced *t)
{
    kill(t->pid, SIGKILL);
    waitpid(t->pid, NULL, 0);
}

bool trace_effect(const struct point *point)
{
    return point && (point->store || point->call >= 0);
}

void trace_free(struct trace *trace)
{
    free(trace->points);
    *trace = (struct trace){0};
}
