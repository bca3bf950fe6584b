/*
 * A registry whose numbers are all taken: whoever needs one is told EUSERS, and
 * nothing is left of what he began; who has one goes on; the number of a process
 * that died can be taken at once, and is never mistaken for its earlier holder.
 * One process holds all numbers but a few, so that few processes are needed.
 */
#include "resources.h"

static int registry = -1;

/* Hold all numbers that nobody has, but so many. */
static void leave_numbers(int n)
{
    struct flock one = {.l_type = F_WRLCK, .l_len = 1};

    if (registry < 0)
        registry = open_registry();
    must_work(registry, "the registry");
    for (one.l_start = 0; one.l_start < NUMBERS; one.l_start++) {
        one.l_type = F_WRLCK;
        if (fcntl(registry, F_OFD_SETLK, &one) == 0) {
            one.l_type = F_UNLCK;
            if (n-- > 0)
                must_work(fcntl(registry, F_OFD_SETLK, &one), "unlocking");
        }
    }
}

struct use {
    mqd_t q;
    int alive[2];                /* a pipe whose writing end this process has open */
    _Atomic int joined, refused; /* how many processes */
};

static void open_when_full(void *arg)
{
    long kept = files(), fds = open_descriptors(), maps = mappings(directory);

    (void)arg;
    for (int i = 0; i < 20; i++) {
        must_fail(mq_open("/q", O_RDWR), EUSERS, "mq_open");
        must_fail(open_queue("/new", O_CREAT | O_RDWR, 10, 64), EUSERS, "mq_open of a new queue");
    }
    must(files() == kept, "%ld files, then %ld", kept, files());
    must(open_descriptors() == fds, "%ld descriptors, then %ld", fds, open_descriptors());
    must(mappings(directory) == maps, "%ld mappings, then %ld", maps, mappings(directory));
}

static void use_when_full(void *arg)
{
    struct use *u = arg;

    must_fail(send_numbered(u->q, 1, 64), EUSERS, "a child's first mq_send");
    must_fail(mq_receive(u->q, (char[64]){0}, 64, NULL), EUSERS, "a child's first mq_receive");
}

static void use_once(void *arg)
{
    struct use *u = arg;
    mqd_t q = mq_open("/q", O_RDWR);

    must_work(q, "mq_open with a number left");
    must_work(send_numbered(u->q, 5, 64), "mq_send");
    must(receive_numbered(q, 5, 64), "no message");
}

static void full(void)
{
    struct use u = {.q = new_queue("/q", 10, 64)};

    leave_numbers(0);
    in_child(open_when_full, &u, "mq_open without numbers");
    in_child(use_when_full, &u, "a forked child without numbers");
    must_work(send_numbered(u.q, 1, 64), "mq_send by one who has a number");
    must(receive_numbered(u.q, 1, 64), "no message");
    leave_numbers(1);
    in_child(use_once, &u, "a child, with a number again");
}

static void take_and_wait(struct use *u)
{
    int r = send_numbered(u->q, 1, 64);

    must(r == 0 || errno == EUSERS, "mq_send: %s", strerror(errno));
    atomic_fetch_add(r == 0 ? &u->joined : &u->refused, 1);
    for (;;)
        pause();
}

