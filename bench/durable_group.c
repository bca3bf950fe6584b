/*
 * What any queue between processes costs at least: each sender hands its
 * message to one writer, through shared memory, and sleeps until that says it
 * is on disk.  The writer takes all that is there, writes it in place with one
 * call, syncs once, and wakes all with one call: a group commit.  There is no
 * queue: no order, no receiver, nothing that survives who dies.
 */
#include "durable.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALONE _Alignas(64) /* in its cache line */

static struct shared {
    ALONE atomic_uint_fast64_t handed; /* a bit a sender: from its message's being there until that
                                          is on disk */
    ALONE atomic_uint asleep;          /* the writer is, or is about to: a futex */
    ALONE atomic_uint commits;         /* a futex, on which senders sleep */
    ALONE atomic_uint senders;         /* ever opened */
    atomic_size_t size;                /* of the messages, which lie one behind the other */
    ALONE char messages[SENDERS_MAX * SIZE_MAX_MESSAGE];
} * shared;
static pid_t benchmark;

struct place {
    uint64_t bit;
    char *message;
};

static void futex_wait(atomic_uint *word, unsigned value)
{
    syscall(SYS_futex, word, FUTEX_WAIT, value, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

/* --- the writer ------------------------------------------------------------------------------- */

/* Which senders' messages are there; at least one's is. */
static uint64_t await_group(void)
{
    for (;;) {
        uint64_t group = atomic_load(&shared->handed);

        if (group != 0)
            return group;
        atomic_store(&shared->asleep, 1);
        /* Who hands something over after this load sees that we are asleep. */
        if (atomic_load(&shared->handed) == 0)
            futex_wait(&shared->asleep, 1);
        atomic_store(&shared->asleep, 0);
    }
}

static unsigned gather(uint64_t group, size_t size, char *messages)
{
    unsigned count = 0;

    for (; group != 0; group &= group - 1)
        memcpy(messages + size * count++, shared->messages + size * (size_t)__builtin_ctzll(group),
               size);
    return count;
}

/* Who has failed says so and ends: then the benchmark does, too, instead of waiting for it. */
static void end_benchmark(void)
{
    kill(benchmark, SIGTERM);
}

static void writer(struct file *file)
{
    static char messages[SENDERS_MAX * SIZE_MAX_MESSAGE];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    atexit(end_benchmark);
    for (;;) {
        uint64_t group = await_group();
        size_t size = atomic_load(&shared->size);

        file_write(file, messages, size, gather(group, size, messages));
        atomic_fetch_and(&shared->handed, ~group);
        atomic_fetch_add(&shared->commits, 1);
        futex_wake(&shared->commits, INT_MAX);
    }
}

static const char *nothing_missing(void)
{
    return NULL;
}

static void start(void)
{
    struct file *file = file_in_place("group");
    pid_t pid;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        durable_fail("not enough memory", NULL);
    benchmark = getpid();
    fflush(stdout);
    pid = fork();
    if (pid < 0)
        durable_fail("cannot start a writer", NULL);
    if (pid == 0)
        writer(file);
}

/* --- senders ---------------------------------------------------------------------------------- */

/* Those of one row come one after the other, so that no two of them share a bit. */
static void *open_place(size_t size)
{
    struct place *p = calloc(1, sizeof *p);
    unsigned number = atomic_fetch_add(&shared->senders, 1) % SENDERS_MAX;

    if (!p)
        durable_fail("not enough memory", NULL);
    atomic_store(&shared->size, size);
    p->bit = (uint64_t)1 << number;
    p->message = shared->messages + size * number;
    return p;
}

static void hand_over(void *arg, const char *message, size_t size, unsigned group)
{
    const struct place *p = arg;

    (void)group;
    memcpy(p->message, message, size);
    atomic_fetch_or(&shared->handed, p->bit);
    if (atomic_load(&shared->asleep) && atomic_exchange(&shared->asleep, 0))
        futex_wake(&shared->asleep, 1);
    for (;;) {
        /* Read before we look whether ours is on disk: a commit after that look ends the sleep. */
        unsigned commits = atomic_load(&shared->commits);

        if (!(atomic_load(&shared->handed) & p->bit))
            return;
        futex_wait(&shared->commits, commits);
    }
}

const struct peer peer_group = {.name = "group commit",
                                .missing = nothing_missing,
                                .start = start,
                                .open = open_place,
                                .send = hand_over};
