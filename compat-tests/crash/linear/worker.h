/* The callers of linear_storm, and what its harness shares with them. */
#ifndef LINEAR_WORKER_H
#define LINEAR_WORKER_H

#include "log.h"

#define LINEAR_PROCESSES 4
#define LINEAR_WORKERS   6 /* threads: two of the processes have two */

/* How a round's queue is kept. */
struct linear_regime {
    const char *name;
    uint32_t maxmsg, msgsize;
    uint32_t fillers;    /* messages of priority 0 that stay */
    uint32_t start;      /* further messages at the start */
    uint32_t priorities; /* 1 to this */
    int low, high;       /* how many more a caller sends than it receives */
};

/* What a round is like; chosen by the harness. */
struct linear_plan {
    struct linear_regime regime;
    struct linear_queue queue;
    uint32_t calls;
    uint64_t enough_ns; /* fewer calls will do from then on: CLOCK_MONOTONIC */
    uint32_t lanes; /* bits: who takes part */
    int cpu;        /* all on this one; -1: anywhere */
    bool restart;   /* handlers with SA_RESTART */
    bool waits;     /* calls that block, too */
    uint32_t haste; /* timers: longest time, ns; 0: none */
    /* In a call, that one or a later one, the caller's process is killed or stopped. */
    struct {
        uint32_t call;
        int signal; /* 0: nothing happens to it */
    } fate[LINEAR_WORKERS];
};

struct linear_shared {
    struct linear_log log;
    struct linear_plan plan;
    uint64_t seed;
    _Alignas(128) _Atomic uint32_t start; /* futex: the round that workers may work in */
    struct {
        _Alignas(128) _Atomic uint32_t parked; /* the round that it is done with */
    } lane[LINEAR_WORKERS];
};

static inline unsigned linear_process_of(unsigned lane)
{
    return lane % LINEAR_PROCESSES;
}

/* Be this process, until killed. */
_Noreturn void linear_be_process(struct linear_shared *shared, unsigned process);

#endif
