/*
 * A thousand processes send to one queue and receive from it; then half of them
 * are killed at random while they do.  Every message arrives once, nobody is
 * left waiting, and afterwards every slot, client number and descriptor is free
 * again: measured over rounds.
 *
 *     crowd [--processes N] [--rounds N] [--seed N] [cases]
 */
#include "resources.h"

#define MAXMSG 150 /* slots: fewer than processes; in the tree, too */
#define MOST   100 /* messages of one process in a round */

static long processes = 1000, rounds = 1, seed;

/* A message says who sent it and which of his it is. */
struct message {
    uint32_t sender, number, check;
    uint32_t body[1000]; /* copying it takes a while, in which to be killed */
};

/* What a process notes of itself, for whoever finds it dead. */
struct note {
    _Atomic uint32_t attempted, sent;
    _Atomic uint32_t receiving;
    volatile struct message received; /* where it receives; valid or zero while receiving */
    _Atomic uint8_t came[MOST];       /* how often each of its messages came */
    _Atomic uint8_t maybe[MOST];      /* in a dead receiver's hands */
};

static struct shared {
    _Atomic uint32_t go, stop;
    struct note note[];
} * shared;

static bool valid(const struct message *m)
{
    return m->sender < (uint32_t)processes && m->number < MOST &&
           m->check == ~m->sender - m->number;
}

static struct timespec soon(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec++;
    return t;
}

/* Deadline NULL: wait as long as it takes.  False: in vain. */
static bool send_next(mqd_t q, uint32_t self, const struct timespec *deadline)
{
    struct note *me = &shared->note[self];
    uint32_t n = me->sent;
    struct message m = {.sender = self, .number = n, .check = ~self - n};
    int r;

    me->attempted = n + 1;
    r = deadline ? mq_timedsend(q, (char *)&m, sizeof(m), n % 3, deadline)
                 : mq_send(q, (char *)&m, sizeof(m), n % 3);
    must(r == 0 || errno == ETIMEDOUT || errno == EAGAIN, "mq_send: %s", strerror(errno));
    if (r == 0)
        me->sent = n + 1;
    else
        me->attempted = n;
    return r == 0;
}

static void account(const struct message *m)
{
    must(valid(m), "a damaged message");
    must(m->number < shared->note[m->sender].attempted, "a message that nobody sent");
    must(atomic_fetch_add(&shared->note[m->sender].came[m->number], 1) == 0,
         "a message came twice");
}

static bool receive_next(mqd_t q, uint32_t self, const struct timespec *deadline)
{
    struct note *me = &shared->note[self];
    char *buffer = (char *)(uintptr_t)&me->received;
    struct message m;
    ssize_t r;

    me->received = (struct message){0};
    me->receiving = 1;
    r = deadline ? mq_timedreceive(q, buffer, sizeof(m), NULL, deadline)
                 : mq_receive(q, buffer, sizeof(m), NULL);
    must(r == sizeof(m) || errno == ETIMEDOUT || errno == EAGAIN, "mq_receive: %s",
         strerror(errno));
    if (r > 0) {
        m = me->received;
        account(&m);
    }
    me->receiving = 0;
    return r > 0;
}

static void begin(void)
{
    while (!shared->go)
        nap(10000);
}

static void spawn(pid_t *child, void (*work)(mqd_t, uint32_t), mqd_t q)
{
    for (long i = 0; i < processes; i++) {
        child[i] = fork_child();
        if (child[i] == 0) {
            begin();
            work(q, (uint32_t)i);
            _exit(0);
        }
    }
    shared->go = 1;
}

/* Messages of all that never came; those that dead receivers held do not count. */
static long missing(void)
{
    long n = 0;

    for (long p = 0; p < processes; p++)
        for (uint32_t k = 0; k < shared->note[p].sent; k++)
            n += shared->note[p].came[k] == 0 && !shared->note[p].maybe[k];
    return n;
}

static mqd_t begin_round(const char *name)
{
    size_t size = sizeof(*shared) + (size_t)processes * sizeof(struct note);

    if (!shared)
        shared = shared_memory(size);
    memset(shared, 0, size);
    next_round();
    return new_queue(name, MAXMSG, sizeof(struct message));
}

/* Every slot can be used, and nothing else is in use. */
static void end_round(mqd_t q, const char *name)
{
    double end = now() + 20;

    while (count(q) > 0 || numbers_in_use() > 1) { /* the dead are found by and by */
        struct message m;

        if (mq_receive(q, (char *)&m, sizeof(m), NULL) == sizeof(m))
            account(&m);
        must(now() < end, "%ld messages, %ld client numbers do not go away", count(q),
             numbers_in_use());
        nap(1000);
    }
    must(missing() == 0, "%ld messages are lost", missing());
    must(fill_queue(q, 0, sizeof(struct message)) == MAXMSG, "not every slot is usable: %ld of %d",
         count(q), MAXMSG);
    drain_queue(q, 0, MAXMSG, sizeof(struct message));
    must_work(mq_close(q), "mq_close");
    must_work(mq_unlink(name), "mq_unlink");
    must(files() == 0, "%ld files left", files());
}

/* --- all survive --------------------------------------------------------------------------------
 */

#define EACH 10 /* messages of each process */

static void send_and_receive(mqd_t q, uint32_t self)
{
    q = mq_open("/crowd", O_RDWR);
    must_work(q, "mq_open");
    for (int i = 0; i < EACH; i++) {
        send_next(q, self, NULL);
        receive_next(q, self, NULL);
    }
}

