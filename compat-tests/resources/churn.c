/*
 * Thousands of queues are created and unlinked by several processes at once,
 * some of which are killed at it.  Afterwards nothing is left: no files, client
 * numbers, descriptors or mappings, but for what the killed had in hand, which
 * the next who creates a queue an hour later removes.
 *
 *     churn [--rounds N] [--kills N] [--seed N] [cases]
 */
#include "resources.h"

#include <pthread.h>

#define QUEUES  4096
#define WORKERS 3

static long rounds = 1, kills = 60, seed;

static const char *queue_name(long n)
{
    static char name[32];

    snprintf(name, sizeof(name), "/churn-%ld", n);
    return name;
}

/* Create the queue, or open what another created; use it. */
static void create(long n)
{
    mqd_t q = open_queue(queue_name(n), O_CREAT | O_RDWR | O_NONBLOCK, 4 + n % 100, 32);

    must_work(q, "mq_open");
    must(mq_send(q, "x", 1, 0) == 0 || errno == EAGAIN, "mq_send: %s", strerror(errno));
    must(mq_receive(q, (char[32]){0}, 32, NULL) == 1 || errno == EAGAIN, "mq_receive: %s",
         strerror(errno));
    must_work(mq_close(q), "mq_close");
}

static void destroy(long n)
{
    must(mq_unlink(queue_name(n)) == 0 || errno == ENOENT, "mq_unlink: %s", strerror(errno));
}

/* What must be the same before and after. */
struct held {
    long descriptors, maps, files, numbers;
};

static struct held held_now(void)
{
    return (struct held){open_descriptors(), mappings(NULL), files(), numbers_in_use()};
}

static void print_held(const char *when, struct held h)
{
    printf("# %s: descriptors %ld, mappings %ld, files %ld, client numbers %ld\n", when,
           h.descriptors, h.maps, h.files, h.numbers);
    fflush(stdout);
}

/* Mappings: one or two more for what this process's tables needed meanwhile. */
static void compare_held(struct held before, struct held after)
{
    print_held("before", before);
    print_held("after ", after);
    must(after.descriptors == before.descriptors, "descriptors leak");
    must(after.maps <= before.maps + 3, "mappings leak");
    must(after.files == before.files, "files leak");
    must(after.numbers == before.numbers, "client numbers leak");
}

/* --- all at once --------------------------------------------------------------------------------
 */

/* Each creates all of them, beginning elsewhere; then each unlinks what it still finds. */
static void create_all(int worker)
{
    for (long i = 0; i < QUEUES; i++)
        create((i + worker * QUEUES / WORKERS) % QUEUES);
}

static void unlink_all(int worker)
{
    for (long i = 0; i < QUEUES; i++)
        destroy((i + worker * QUEUES / WORKERS) % QUEUES);
}

static void in_workers(void (*run)(int))
{
    pid_t child[WORKERS];

    for (int w = 0; w < WORKERS; w++) {
        child[w] = fork_child();
        if (child[w] == 0) {
            long fds = open_descriptors(), maps = mappings("/queues/");

            run(w);
            must(open_descriptors() == fds, "a worker's descriptors: %ld, then %ld", fds,
                 open_descriptors());
            must(mappings("/queues/") == maps, "queues a worker has mapped: %ld, then %ld", maps,
                 mappings("/queues/"));
            _exit(0);
        }
    }
    for (int w = 0; w < WORKERS; w++)
        join_child(child[w], "a worker");
}

static void many(void)
{
    struct held before;

    create(0);
    destroy(0);
    before = held_now();
    for (long i = 0; i < rounds; i++) {
        next_round();
        in_workers(create_all);
        must(files_in("queues") == QUEUES && files_in("fifos") == QUEUES,
             "%ld segments and %ld FIFOs of %d", files_in("queues"), files_in("fifos"), QUEUES);
        in_workers(unlink_all);
    }
    compare_held(before, held_now());
}

/* One process, which has all of them open at once, then none. */
static void many_in_one_process(void)
{
    static mqd_t q[800];
    struct held before = {0};

    for (long i = 0; i < rounds + 1; i++) {
        next_round();
        for (long n = 0; n < 800; n++) {
            q[n] = open_queue(queue_name(n), O_CREAT | O_RDWR, 10, 64);
            must_work(q[n], "mq_open");
        }
        for (long n = 0; n < 800; n++) {
            must_work(mq_close(q[n]), "mq_close");
            destroy(n);
        }
        if (i == 0)
            before = held_now(); /* with what its tables need for so many */
    }
    compare_held(before, held_now());
}

