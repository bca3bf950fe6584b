/*
 * Processes of one user that see themselves and each other under different ids
 * and paths: in user namespaces (where the user is root, somebody else, or
 * nobody), in a PID namespace, in a chroot with $MQX_DIR mounted elsewhere; and
 * root, who serves them all.  Each creates a queue and every other uses it.  A
 * message is received once, also while its receiver is stopped in the middle
 * (nobody is taken for dead), and is there again, or the slot is, when the
 * receiver was killed (nobody who is dead is taken for alive).
 *
 *     namespaces [--trials N] [--seed N] [cases]
 */
#include "resources.h"

#include <grp.h>

#define USER  1777u /* kernel's id of the user whose the queues are */
#define LARGE 60000 /* bytes: copying them takes a while, in which to be stopped */

static long trials = 3, seed;

/* --- players ------------------------------------------------------------------------------------
 */

enum command { NONE, OPEN, CREATE, SEND, RECEIVE, EITHER, CHURN, CLOSE };
enum kind {
    PLAIN,
    FAKE_ROOT,
    OTHER_ID,
    NO_ID,
    PID_SPACE,
    JAILED,
    JAILED_WITHOUT_PROC,
    ROOT,
    KINDS
};

static const char *const kinds[] = {
    "an ordinary process",           "the root of a user namespace",
    "user 7 of a user namespace",    "one without an id in its user namespace",
    "one in a PID namespace",        "one in a chroot",
    "one in a chroot without /proc", "root"};

/* A process that does as it is told, with one queue. */
static struct player {
    _Atomic pid_t pid;
    _Atomic int command;   /* NONE: done */
    _Atomic bool churning; /* CHURN: it is at it; false: it shall end */
    _Atomic long result, error;
    char name[32]; /* of the queue */
} * players;

static void play(struct player *me)
{
    static char text[LARGE];
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = LARGE};
    mqd_t q = -1;

    for (;; nap(50)) {
        long r = -1;

        switch ((enum command)me->command) {
        case NONE:
            continue;
        case OPEN:
            r = q = mq_open(me->name, O_RDWR | O_NONBLOCK);
            break;
        case CREATE:
            r = q = mq_open(me->name, O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL, 0600, &attr);
            break;
        case SEND:
            r = mq_send(q, text, LARGE, 0);
            break;
        case RECEIVE:
            r = mq_receive(q, text, LARGE, NULL);
            break;
        case EITHER: /* until one of them works; empties the queue */
            for (double end = now() + 20; now() < end && r == -1; nap(1000)) {
                r = mq_send(q, text, LARGE, 0);
                if (mq_receive(q, text, LARGE, NULL) > 0)
                    r = 0;
            }
            break;
        case CHURN: /* r: messages sent and not received */
            r = 0;
            for (me->churning = true; me->churning;) {
                r += mq_send(q, text, LARGE, 0) == 0;
                r -= mq_receive(q, text, LARGE, NULL) > 0;
            }
            break;
        case CLOSE:
            r = mq_close(q);
            break;
        }
        me->error = errno;
        me->result = r;
        me->command = NONE;
    }
}

static void tell(enum kind k, enum command command)
{
    players[k].churning = false;
    players[k].command = command;
}

static long answer(enum kind k)
{
    double end = now() + PATIENT / 2;

    while (players[k].command != NONE) {
        must(now() < end, "%s does not come back", kinds[k]);
        nap(50);
    }
    errno = (int)players[k].error;
    return players[k].result;
}

static long ask(enum kind k, enum command command)
{
    tell(k, command);
    return answer(k);
}

/* What must work. */
static void order(enum kind k, enum command command, const char *what)
{
    long r = ask(k, command);

    must(r != -1, "%s, by %s: %s", what, kinds[k], strerror(errno));
}

/* --- where they live ----------------------------------------------------------------------------
 */

static void be_user(void)
{
    must_work(setgroups(0, NULL), "setgroups");
    must_work(setresgid(USER, USER, USER), "setgid");
    must_work(setresuid(USER, USER, USER), "setuid");
}

