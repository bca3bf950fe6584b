/*
 * Fill storm: senders fill a small disk until they see full queues, everything is
 * received, and that again and again, with messages of all sizes.  Meanwhile mqxd
 * is killed, the power fails, others take room on the disk and give it back, and
 * somebody who looks at the store stands still, so that none of its pages is used
 * again.
 *
 * However full it is: what was acknowledged is there, and no more than that; what
 * was received leaves the store; and then there is room again, and mqxd says so.
 */
#include "cut/storm.h"

enum { SENDERS = 4, SENT_MOST = 20000, SIZE_MOST = 100000, MAXMSG = 1000 };

static const char *const names[SENDERS] = {"/cut-1", "/cut-2", "/cut-3", "/cut-async"};

struct filled {
    struct {
        _Atomic(uint8_t) sent, refused, received;
    } of[SENDERS][SENT_MOST];
};

static struct machine machine;
static struct filled *filled;
static uint64_t seed, rounds = 50, space, chance;
static uint32_t round_number, size_most;
static bool power_failed;
static char mqx[300];
static struct {
    uint64_t full, kills, cuts, readers, sent;
} done;

static bool is_sync(unsigned i)
{
    return i + 1 < SENDERS;
}

static void start_mqxd(void)
{
    uint64_t until = storm_now() + STORM_LIMIT_NS * 2;

    machine_start_mqxd(&machine);
    while (!machine_is_ready(&machine)) {
        if (machine_has_ended(&machine) || storm_now() > until) {
            ledger_wrong("mqxd does not start");
            return;
        }
        storm_nap(1000000);
    }
}