/* --- killed at it -------------------------------------------------------------------------------
 */

static void churn_for_ever(unsigned random)
{
    for (;;) {
        long n = rand_r(&random) % 16; /* few: they meet */

        create(n);
        if (rand_r(&random) % 4)
            destroy(n);
    }
}

/* As if an hour had passed. */
static void age(const char *place)
{
    static const struct timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
    char path[PATH_MAX + 300];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s", directory, place);
    dir = opendir(path);
    must(dir != NULL, "%s: %s", path, strerror(errno));
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s/%s", directory, place, entry->d_name);
            must_work(utimensat(AT_FDCWD, path, long_ago, AT_SYMLINK_NOFOLLOW), "utimensat");
        }
    closedir(dir);
}

/* The program anew: a process that has not looked for leftovers yet. */
static void create_in_new_program(void)
{
    pid_t child = fork_child();

    if (child == 0) {
        execl("/proc/self/exe", "churn", "--create", NULL);
        _exit(127);
    }
    join_child(child, "a new process that creates a queue");
}

static void killed(void)
{
    unsigned random = (unsigned)seed;
    pid_t child[WORKERS] = {0};
    struct held before, after;
    mqd_t kept;

    kept = new_queue("/kept", 10, 64);
    create(0);
    destroy(0);
    before = held_now();
    for (long i = 0; i < kills; i++) {
        next_round();
        for (int w = 0; w < WORKERS; w++)
            if (child[w] == 0) {
                child[w] = fork_child();
                if (child[w] == 0)
                    churn_for_ever(random + (unsigned)(WORKERS * i + w));
            }
        nap(rand_r(&random) % 3000);
        for (int w = 0; w < WORKERS; w++)
            if (rand_r(&random) % 2 || i == kills - 1) {
                kill(child[w], SIGKILL);
                waitpid(child[w], NULL, 0);
                child[w] = 0;
            }
    }
    for (long n = 0; n < 16; n++) {
        create(n); /* whatever they left of it */
        destroy(n);
    }
    printf("# left by the killed: %ld FIFOs, %ld files in tmp\n", files_in("fifos") - 1,
           files_in("tmp"));
    must(files_in("queues") == 1, "%ld queues", files_in("queues"));
    create_in_new_program(); /* nothing is old yet, nor is the last look */
    age("fifos");
    age("tmp");
    age("clients");
    create_in_new_program();
    after = held_now();
    compare_held(before, after);
    must_work(send_numbered(kept, 0, 64), "a queue that was there all the time");
    mq_close(kept);
    kept = mq_open("/kept", O_RDWR | O_NONBLOCK);
    must_work(kept, "its FIFO");
    must(receive_numbered(kept, 0, 64), "its message is lost");
}

static _Atomic bool tidying;

/* What is in the tmp directory goes at once, as if all of it were old. */
static void *tidy(void *arg)
{
    char path[PATH_MAX + 300];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/tmp", directory);
    dir = opendir(path);
    while (dir && tidying) {
        for (rewinddir(dir); (entry = readdir(dir));)
            if (entry->d_name[0] != '.')
                unlinkat(dirfd(dir), entry->d_name, 0);
        nap(300); /* he shall win, some time */
    }
    if (dir)
        closedir(dir);
    return arg;
}

/* Who was stopped while he created a queue, and finds that others took what he had for left. */
static void tidied_away(void)
{
    pthread_t thread;

    create(0);
    destroy(0);
    tidying = true;
    must(pthread_create(&thread, NULL, tidy, NULL) == 0, "pthread_create");
    for (int i = 0; i < 2000; i++) {
        must_work(mq_close(new_queue("/tidied", 10, 64)), "mq_close");
        must_work(mq_unlink("/tidied"), "mq_unlink");
    }
    tidying = false;
    pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {CASE(many), CASE(many_in_one_process), CASE(killed),
                                             CASE(tidied_away)};
    const struct number_option options[] = {
        {"rounds", &rounds}, {"kills", &kills}, {"seed", &seed}, {NULL, NULL}};

    seed = time(NULL);
    if (argc == 2 && strcmp(argv[1], "--create") == 0) {
        outcome = shared_memory(sizeof(*outcome));
        create(0);
        destroy(0);
        return 0;
    }
    if (!read_options(&argc, &argv, options))
        return 2;
    printf("# seed %ld\n", seed);
    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