/* A mount namespace in which $MQX_DIR is /queues, and next to nothing else there. */
static void be_jailed(bool with_proc)
{
    char root[PATH_MAX + 8], path[PATH_MAX + 16];

    must_work(unshare(CLONE_NEWNS), "unshare of mounts");
    must_work(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    snprintf(root, sizeof(root), "%s/jail", directory);
    must(mkdir(root, 0755) == 0 || errno == EEXIST, "mkdir: %s", strerror(errno));
    must_work(mount("jail", root, "tmpfs", 0, NULL), "mount");
    snprintf(path, sizeof(path), "%s/queues", root);
    must(mkdir(path, 0755) == 0 && mount(directory, path, NULL, MS_BIND, NULL) == 0, "bind: %s",
         strerror(errno));
    snprintf(path, sizeof(path), "%s/proc", root);
    if (with_proc)
        must(mkdir(path, 0755) == 0 && mount("proc", path, "proc", 0, NULL) == 0, "proc: %s",
             strerror(errno));
    must(chdir(root) == 0 && chroot(".") == 0, "chroot: %s", strerror(errno));
    setenv("MQX_DIR", "/queues", 1);
    setenv("MQX_CONF", "/queues/empty.conf", 1);
}

/* The user's id in the namespace of that process; -1: none. */
static void map_ids(pid_t pid, int id)
{
    static const char *const files[] = {"setgroups", "uid_map", "gid_map"};
    char path[64], text[64];

    for (int i = 0; i < 3; i++) {
        int fd, n = i == 0 ? snprintf(text, sizeof(text), "deny")
                           : snprintf(text, sizeof(text), "%d %u 1", id, USER);

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        must(fd >= 0 && write(fd, text, (size_t)n) == n, "%s: %s", path, strerror(errno));
        close(fd);
    }
}

static int id_in_namespace(enum kind k)
{
    return k == FAKE_ROOT ? 0 : k == OTHER_ID ? 7 : -1;
}

static void become(enum kind k)
{
    if (k == JAILED || k == JAILED_WITHOUT_PROC)
        be_jailed(k == JAILED);
    if (k != ROOT)
        be_user();
    prctl(PR_SET_DUMPABLE, 1);
    if (k == FAKE_ROOT || k == OTHER_ID || k == NO_ID)
        must_work(unshare(CLONE_NEWUSER), "unshare of users");
}

static void start(enum kind k)
{
    int here = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    pid_t child;

    players[k].command = OPEN; /* till it is what it should be */
    if (k == PID_SPACE)
        must_work(unshare(CLONE_NEWPID), "unshare of PIDs");
    child = fork();
    must_work(child, "fork");
    if (child == 0) {
        become(k);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* other ids have cleared it */
        players[k].command = NONE;
        while (players[k].command == NONE)
            nap(50);
        play(&players[k]);
    }
    if (k == PID_SPACE)
        must_work(setns(here, CLONE_NEWPID), "setns");
    close(here);
    players[k].pid = child;
    answer(k);
    if (id_in_namespace(k) >= 0)
        map_ids(child, id_in_namespace(k));
}

/* --- what they do -------------------------------------------------------------------------------
 */

/* Let the actor send and receive, and stop or kill it somewhere in that. */
static void interrupt(enum kind actor, int signal, unsigned *random)
{
    tell(actor, CHURN);
    while (!players[actor].churning)
        sched_yield();
    for (unsigned n = rand_r(random) % 50000; n > 0; n--)
        atomic_signal_fence(memory_order_seq_cst);
    kill(players[actor].pid, signal);
    waitpid(players[actor].pid, NULL, WUNTRACED);
}

/* What one of them does counts: in all, each message that was sent is received once. */
static long balance;

static bool done(enum kind k, enum command command)
{
    bool good = ask(k, command) != -1;

    balance += command == SEND ? good : -good;
    return good;
}

/* The actor is stopped; the observer must not take from it what it has in hand.  True: it had. */
static bool stop_in_the_middle(enum kind actor, enum kind observer, unsigned *random)
{
    bool middle;

    balance = 0;
    interrupt(actor, SIGSTOP, random);
    middle = !done(observer, RECEIVE) && !done(observer, SEND);
    kill(players[actor].pid, SIGCONT);
    players[actor].churning = false;
    balance += answer(actor);
    while (done(observer, RECEIVE))
        ;
    must(balance == 0, "%s stopped while %s looks: %ld messages %s", kinds[actor], kinds[observer],
         labs(balance), balance > 0 ? "lost" : "doubled");
    return middle;
}

/* The actor is killed: the slot is of use again. */
static void kill_in_the_middle(enum kind actor, enum kind observer, unsigned *random)
{
    char name[32];

    interrupt(actor, SIGKILL, random);
    must(ask(observer, EITHER) == 0, "%s was killed: the slot is of no use to %s any more",
         kinds[actor], kinds[observer]);
    memcpy(name, players[actor].name, sizeof(name));
    start(actor);
    memcpy(players[actor].name, name, sizeof(name));
    order(actor, OPEN, "opening the queue again");
}

/* Everybody with everybody, on a queue that `creator` made. */
static void share(enum kind creator, unsigned *random)
{
    long stops = 0, middle = 0;

    next_round();
    for (int k = 0; k < KINDS; k++)
        snprintf(players[k].name, sizeof(players[k].name), "/shared-%d", (int)creator);
    order(creator, CREATE, "creating a queue");
    for (int k = 0; k < KINDS; k++)
        if (k != (int)creator)
            order(k, OPEN, "opening the queue of another");
    for (int actor = 0; actor < KINDS; actor++)
        for (int i = 0; i < trials; i++) {
            int observer = (int)(rand_r(random) % (KINDS - 1));

            observer += observer >= actor;
            for (int j = 0; j < 3; j++, stops++)
                middle += stop_in_the_middle(actor, observer, random);
            kill_in_the_middle(actor, observer, random);
        }
    for (int k = 0; k < KINDS; k++)
        order(k, CLOSE, "mq_close");
    printf("# by %s: %ld stops, %ld in the middle\n", kinds[creator], stops, middle);
}

static void probe(void)
{
    int status;
    pid_t child;

    if (geteuid() != 0)
        skip("needs root, to become others");
    child = fork();
    must_work(child, "fork");
    if (child == 0)
        _exit(unshare(CLONE_NEWUSER) == 0 ? 0 : errno);
    waitpid(child, &status, 0);
    if (status != 0)
        skip("no user namespaces here: %s", strerror(WEXITSTATUS(status)));
}

/* Root's own queues need a registry, too: both it and the root of a namespace would call theirs 0;
 * whoever is first, they must not get in each other's way. */
static void play_all(enum kind first, enum kind second)
{
    const enum kind roots[] = {first, second};
    unsigned random = (unsigned)seed;
    char conf[PATH_MAX + 16];

    probe();
    memset(players, 0, KINDS * sizeof(*players));
    snprintf(conf, sizeof(conf), "%s/empty.conf", directory);
    must_work(close(open(conf, O_CREAT | O_WRONLY, 0644)), conf);
    for (int k = 0; k < KINDS; k++)
        start(k);
    for (int i = 0; i < 2; i++) {
        snprintf(players[roots[i]].name, sizeof(players[0].name), "/of-root-%d", i);
        order(roots[i], CREATE, "creating a queue of its own");
        order(roots[i], SEND, "sending");
        order(roots[i], RECEIVE, "receiving");
        order(roots[i], CLOSE, "mq_close");
    }
    for (int creator = 0; creator < KINDS; creator++)
        if (creator != ROOT) /* nobody else could use its */
            share(creator, &random);
    for (int k = 0; k < KINDS; k++)
        kill(players[k].pid, SIGKILL);
}

static void root_is_first(void)
{
    play_all(ROOT, FAKE_ROOT);
}

static void root_of_a_namespace_is_first(void)
{
    play_all(FAKE_ROOT, ROOT);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {CASE(root_is_first),
                                             CASE(root_of_a_namespace_is_first)};
    const struct number_option options[] = {{"trials", &trials}, {"seed", &seed}, {NULL, NULL}};

    seed = time(NULL);
    players = shared_memory(KINDS * sizeof(*players));
    if (!read_options(&argc, &argv, options))
        return 2;
    printf("# seed %ld\n", seed);
    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