/* Was this said, and the other not after it? */
static bool is_said(const char *last, const char *not_last)
{
    static char text[1 << 16];
    int fd = open(machine.log, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    const char *at = NULL, *other = NULL;

    close(fd);
    text[n > 0 ? n : 0] = 0;
    for (const char *p = text; (p = strstr(p, last)); p++)
        at = p;
    for (const char *p = text; (p = strstr(p, not_last)); p++)
        other = p;
    return at && (!other || other < at);
}

static bool says_full(void)
{
    return is_said("of the store is full", "there is room on the disk");
}

/* A mistake unless it comes to be. */
static void await(const char *what, bool (*is_so)(void))
{
    uint64_t until = storm_now() + STORM_LIMIT_NS * 2;

    while (!ledger->wrong && !is_so()) {
        if (machine_has_ended(&machine))
            ledger_wrong("mqxd ended");
        else if (storm_now() > until)
            ledger_wrong("%s: never", what);
        storm_nap(10000000);
    }
}

/* --- senders and receivers -------------------------------------------------------------------- */

static mqd_t open_queue(unsigned i)
{
    mqd_t queue;

    while ((queue = storm_open(names[i], O_RDWR | O_NONBLOCK | O_CREAT, MAXMSG, SIZE_MOST)) < 0)
        storm_nap(1000000);
    return queue;
}

static void send_until_full(unsigned i)
{
    static union {
        struct storm_msg msg;
        uint8_t bytes[SIZE_MOST + 8];
    } out;
    mqd_t queue = open_queue(i);
    unsigned refused = 0;

    if (!freopen("/dev/null", "w", stderr))
        storm_die("/dev/null");
    for (unsigned n = 0; n < SENT_MOST && refused < 60; n++) {
        size_t len = storm_build(&out.msg, i, round_number, n, size_most);

        if (mq_send(queue, (char *)out.bytes, len, 0) == 0) {
            filled->of[i][n].sent = 1;
            refused = 0;
            continue;
        }
        if (errno != EAGAIN)
            ledger_wrong("a send: %s", strerror(errno));
        filled->of[i][n].refused = 1;
        refused++;
        storm_nap(2000000);
    }
    _exit(0);
}

static void note_received(unsigned i, const struct storm_msg *msg, size_t len)
{
    unsigned n = (unsigned)msg->number;

    if (!storm_verify(msg, len, size_most) || msg->sender != i || n >= SENT_MOST)
        ledger_wrong("%s: received what nobody sent", names[i]);
    else if (msg->round != round_number)
        ledger_wrong("%s: a message of round %u is back", names[i], (unsigned)msg->round);
    else if (filled->of[i][n].received)
        ledger_wrong("%s: %u was received twice", names[i], n);
    else if (filled->of[i][n].refused && !power_failed)
        ledger_wrong("%s: %u was received, and its send failed", names[i], n);
    else
        filled->of[i][n].received = 1;
}

static void drain(void)
{
    static uint8_t bytes[SIZE_MOST + 8] __attribute__((aligned(8)));
    ssize_t len;

    for (unsigned i = 0; i < SENDERS; i++) {
        mqd_t queue = open_queue(i);

        while ((len = mq_receive(queue, (char *)bytes, SIZE_MOST, NULL)) >= 0)
            note_received(i, (struct storm_msg *)bytes, (size_t)len);
        if (errno != EAGAIN)
            ledger_wrong("a receive: %s", strerror(errno));
        mq_close(queue);
    }
    _exit(0);
}

static void send_one(void)
{
    struct timespec until = storm_deadline(STORM_LIMIT_NS * 2);
    mqd_t queue = storm_open(names[0], O_RDWR, MAXMSG, SIZE_MOST);
    char bytes[SIZE_MOST] = "";

    if (mq_timedsend(queue, bytes, 1000, 0, &until) < 0)
        ledger_wrong("a send, when all is received: %s", strerror(errno));
    else if (mq_receive(queue, bytes, sizeof(bytes), NULL) < 0)
        ledger_wrong("its receive: %s", strerror(errno));
    _exit(0);
}

/* Wait for children, with mqxd killed now and then. */
static void pass(pid_t *child, unsigned count, unsigned kills)
{
    uint64_t until = storm_now() + STORM_LIMIT_NS * 4;

    for (unsigned left = count; left;) {
        for (unsigned i = 0; i < count; i++)
            if (child[i] && waitpid(child[i], NULL, WNOHANG) == child[i]) {
                child[i] = 0;
                left--;
            }
        if (storm_now() > until) {
            ledger_wrong("senders or receivers hang");
            for (unsigned i = 0; i < count; i++)
                if (child[i])
                    kill(child[i], SIGKILL);
            until = UINT64_MAX;
        }
        if (kills && storm_below(&chance, 40) == 0) {
            kills--;
            machine_kill_mqxd(&machine);
            start_mqxd();
            done.kills++;
        }
        storm_nap(5000000);
    }
}

/* --- what else is on the disk ----------------------------------------------------------------- */

static bool stores_nothing(void)
{
    char line[400];

    snprintf(line, sizeof(line), "LD_PRELOAD= %s store check 2>&1 | grep -q 'messages: 0,'", mqx);
    return system(line) == 0;
}

static void fill_file(void)
{
    char line[400];

    snprintf(line, sizeof(line),
             "LD_PRELOAD= dd if=/dev/zero of=%s/filler bs=4096 count=%u 2>/dev/null", machine.mount,
             (unsigned)storm_below(&chance, 2 * space / 4096));
    (void)!system(line);
}

static void free_file(void)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/filler", machine.mount);
    unlink(path);
}

/* It stands still when its pipe is full. */
static pid_t start_reader(int *pipe_end)
{
    int ends[2];
    pid_t pid;

    if (pipe(ends) < 0)
        storm_die("pipe");
    pid = storm_fork();
    if (pid == 0) {
        unsetenv("LD_PRELOAD");
        dup2(ends[1], 1);
        close(ends[0]);
        execl(mqx, mqx, "store", "dump", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *pipe_end = ends[0];
    done.readers++;
    return pid;
}

static void end_reader(pid_t pid, int pipe_end)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pipe_end);
}

