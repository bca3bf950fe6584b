/*
 * A process without free descriptors: mq_open says EMFILE (for the system's
 * limit ENFILE), leaves nothing behind and works again when there are some; what
 * is open works on, also in a child that was forked then and uses the queue for
 * the first time, and also what a dead process held is found.
 */
#include "resources.h"

/* Let the process have `n` more descriptors than it has now: what it has lies below the limit. */
static void allow(int n)
{
    struct rlimit limit;
    int fd, highest = 0;

    must_work(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = limit.rlim_max;
    must_work(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    for (fd = 0; fd < 1024; fd++)
        highest = fcntl(fd, F_GETFD) != -1 ? fd : highest;
    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd < highest); /* no holes */
    close(fd);
    limit.rlim_cur = (rlim_t)(fd > highest ? fd : highest + 1) + (rlim_t)n;
    must_work(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
}

/* Make sure that there are none: or the case tests nothing. */
static void allow_none(void)
{
    allow(0);
    must_fail(open("/dev/null", O_RDONLY), EMFILE, "open with no descriptors");
}

/* mq_open with n descriptors: until it works, EMFILE and nothing left. */
static void open_with_few(int flags)
{
    bool there = files() > 0;
    mqd_t q = -1;

    for (int n = 0; q == -1; n++) {
        long fds, kept, maps;

        allow(100);
        fds = open_descriptors(), kept = files(), maps = mappings(directory);
        allow(n);
        fds = open_descriptors();
        for (int i = 0; i < 50; i++) {
            q = open_queue("/q", flags, 100, 64);
            if (q != -1)
                break;
            must(errno == EMFILE, "mq_open with %d descriptors: %s", n, strerror(errno));
        }
        if (q != -1)
            break;
        must(open_descriptors() == fds, "%ld descriptors, then %ld", fds, open_descriptors());
        allow(100);
        must(files() == kept, "%ld files, then %ld", kept, files());
        /* One for the registry's lock. */
        must(mappings(directory) <= maps + 1, "%ld mappings, then %ld", maps, mappings(directory));
        must(numbers_in_use() <= 1, "%ld client numbers", numbers_in_use());
        must(n < 2, "mq_open with %d descriptors left: %s", n, strerror(errno));
    }
    allow_none();
    must_work(send_numbered(q, 0, 64), "sending");
    must(receive_numbered(q, 0, 64), "no message");
    must_work(mq_close(q), "mq_close");
    if (!there)
        must_work(mq_unlink("/q"), "mq_unlink");
}

static void opening(void)
{
    new_queue("/q", 100, 64);
    open_with_few(O_RDWR);
}

static void creating(void)
{
    open_with_few(O_RDWR | O_CREAT);
}

/* --- what is open works on -------------------------------------------------------------------- */

static void use_in_child(void *q)
{
    use_queue(*(mqd_t *)q);
}

/* Growing queues, small and large messages; ours, and a child's on its first use. */
static void sending_and_receiving(void)
{
    static const struct {
        long maxmsg, msgsize;
    } shapes[] = {{10, 64}, {5000, 160}, {300, 9000}};

    for (size_t i = 0; i < 3; i++) {
        char name[16];
        mqd_t q;

        snprintf(name, sizeof(name), "/q%zu", i);
        allow(100);
        q = new_queue(name, shapes[i].maxmsg, shapes[i].msgsize);
        allow_none();
        use_queue(q);
        in_child(use_in_child, &q, "a forked child without descriptors");
        must_work(mq_unlink(name), "mq_unlink");
        use_queue(q);
    }
}

static void use_with_limit_zero(void *arg)
{
    mqd_t *q = arg;

    must_fail(send_numbered(*q, 0, 64), EMFILE, "a child's first send, with a limit of zero");
    must_fail(mq_receive(*q, (char[64]){0}, 64, NULL), EMFILE, "a child's first receive");
    allow(10);
    use_queue(*q);
}

/* Below what is open.  Here a child has to say so, until it may have one again. */
static void a_limit_of_zero(void)
{
    struct rlimit limit;
    mqd_t q = new_queue("/q", 10, 64);

    must_work(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    limit.rlim_cur = 0;
    must_work(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
    use_queue(q);
    in_child(use_with_limit_zero, &q, "a forked child with a limit of zero");
    use_queue(q);
}

/* mq_unlink needs none either, and remembers that mqxd must forget the queue. */
static void unlinking(void)
{
    char conf[PATH_MAX + 16];
    FILE *f;

    snprintf(conf, sizeof(conf), "%s/conf", directory);
    f = fopen(conf, "w");
    must(f && fputs("[*]\ndurable = async\n", f) >= 0 && fclose(f) == 0, "the configuration");
    setenv("MQX_CONF", conf, 1);
    mq_close(new_queue("/durable", 10, 64));
    setenv("MQX_CONF", "/dev/null", 1);
    mq_close(new_queue("/other", 10, 64));
    allow_none();
    must_work(mq_unlink("/durable"), "mq_unlink of a durable queue");
    must_work(mq_unlink("/other"), "mq_unlink");
    allow(10);
    must(files() == 1 && files_in("gone") == 1, "%ld files, %ld of them for mqxd to forget",
         files(), files_in("gone"));
}

/* --- what a dead process held -------------------------------------------------------------------
 */

#define LARGE 60000 /* bytes: copying them takes a while, in which to be killed */

/* Found by one who has no descriptor to ask with. */
static void a_dead_owner(void)
{
    static char text[LARGE];
    mqd_t q = new_queue("/q", 1, LARGE);
    unsigned random = (unsigned)getpid();

    allow_none();
    for (int i = 0; i < 100; i++) {
        pid_t child = fork_child();

        if (child == 0)
            send_and_receive_for_ever(q, text, LARGE);
        nap(500 + rand_r(&random) % 1500);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        use_after_death(q, text, LARGE);
    }
    allow(10);
    must(numbers_in_use() == 1, "%ld client numbers in use", numbers_in_use());
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(opening),         CASE(creating),  CASE(sending_and_receiving),
        CASE(a_limit_of_zero), CASE(unlinking), CASE(a_dead_owner),
    };

    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
