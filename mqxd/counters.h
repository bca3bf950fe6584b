/*
 * What mqxd has done since it was started.  It stands in its lock file (durable.h),
 * which it alone can write and all can read: `mqx stat` does.
 */
#ifndef MQXD_COUNTERS_H
#define MQXD_COUNTERS_H

#include <stdint.h>
#include <sys/types.h>

#define COUNTERS_MAGIC   UINT64_C(0x31746e632d7871) /* "qx-cnt1" */
#define COUNTERS_VERSION 1u
#define COUNTERS_TIMES   32 /* n: commits that took less than 2^n microseconds, and not 2^(n-1) */

struct counters {
    uint64_t magic;
    uint32_t version, pid;
    uint64_t begun; /* as `done`: or it was read while it was written */
    uint64_t started_ns;
    uint64_t queues;           /* that are mirrored */
    uint64_t commits;          /* transactions that wrote something */
    uint64_t changes, largest; /* messages written or removed; in one commit */
    uint64_t sent;             /* to the queues, since mqxd was started */
    uint64_t stored;           /* of those, messages that were written */
    uint64_t backlog_messages, backlog_bytes;
    uint64_t total_ns, least_ns, most_ns; /* that commits took */
    uint64_t times[COUNTERS_TIMES];
    uint64_t error_ns; /* CLOCK_REALTIME of: */
    char error[300];
    uint32_t pad;
    uint64_t done;
};

/* Count a commit. */
void counters_commit(struct counters *c, uint64_t changes, uint64_t ns);
/* So that others see them.  What goes wrong does not matter enough to stop. */
void counters_show(struct counters *c, int fd);

/* Those of this user's mqxd.  -ESRCH: it does not run; -EBADMSG: another version's. */
int counters_read(uid_t uid, struct counters *out);
/* In which time, in ns, so many in a hundred were done, rounded up to a power of two of
 * microseconds. */
uint64_t counters_within(const struct counters *c, unsigned percent);

#endif