static void cut_power(void)
{
    machine_order(&machine, "cut");
    machine_kill_mqxd(&machine);
    machine_lose_memory();
    machine_order(&machine, "on");
    power_failed = true;
    start_mqxd();
    done.cuts++;
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void check_losses(void)
{
    for (unsigned i = 0; i < SENDERS; i++)
        for (unsigned n = 0; n < SENT_MOST; n++) {
            done.sent += filled->of[i][n].sent;
            if (filled->of[i][n].sent && !filled->of[i][n].received &&
                (is_sync(i) || !power_failed))
                ledger_wrong("%s: %u is lost", names[i], n);
        }
}

static void drain_all(void)
{
    pid_t child[1];
    int end = -1;
    pid_t reader = storm_below(&chance, 4) ? 0 : start_reader(&end);

    if (reader)
        storm_nap(storm_below(&chance, 100000000));
    child[0] = storm_fork();
    if (child[0] == 0)
        drain();
    pass(child, 1, (unsigned)storm_below(&chance, 3));
    if (reader) {
        storm_nap(storm_below(&chance, 1500000000));
        end_reader(reader, end);
    }
}

static void serve_again(void)
{
    pid_t child[1];

    await("the removals to be stored", stores_nothing);
    if (storm_below(&chance, 2))
        free_file();
    child[0] = storm_fork();
    if (child[0] == 0)
        send_one();
    pass(child, 1, 0);
}

static bool says_room(void)
{
    return !says_full();
}

static void one_round(void)
{
    static const uint32_t sizes[] = {100, 1000, 5000, 20000, 50000, SIZE_MOST};
    pid_t child[SENDERS];

    round_number++;
    power_failed = false;
    size_most = sizes[storm_below(&chance, 6)];
    memset(filled, 0, sizeof(*filled));
    if (storm_below(&chance, 3) == 0)
        fill_file();
    for (unsigned i = 0; i < SENDERS; i++) {
        child[i] = storm_fork();
        if (child[i] == 0)
            send_until_full(i);
    }
    pass(child, SENDERS, (unsigned)storm_below(&chance, 3));
    done.full += says_full();
    if (storm_below(&chance, 3) == 0)
        cut_power();
    drain_all();
    if (!ledger->wrong)
        check_losses();
    serve_again();
    await("that there is room", says_room);
}

static void begin_disk(uint64_t bytes)
{
    machine_kill_mqxd(&machine);
    machine_lose_memory();
    machine_order(&machine, "empty");
    machine_order(&machine, "space %" PRIu64, bytes);
    start_mqxd();
}

static void write_conf(void)
{
    FILE *f = fopen(machine.conf, "w");

    if (!f)
        storm_die(machine.conf);
    fprintf(f,
            "window = %d\n[cut-*]\ndurable = sync\nmaxmsg = %d\nmsgsize = %d\n[cut-async]\ndurable "
            "= async\n",
            WINDOW_MS, MAXMSG, SIZE_MOST);
    fclose(f);
}

static void program(const char *name, char *path)
{
    const char *build = getenv("BUILD");

    snprintf(path, 300, "%s/%s", build ? build : "build", name);
}

/* Half a MiB to 64. */
static uint64_t any_size(void)
{
    return (UINT64_C(1) << (19 + storm_below(&chance, 7))) + 4096 * storm_below(&chance, 128);
}

int main(int argc, char **argv)
{
    const struct storm_option options[] = {
        {"seed", &seed, false, "for all choices (0: by the clock)"},
        {"rounds", &rounds, false, "how often the disk is filled (50)"},
        {"space", &space, false, "KiB of the disk (0: by chance, another each 10 rounds)"},
        {0}};
    char cutfs[300], mqxd[300];
    bool any;

    storm_options(argc, argv, options);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!seed)
        seed = storm_mix(storm_now()) >> 32;
    printf("fill_storm: seed %" PRIu64 "\n", seed);
    chance = seed;
    ledger = storm_shared(sizeof(*ledger));
    filled = storm_shared(sizeof(*filled));
    program("test/cutfs", cutfs);
    program("bin/mqxd", mqxd);
    program("bin/mqx", mqx);
    machine = (struct machine){.cutfs = cutfs, .mqxd = mqxd, .mqx = mqx};
    machine_build(&machine);
    write_conf();
    any = space == 0;
    space *= 1024;
    for (uint64_t i = 0; i < rounds && !ledger->wrong; i++) {
        if (any && i % 10 == 0)
            space = any_size();
        if (i % 10 == 0)
            begin_disk(space);
        one_round();
        ledger->life++;
    }
    if (ledger->wrong) {
        printf("# a disk of %" PRIu64 " KiB, messages up to %u bytes, round %u\n", space / 1024,
               size_most, round_number);
        machine_print_log(&machine);
    }
    printf("# %" PRIu64 " messages sent; the disk was full %" PRIu64 " times; mqxd killed %" PRIu64
           " times, power cut %" PRIu64 ", readers that stood still %" PRIu64 "\n",
           done.sent, done.full, done.kills, done.cuts, done.readers);
    storm_check(!ledger->wrong, "a full disk is as a full queue, %" PRIu64 " times", rounds);
    storm_check(done.sent && done.full, "it was full");
    machine_remove(&machine);
    return storm_end("fill_storm", seed);
}
