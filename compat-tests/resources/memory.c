/*
 * Limits of memory: of address space, of private data, of locked memory, of the
 * size of files, of a control group.  mq_open says ENOMEM and leaves nothing behind; a queue that
 * is open works on without more of any; a child that cannot begin says ENOMEM and can as soon as
 * there is memory; who is killed for want of memory takes nothing with him.
 */
#include "resources.h"

#include <pthread.h>

static void limit(int resource, rlim_t value)
{
    struct rlimit r;

    must_work(getrlimit((__rlimit_resource_t)resource, &r), "getrlimit");
    r.rlim_cur = value < r.rlim_max ? value : r.rlim_max;
    must_work(setrlimit((__rlimit_resource_t)resource, &r), "setrlimit");
}

/* A line of /proc/self/status, in bytes. */
static rlim_t status(const char *key)
{
    FILE *f = fopen("/proc/self/status", "re");
    unsigned long kib = 0;
    char line[200];

    must(f != NULL, "/proc/self/status: %s", strerror(errno));
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            sscanf(line + strlen(key), ": %lu", &kib);
    fclose(f);
    return (rlim_t)kib * 1024;
}

/* --- address space and private data -------------------------------------------------------------
 */

struct limited {
    mqd_t q;
    int resource;
};

static void begin_without_memory(void *arg)
{
    struct limited *l = arg;

    if (send_numbered(l->q, 0, 64) == 0) { /* what it needs was mapped before the fork */
        must(receive_numbered(l->q, 0, 64), "no message");
        return;
    }
    must(errno == ENOMEM, "a child's first mq_send: %s", strerror(errno));
    must_fail(mq_receive(l->q, (char[9000]){0}, 9000, NULL), ENOMEM, "a child's first mq_receive");
    limit(l->resource, RLIM_INFINITY);
    use_queue(l->q);
}

/* With nothing more than what it has: what is open works, grows, takes large messages. */
static void go_on(struct limited *l)
{
    long kept = files(), fds = open_descriptors(), maps = mappings("/queues/");
    mqd_t q;

    limit(l->resource, 1); /* 0 stands for no limit of data, where the hard one is infinite */
    for (int i = 0; i < 20; i++) {
        q = open_queue("/new", O_CREAT | O_RDWR, 1000, 100000);
        must(q == -1 && errno == ENOMEM, "creating a queue: %s",
             q == -1 ? strerror(errno) : "works");
        q = mq_open("/q", O_RDWR);
        must(q == -1 && errno == ENOMEM, "opening a queue: %s",
             q == -1 ? strerror(errno) : "works");
    }
    use_queue(l->q);
    in_child(begin_without_memory, l, "a child without memory");
    limit(l->resource, RLIM_INFINITY);
    must(files() == kept, "%ld files, then %ld", kept, files());
    must(open_descriptors() == fds, "%ld descriptors, then %ld", fds, open_descriptors());
    must(mappings("/queues/") == maps, "%ld queues mapped, then %ld", maps, mappings("/queues/"));
    must_work(q = open_queue("/new", O_CREAT | O_RDWR | O_NONBLOCK, 10, 64), "creating a queue");
    use_queue(q);
}

static void address_space(void)
{
    struct limited l = {new_queue("/q", 500, 9000), RLIMIT_AS};

    go_on(&l);
}

static void private_data(void)
{
    struct limited l = {new_queue("/q", 500, 9000), RLIMIT_DATA};

    go_on(&l);
}

/* Address space for some queues, but not for another one. */
static void too_large_a_queue(void)
{
    mqd_t q;

    limit(RLIMIT_AS, status("VmSize") + (64 << 20));
    must_fail(open_queue("/large", O_CREAT | O_RDWR, 10000, 10000), ENOMEM, "a queue of 100 MB");
    must(files() == 0, "%ld files left", files());
    q = new_queue("/small", 1000, 10000);
    use_queue(q);
}

/* --- locked memory ------------------------------------------------------------------------------
 */

/* How much of a queue's segment exists. */
static long in_memory(const char *name)
{
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%s/queues%s", getenv("MQX_DIR"), name);
    must_work(stat(path, &st), path);
    return (long)st.st_blocks * 512;
}

/* A program that locks all its memory, as those do that must answer in time. */
static void locked(void)
{
    struct rlimit may;
    mqd_t q;

    must_work(getrlimit(RLIMIT_MEMLOCK, &may), "getrlimit");
    if (geteuid() != 0 && may.rlim_cur != RLIM_INFINITY)
        skip("no more than %lu bytes may be locked", (unsigned long)may.rlim_cur);
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        skip("mlockall: %s", strerror(errno));
    q = new_queue("/q", 300, 5000);
    use_queue(q);
    use_queue(q);
    new_queue("/large", 1000, 1000000); /* as long as nothing is in it, it costs nothing */
    must(in_memory("/large") < 1 << 20, "%ld bytes of an empty queue in memory",
         in_memory("/large"));
}

/* The same without the right to lock as much. */
static void not_to_be_locked(void)
{
    mqd_t q;

    if (geteuid() != 0)
        skip("needs root, to begin with");
    must_work(setresgid(NOBODY, NOBODY, NOBODY), "setgid");
    must_work(setresuid(NOBODY, NOBODY, NOBODY), "setuid");
    q = new_queue("/q", 10, 64);
    limit(RLIMIT_MEMLOCK, status("VmSize") + (1 << 20));
    must_work(mlockall(MCL_CURRENT | MCL_FUTURE), "mlockall");
    must_fail(open_queue("/large", O_CREAT | O_RDWR, 1000, 10000), ENOMEM, "a queue of 10 MB");
    must(files() == 2, "%ld files", files());
    use_queue(q);
    q = mq_open("/q", O_RDWR | O_NONBLOCK);
    must_work(q, "mq_open of a small queue");
    use_queue(q);
}

