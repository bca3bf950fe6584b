/*
 * The workers of the storm: what they send and receive, and the handler that
 * interrupts them to do the same.  A handler never waits.
 */
#include "storm.h"

#include <sys/time.h>

struct self {
    unsigned index;
    uint64_t chance[2]; /* of the program, and of its handler */
};

static struct self me;
static volatile sig_atomic_t in_call;

/* Calls that fail as they may: full, nothing of that type, too long, a handler ran. */
static void check_failure(struct log *log, const char *call, int flags)
{
    if (errno == EINTR && !(flags & IPC_NOWAIT))
        atomic_fetch_add(&log->interrupted, 1);
    else if (errno != EAGAIN && errno != ENOMSG && errno != E2BIG)
        storm_die(call);
}

/* One message; numbers of failed sends are used again. */
static void send_one(unsigned source, int flags)
{
    struct log *log = &shared->log[source];
    struct message m;
    struct storm_msg *msg = (struct storm_msg *)m.room;
    uint64_t n = atomic_load(&log->sent);
    size_t len;

    if (n >= CAPACITY - 1) /* the harness ends the round long before */
        return;
    len = storm_build(msg, source, round_number, n, msgsize);
    m.type = type_of(msg);
    atomic_store(&log->attempt, n + 1);
    if (msgsnd(queues[queue_of(msg)], &m, len, flags) == 0) {
        atomic_store(&log->sent, n + 1);
        atomic_fetch_add(&log->progress, 1);
        return;
    }
    atomic_store(&log->attempt, n);
    check_failure(log, "msgsnd", flags);
}

/* Did the selection do what it says?  Nobody knows here which message was the lowest. */
static bool selected(long type, long wanted, int flags)
{
    if (wanted > 0)
        return (type == wanted) == !(flags & MSG_EXCEPT);
    return wanted == 0 || type <= -wanted;
}

static void receive_one(unsigned source, unsigned q, long wanted, int flags, size_t room)
{
    struct log *log = &shared->log[source];
    uint64_t at = atomic_load(&log->recorded);
    ssize_t got;

    memset(log->message.room, 0, sizeof(struct storm_msg));
    atomic_store(&log->intent, at + 1);
    got = msgrcv(queues[q], &log->message, room, wanted, flags);
    if (got < 0) {
        atomic_store(&log->intent, at);
        check_failure(log, "msgrcv", flags);
        return;
    }
    atomic_store(&log->returned, at + 1);
    if (!whole(&log->message, got) || !selected(log->message.type, wanted, flags)) {
        atomic_fetch_add(&shared->damaged, 1);
        atomic_store(&log->intent, at);
        atomic_store(&log->returned, at);
    } else {
        journal(log, (const struct storm_msg *)log->message.room);
    }
    atomic_fetch_add(&log->progress, 1);
}

/* A look at a message that stays.  The kernel may have been built without it. */
static void copy_one(unsigned q, uint64_t *chance)
{
    struct message m;
    ssize_t got =
        msgrcv(queues[q], &m, sizeof m.room, (long)storm_below(chance, 20), MSG_COPY | IPC_NOWAIT);

    if (got >= 0 ? !whole(&m, got) : errno != ENOMSG && errno != ENOSYS)
        atomic_fetch_add(&shared->damaged, 1);
}

/* In one of the four ways, sometimes with room for small messages only. */
static void receive_somehow(unsigned source, unsigned q, int flags, uint64_t *chance)
{
    size_t room = storm_below(chance, 16) ? sizeof(((struct message *)0)->room)
                                          : STORM_MSG_MIN + storm_below(chance, msgsize);
    long type = 1 + (long)storm_below(chance, TYPES);

    switch (storm_below(chance, 5)) {
    case 0:
        receive_one(source, q, type, flags, room);
        break;
    case 1:
        receive_one(source, q, -type, flags, room);
        break;
    case 2:
        receive_one(source, q, type, flags | MSG_EXCEPT, room);
        break;
    default:
        receive_one(source, q, 0, flags, room);
    }
}

static void handler(int signal)
{
    uint64_t *chance = &me.chance[1];
    unsigned q = (unsigned)storm_below(chance, QUEUES);
    int error = errno;

    (void)signal;
    if (in_call)
        atomic_fetch_add(&shared->log[MAIN(me.index)].hits, 1);
    if (storm_below(chance, 2) && !atomic_load(&shared->stop_senders))
        send_one(HANDLER(me.index), IPC_NOWAIT);
    else
        receive_somehow(HANDLER(me.index), q, IPC_NOWAIT, chance);
    errno = error;
}

/* The immortal wait for what always comes: any message, or room.  Others wait for anything, and
 * may have to until they are killed. */
static void turn(const struct place *p)
{
    uint64_t *chance = &me.chance[0];
    int flags = p->immortal || storm_below(chance, 3) ? 0 : IPC_NOWAIT;

    in_call = 1;
    if (p->sends) {
        send_one(MAIN(me.index), flags);
        /* The queue's owner must not fill his log while the others come through mqxfs. */
        if (users && p->queue == 0)
            storm_nap(50000);
    } else if (p->immortal)
        receive_one(MAIN(me.index), p->queue, 0, 0, MSG_MAX);
    else
        receive_somehow(MAIN(me.index), p->queue, flags, chance);
    in_call = 0;
    if (!p->immortal && storm_below(chance, 8) == 0)
        copy_one(p->queue, chance);
    if (flags)
        sched_yield();
}

_Noreturn void work(unsigned index, uint64_t luck)
{
    const struct place *p = &place[index];
    struct itimerval often = {{0, 200 + (int)(luck % 800)}, {0, 200 + (int)(luck % 800)}};
    /* It never restarts the call, with this flag or without. */
    struct sigaction action = {.sa_handler = handler, .sa_flags = luck % 2 ? SA_RESTART : 0};

    me = (struct self){.index = index, .chance = {luck, storm_mix(luck)}};
    memset(&shared->log[MAIN(index)].message, 0, sizeof(struct message));
    memset(&shared->log[HANDLER(index)].message, 0, sizeof(struct message));
    /* But for who is never killed and uses queue 0: so that one is used in both ways. */
    if (users && (!p->immortal || p->queue == 1))
        storm_become_another_user(index);
    sigaddset(&action.sa_mask, SIGALRM); /* one at a time: they have one log */
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    while (!atomic_load(p->sends ? &shared->stop_senders : &shared->stop_receivers))
        turn(p);
    _exit(0);
}