/* As many processes as there are numbers get one; another when one of them was killed. */
static void nearly_full(void)
{
    struct use *u = shared_memory(sizeof(*u));
    pid_t children[12];
    double end = now() + PATIENT / 2;

    u->q = new_queue("/q", 100, 64);
    leave_numbers(5);
    for (int i = 0; i < 12; i++) {
        children[i] = fork_child();
        if (children[i] == 0)
            take_and_wait(u);
    }
    while (u->joined + u->refused < 12 && now() < end)
        nap(1000);
    must(u->joined == 5 && u->refused == 7, "5 numbers: %d took one, %d did not", u->joined,
         u->refused);
    for (int i = 0; i < 12; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    must(count(u->q) == 5, "%ld messages of 5", count(u->q));
    for (int i = 0; i < 5; i++)
        must(receive_numbered(u->q, 1, 64), "message %d is lost", i);
}

/* Its own child lives on, and does not keep the number, nor take one: no handler of fork's runs. */
static void use_and_fork(void *arg)
{
    struct use *u = arg;

    use_once(u);
    if (_Fork() == 0) {
        close(u->alive[1]);
        _exit((int)read(u->alive[0], &(char){0}, 1)); /* till the case has ended */
    }
}

/* Few numbers, used again and again. */
static void recycling(void)
{
    struct use u = {.q = new_queue("/q", 10, 64)};

    must_work(pipe(u.alive), "pipe");
    leave_numbers(2);
    for (int i = 0; i < 100; i++)
        in_child(i % 2 ? use_once : use_and_fork, &u, "a child");
    must(numbers_in_use() == NUMBERS - 2, "%ld numbers in use", numbers_in_use());
}

#define LARGE 60000 /* bytes: copying them takes a while, in which to be killed */

/* With one number, which is another's before anybody looks: what its dead holder had is found. */
static void a_dead_owner_whose_number_is_taken(void)
{
    static char text[LARGE];
    mqd_t q = new_queue("/q", 1, LARGE);
    unsigned random = (unsigned)getpid();

    leave_numbers(1);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork_child(), next;
        mqd_t other = -1;
        int ready[2];

        if (child == 0)
            send_and_receive_for_ever(q, text, LARGE);
        nap(500 + rand_r(&random) % 1500);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        must_work(pipe(ready), "pipe");
        next = fork_child();
        if (next == 0) {
            other = open_queue("/other", O_CREAT | O_RDWR, 1, 1); /* takes the number */
            must(other != -1 && write(ready[1], "r", 1) == 1, "mq_open: %s", strerror(errno));
            for (;;)
                pause();
        }
        close(ready[1]);
        must(read(ready[0], text, 1) == 1, "the next holder of the number failed");
        use_after_death(q, text, LARGE);
        kill(next, SIGKILL);
        waitpid(next, NULL, 0);
        close(ready[0]);
    }
}

/* Everybody may put things into the directory: what has the registry's name may be no file, or
 * another user's. */
static void occupied(void)
{
    static const char *const kinds[] = {"a FIFO", "a directory", "another user's"};
    char path[PATH_MAX + 32];

    snprintf(path, sizeof(path), "%s/clients", directory);
    must_work(mkdir(path, 01777), path);
    snprintf(path, sizeof(path), "%s/clients/%u", directory, (unsigned)geteuid());
    for (int i = 0; i < (geteuid() == 0 ? 3 : 2); i++) {
        int r = i == 1 ? mkdir(path, 0755) : mknod(path, (i ? S_IFREG : S_IFIFO) | 0666, 0);
        mqd_t q;

        must(r == 0 && (i < 2 || chown(path, NOBODY, NOBODY) == 0), "%s: %s", path,
             strerror(errno));
        q = open_queue("/q", O_CREAT | O_RDWR | O_NONBLOCK, 10, 64);
        must(q != -1, "the name is %s: %s", kinds[i], strerror(errno));
        use_queue(q);
        must_work(mq_close(q), "mq_close");
        must_work(mq_unlink("/q"), "mq_unlink");
        must_work(remove(path), path);
    }
}

/* For shell cases: all numbers of that registry, until killed. */
static int hold(const char *path)
{
    struct flock all = {.l_type = F_WRLCK, .l_len = NUMBERS};
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0 || fcntl(fd, F_OFD_SETLK, &all) != 0) {
        perror(path);
        return 1;
    }
    puts("held");
    fflush(stdout);
    for (;;)
        pause();
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(full),      CASE(nearly_full),
        CASE(recycling), CASE(a_dead_owner_whose_number_is_taken),
        CASE(occupied),
    };

    if (argc == 3 && strcmp(argv[1], "--hold") == 0)
        return hold(argv[2]);
    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