/* --- the size of files --------------------------------------------------------------------------
 */

#define SMALL_FILE 4096

/* A soft limit concerns the program's files, and not queues. */
static void small_files(void)
{
    FILE *f = tmpfile();
    struct rlimit now;

    must(f != NULL, "tmpfile: %s", strerror(errno));
    signal(SIGXFSZ, SIG_DFL);
    limit(RLIMIT_FSIZE, SMALL_FILE);
    use_queue(new_queue("/q", 100, 5000));
    must_work(getrlimit(RLIMIT_FSIZE, &now), "getrlimit");
    must(now.rlim_cur == SMALL_FILE, "the limit is %lu now", (unsigned long)now.rlim_cur);
    signal(SIGXFSZ, SIG_IGN);
    must_fail(ftruncate(fileno(f), SMALL_FILE + 1), EFBIG, "a file of the program's");
}

static _Atomic bool creating;

static void *watch_the_limit(void *arg)
{
    struct rlimit now;

    while (creating && getrlimit(RLIMIT_FSIZE, &now) == 0)
        if (now.rlim_cur != SMALL_FILE)
            *(_Atomic rlim_t *)arg = now.rlim_cur;
    return NULL;
}

static void *create_many(void *name)
{
    for (int i = 0; i < 100; i++) {
        mq_close(new_queue(name, 100, 5000));
        must_work(mq_unlink(name), "mq_unlink");
    }
    return NULL;
}

/* The limit is all threads': none sees it raised, none is killed for another having lowered it. */
static void small_files_of_threads(void)
{
    _Atomic rlim_t seen = SMALL_FILE;
    pthread_t watcher, threads[4];
    static char names[4][3] = {"/a", "/b", "/c", "/d"};

    signal(SIGXFSZ, SIG_DFL);
    limit(RLIMIT_FSIZE, SMALL_FILE);
    creating = true;
    must(pthread_create(&watcher, NULL, watch_the_limit, &seen) == 0, "pthread_create");
    for (int i = 0; i < 4; i++)
        must(pthread_create(&threads[i], NULL, create_many, names[i]) == 0, "pthread_create");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    creating = false;
    pthread_join(watcher, NULL);
    must(seen == SMALL_FILE, "a thread saw the limit at %lu", (unsigned long)seen);
}

/* What may not be raised is an error, not the death of the program. */
static void only_small_files(void)
{
    sigset_t pending;

    signal(SIGXFSZ, SIG_DFL);
    if (geteuid() == 0) {
        must_work(setresgid(NOBODY, NOBODY, NOBODY), "setgid");
        must_work(setresuid(NOBODY, NOBODY, NOBODY), "setuid");
    }
    must_work(setrlimit(RLIMIT_FSIZE, &(struct rlimit){SMALL_FILE, SMALL_FILE}), "setrlimit");
    must_fail(open_queue("/q", O_CREAT | O_RDWR, 100, 5000), ENOSPC, "mq_open");
    must(files() <= 1, "%ld files left", files()); /* the registry */
    sigpending(&pending);
    must(!sigismember(&pending, SIGXFSZ), "SIGXFSZ is pending");
}

/* --- a control group ----------------------------------------------------------------------------
 */

static char group[PATH_MAX];

static bool write_to(const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    int fd;
    bool done;

    snprintf(path, sizeof(path), "%s/%s", group, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    done = fd >= 0 && write(fd, text, strlen(text)) > 0;
    close(fd);
    return done;
}

/* A group of 8 MiB, of the older or the newer kind. */
static bool make_group(void)
{
    static const char *const places[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
    static const char *const limits[] = {"memory.limit_in_bytes", "memory.max"};

    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof(group), "%s/mqx-test-%d", places[i], (int)getpid());
        if (mkdir(group, 0755) == 0 && write_to(limits[i], "8388608"))
            return true;
        rmdir(group);
    }
    return false;
}

#define LARGE 60000

/* Sends in a group without memory until it fails, or is killed for it; then another receives. */
static void a_group_without_memory(void)
{
    _Atomic long *sent = shared_memory(sizeof(*sent));
    mqd_t q = new_queue("/q", 1000, LARGE);
    pid_t child;
    int status;
    long came = 0;

    if (!make_group())
        skip("no control group of memory can be made: %s", strerror(errno));
    child = fork_child();
    if (child == 0) {
        if (!write_to("cgroup.procs", "0"))
            _exit(77);
        while (send_numbered(q, *sent, LARGE) == 0)
            ++*sent;
        must(errno == ENOMEM || errno == ENOSPC, "mq_send: %s", strerror(errno));
        _exit(0);
    }
    waitpid(child, &status, 0);
    for (int i = 0; i < 1000 && rmdir(group) != 0; i++) /* its last process may take a moment */
        nap(10000);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip("the control group cannot be entered");
    must(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), "status %#x",
         (unsigned)status);
    must(*sent > 20 && *sent < 200, "%ld messages of 60 KB in 8 MiB", (long)*sent);
    while (receive_numbered(q, came, LARGE))
        came++;
    must(came == *sent || (status != 0 && came == *sent + 1), "%ld messages sent, %ld came",
         (long)*sent, came);
    printf("# %ld messages, then %s\n", came, status == 0 ? "an error" : "killed");
    use_queue(q);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(address_space),          CASE(private_data),
        CASE(too_large_a_queue),      CASE(locked),
        CASE(not_to_be_locked),       CASE(small_files),
        CASE(small_files_of_threads), CASE(only_small_files),
        CASE(a_group_without_memory),
    };

    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