static void all_survive(void)
{
    pid_t *child = calloc((size_t)processes, sizeof(*child));
    mqd_t q = begin_round("/crowd");
    double start;

    spawn(child, send_and_receive, q);
    start = now();
    for (long i = 0; i < processes; i++)
        join_child(child[i], "one of the crowd");
    printf("# %ld processes, %ld messages each way, %.1f s\n", processes, processes * EACH,
           now() - start);
    end_round(q, "/crowd");
    free(child);
}

/* --- half are killed ----------------------------------------------------------------------------
 */

/* With a limit: where many die, messages and receivers do not pair up. */
static void go_on_until_told(mqd_t q, uint32_t self)
{
    q = mq_open("/crowd", O_RDWR);
    must_work(q, "mq_open");
    while (!shared->stop) {
        struct timespec deadline = soon();

        if (shared->note[self].sent < MOST)
            send_next(q, self, &deadline);
        receive_next(q, self, &deadline);
        nap(self % 7 * 1000);
    }
}

/* What it may have taken and not noted. */
static void bury(uint32_t p)
{
    struct note *dead = &shared->note[p];
    struct message m = dead->received;

    if (dead->attempted != dead->sent)
        dead->maybe[dead->sent] = 1;
    if (dead->receiving && valid(&m) && shared->note[m.sender].came[m.number] == 0)
        shared->note[m.sender].maybe[m.number] = 1;
}

static void kill_half(pid_t *child, unsigned *random)
{
    long killed = 0;

    while (killed < processes / 2) {
        uint32_t p = (uint32_t)(rand_r(random) % processes);

        if (!child[p])
            continue;
        must(waitpid(child[p], NULL, WNOHANG) == 0, "process %u died of itself", p);
        kill(child[p], SIGKILL);
        waitpid(child[p], NULL, 0);
        child[p] = 0;
        bury(p);
        killed++;
        nap(rand_r(random) % 3000);
    }
}

static void half_are_killed(void)
{
    pid_t *child = calloc((size_t)processes, sizeof(*child));
    unsigned random = (unsigned)seed;

    for (long round = 0; round < rounds; round++) {
        mqd_t q = begin_round("/crowd");
        long fds = open_descriptors(), numbers, survivors = 0, sent = 0, maps = mappings(directory);

        spawn(child, go_on_until_told, q);
        while ((numbers = numbers_in_use()) < processes)
            nap(100000);
        kill_half(child, &random);
        shared->stop = 1;
        for (long i = 0; i < processes; i++) {
            if (child[i]) {
                join_child(child[i], "a survivor");
                survivors++;
            }
            sent += shared->note[i].sent;
        }
        end_round(q, "/crowd");
        printf(
            "# round %ld: %ld of %ld survived, %ld messages; descriptors %ld, then %ld; mappings "
            "%ld, then %ld; client numbers %ld, then %ld\n",
            round, survivors, processes, sent, fds - 1, open_descriptors(), maps,
            mappings(directory), numbers, numbers_in_use());
        must(open_descriptors() == fds - 1, "descriptors leak");
        must(mappings(directory) <= maps, "mappings leak");
    }
    free(child);
}

/* --- one is stopped -----------------------------------------------------------------------------
 */

#define LARGE    60000 /* bytes: copying them takes a while, in which to be stopped */
#define SLEEPERS 200
#define SECONDS  2  /* to watch them */
#define WAKE_UPS 40 /* of one of them: at once, then rarely; it looks for the dead by itself */

/* A process that was stopped while it held the only message, or what would be its slot. */
static pid_t stop_in_the_middle(mqd_t q, char *text)
{
    unsigned random = (unsigned)seed;

    for (int i = 0; i < 1000; i++) {
        pid_t child = fork_child();

        if (child == 0)
            send_and_receive_for_ever(q, text, LARGE);
        nap(500 + rand_r(&random) % 1500);
        kill(child, SIGSTOP);
        waitpid(child, NULL, WUNTRACED);
        if (mq_receive(q, text, LARGE, NULL) < 0 && mq_send(q, text, LARGE, 0) < 0)
            return child;
        mq_receive(q, text, LARGE, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        use_after_death(q, text, LARGE);
    }
    must(false, "none of 1000 was stopped in the middle");
    return -1;
}

static long wake_ups_of_children(void)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    return usage.ru_nvcsw;
}

/* A crowd waits for what it holds, and does not burn the machine while it waits. */
static void a_stopped_process_costs_little(void)
{
    static char text[LARGE];
    mqd_t q = new_queue("/q", 1, LARGE), blocking = mq_open("/q", O_RDWR);
    pid_t stopped = stop_in_the_middle(q, text), child[SLEEPERS];
    long woken = wake_ups_of_children();

    for (int i = 0; i < SLEEPERS; i++) {
        child[i] = fork_child();
        if (child[i] == 0)
            _exit(mq_receive(blocking, text, LARGE, NULL) > 0);
    }
    nap(SECONDS * 1000000);
    for (int i = 0; i < SLEEPERS; i++) {
        int status;

        kill(child[i], SIGKILL);
        waitpid(child[i], &status, 0);
        must(WIFSIGNALED(status), "a message that somebody holds was received");
    }
    woken = wake_ups_of_children() - woken;
    printf("# %d sleepers woke up %ld times in %d s\n", SLEEPERS, woken, SECONDS);
    must(woken < SLEEPERS * WAKE_UPS, "%d sleepers woke up %ld times", SLEEPERS, woken);
    kill(stopped, SIGKILL);
    waitpid(stopped, NULL, 0);
    use_after_death(q, text, LARGE);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {CASE(all_survive), CASE(half_are_killed),
                                             CASE(a_stopped_process_costs_little)};
    const struct number_option options[] = {
        {"processes", &processes}, {"rounds", &rounds}, {"seed", &seed}, {NULL, NULL}};

    seed = time(NULL);
    if (!read_options(&argc, &argv, options))
        return 2;
    printf("# seed %ld\n", seed);
    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
