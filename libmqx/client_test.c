/* Client numbers: distinct, never the same owner twice, and they die with their process. */
#include "client.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "format.h"
#include "testing.h"

static uint64_t self_of(uid_t user)
{
    int error = 0;
    struct mqxi_identity *me = mqxi_client_self(user, &error);

    if (!me)
        FAIL("no client number: %s", strerror(-error));
    CHECK(atomic_load(&me->owner) != 0);
    return atomic_load(&me->owner);
}

static uint64_t self(void)
{
    return self_of(geteuid());
}

static bool alive(uint64_t owner)
{
    return mqxi_client_alive(geteuid(), owner);
}

static void registry(char *path)
{
    char name[16];

    snprintf(name, sizeof(name), "%u", geteuid());
    IS(mqxi_path(MQXI_CLIENTS, name, path), 0);
}

/* Children that tell their owner id and live on until they are told otherwise. */
struct report {
    _Atomic uint64_t owner;
    _Atomic bool go;
};

static void join_and_live(void *arg)
{
    struct report *r = arg;

    atomic_store(&r->owner, self());
    for (;;)
        pause();
}

static uint64_t reported(struct report *r)
{
    WAIT_FOR(atomic_load(&r->owner) != 0);
    return atomic_load(&r->owner);
}

static void *join_in_thread(void *arg)
{
    *(uint64_t *)arg = self();
    return NULL;
}

/* --- who is who ------------------------------------------------------------------------------- */

static void one_for_each_process(void)
{
    struct report *r = shared(2 * sizeof(*r));
    uint64_t me, thread;
    pthread_t t;
    pid_t child[2];

    IS(mqxi_dirs_make(), 0);
    child[0] = start(join_and_live, &r[0]); /* before we have one */
    me = self();
    IS(self(), me);
    child[1] = start(join_and_live, &r[1]); /* and after */
    CHECK(reported(&r[0]) != me && reported(&r[1]) != me);
    CHECK(reported(&r[0]) != reported(&r[1]));
    IS(self(), me);
    IS(pthread_create(&t, NULL, join_in_thread, &thread), 0);
    IS(pthread_join(t, NULL), 0);
    IS(thread, me);
    CHECK(me >> MQXI_GEN_BITS < MQXI_CLIENTS_MAX);
    CHECK((me & MQXI_GEN_MAX) > 0);
    IS(mqxi_identities[geteuid() % MQXI_IDENTITIES].pid, getpid());
    murder(child[0]);
    murder(child[1]);
}

static void *join_at_once(void *arg)
{
    pthread_barrier_wait(arg);
    return (void *)(uintptr_t)self();
}

/* Threads that make the first call at the same time agree. */
static void one_for_all_threads(void)
{
    pthread_barrier_t barrier;
    pthread_t thread[8];
    void *owner[8];

    IS(mqxi_dirs_make(), 0);
    pthread_barrier_init(&barrier, NULL, 8);
    for (int i = 0; i < 8; i++)
        IS(pthread_create(&thread[i], NULL, join_at_once, &barrier), 0);
    for (int i = 0; i < 8; i++)
        IS(pthread_join(thread[i], &owner[i]), 0);
    for (int i = 0; i < 8; i++)
        CHECK(owner[i] == owner[0]);
    CHECK(alive((uintptr_t)owner[0]));
}

static void one_for_each_user_served(void)
{
    uint64_t owners[4];
    char path[PATH_MAX], name[16];
    struct stat st;

    if (geteuid() != 0)
        SKIP("needs root, who serves several users");
    IS(mqxi_dirs_make(), 0);
    /* Three of these share their place in the page of identities. */
    owners[0] = self_of(5);
    owners[1] = self_of(5 + MQXI_IDENTITIES);
    owners[2] = self_of(5 + 2 * MQXI_IDENTITIES);
    owners[3] = self_of(6);
    IS(self_of(5), owners[0]);
    IS(self_of(5 + MQXI_IDENTITIES), owners[1]);
    IS(self_of(5 + 2 * MQXI_IDENTITIES), owners[2]);
    IS(self_of(6), owners[3]);
    snprintf(name, sizeof(name), "%u", 5 + MQXI_IDENTITIES);
    IS(mqxi_path(MQXI_CLIENTS, name, path), 0);
    IS(stat(path, &st), 0);
    IS(st.st_uid, 5 + MQXI_IDENTITIES); /* so that the user can use it too */
    IS(st.st_mode & 0777, 0600);
    CHECK(mqxi_client_alive(5 + MQXI_IDENTITIES, owners[1]));
}

/* What a queue says is its registry is input, and a server has room for so many. */
static void few_registries_a_user(void)
{
    IS(mqxi_dirs_make(), 0);
    for (uint32_t i = 0; i < MQXI_REGISTRIES_EACH; i++)
        IS(mqxi_client_renew(7000 + i, 7000), 0);
    IS(mqxi_client_renew(7000 + MQXI_REGISTRIES_EACH, 7000), -EBADMSG);
    IS(mqxi_client_renew(7000, 7000), 0);
    IS(mqxi_client_renew(8000, 8000), 0);
}

static void numbers_for_a_crowd(void)
{
    enum { CROWD = SANITIZED ? 300 : 1200 };
    struct report *r = shared(CROWD * sizeof(*r));
    static bool taken[MQXI_CLIENTS_MAX];
    static pid_t child[CROWD];

    IS(mqxi_dirs_make(), 0);
    for (int i = 0; i < CROWD; i++)
        child[i] = start(join_and_live, &r[i]);
    for (int i = 0; i < CROWD; i++) {
        uint64_t number = reported(&r[i]) >> MQXI_GEN_BITS;

        CHECK(number < MQXI_CLIENTS_MAX);
        CHECK(!taken[number]);
        taken[number] = true;
    }
    for (int i = 0; i < CROWD; i++)
        CHECK(alive(reported(&r[i])));
    for (int i = 0; i < CROWD; i++)
        murder(child[i]);
    for (int i = 0; i < CROWD; i++)
        CHECK(!alive(reported(&r[i])));
}

/* --- life and death --------------------------------------------------------------------------- */

static void dies_with_its_process(void)
{
    struct report *r = shared(sizeof(*r));
    pid_t child;
    uint64_t owner;

    IS(mqxi_dirs_make(), 0);
    child = start(join_and_live, r);
    owner = reported(r);
    CHECK(alive(owner));
    kill(child, SIGSTOP);
    CHECK(alive(owner)); /* stopped is not dead */
    murder(child);
    CHECK(!alive(owner));
}

/* A process that has a child of its own, which outlives it. */
static void join_and_have_a_child(void *arg)
{
    struct report *r = arg;

    atomic_store(&r[0].owner, self());
    if (fork() == 0)
        join_and_live(&r[1]);
    for (;;)
        pause();
}

static void dies_though_its_child_lives(void)
{
    struct report *r = shared(2 * sizeof(*r));
    pid_t child;

    IS(mqxi_dirs_make(), 0);
    child = start(join_and_have_a_child, r);
    reported(&r[1]);
    CHECK(alive(reported(&r[0])));
    murder(child);
    CHECK(!alive(reported(&r[0])));
    CHECK(alive(reported(&r[1])));
}

static void close_all_and_live(void *arg)
{
    struct report *r = arg;
    uint64_t owner = self();

    for (int fd = 0; fd < 1000; fd++)
        close(fd);
    syscall(SYS_close_range, 0, ~0u, 0);
    IS(self(), owner);
    atomic_store(&r->owner, owner);
    for (;;)
        pause();
}

/* As daemons do. */
static void lives_without_descriptors(void)
{
    struct report *r = shared(sizeof(*r));
    pid_t child;

    IS(mqxi_dirs_make(), 0);
    child = start(close_all_and_live, r);
    CHECK(alive(reported(r)));
    murder(child);
    CHECK(!alive(reported(r)));
}

static void join_and_exec(void *arg)
{
    struct report *r = arg;

    atomic_store(&r->owner, self());
    WAIT_FOR(atomic_load(&r->go));
    execlp("sleep", "sleep", "1000", (char *)NULL);
    FAIL("exec: %s", strerror(errno));
}

/* Another program is another owner. */
static void dies_by_exec(void)
{
    struct report *r = shared(sizeof(*r));
    pid_t child;

    IS(mqxi_dirs_make(), 0);
    child = start(join_and_exec, r);
    CHECK(alive(reported(r)));
    atomic_store(&r->go, true);
    WAIT_FOR(!alive(reported(r)));
    murder(child);
}

static void holds_no_descriptor(void)
{
    int before, after;

    IS(mqxi_dirs_make(), 0);
    before = open("/dev/null", O_RDONLY);
    self();
    after = open("/dev/null", O_RDONLY);
    IS(after, before + 1);
}

static void never_taken_is_dead(void)
{
    uint64_t me;

    CHECK(alive(UINT64_C(3) << MQXI_GEN_BITS | 1)); /* no registry: it cannot be told */
    IS(mqxi_dirs_make(), 0);
    me = self();
    CHECK(!alive(0));
    CHECK(!alive((uint64_t)MQXI_CLIENTS_MAX << MQXI_GEN_BITS | 1));
    CHECK(!alive(MQXI_CTL_OWNER));
    CHECK(!alive(me + 1));
    CHECK(!alive(me - 1));
    CHECK(alive(me));
}

static void ask_as_nobody(void *arg)
{
    uint64_t owner = *(uint64_t *)arg;

    IS(setuid(65534), 0);
    CHECK(mqxi_client_alive(0, owner));
    CHECK(mqxi_client_alive(0, owner + 1)); /* cannot be told: nothing is taken from it */
}

static void alive_where_it_cannot_be_told(void)
{
    uint64_t me;

    if (geteuid() != 0)
        SKIP("needs root, to become another user");
    IS(mqxi_dirs_make(), 0);
    me = self();
    finish(start(ask_as_nobody, &me));
}

/* --- numbers are used again ------------------------------------------------------------------- */

/* Keep everybody from all numbers from .. from + count - 1. */
static int block(uint32_t from, uint32_t count)
{
    struct flock lock = {.l_type = F_WRLCK, .l_start = from, .l_len = count};
    char path[PATH_MAX];
    int fd;

    registry(path);
    fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    if (count > 0)
        IS(fcntl(fd, F_OFD_SETLK, &lock), 0);
    return fd;
}

static void generations(void)
{
    struct report *r = shared(4 * sizeof(*r));
    uint64_t first, number;
    pid_t child;

    IS(mqxi_dirs_make(), 0);
    child = start(join_and_live, &r[0]);
    first = reported(&r[0]);
    number = first >> MQXI_GEN_BITS;
    murder(child);
    if (number > 0)
        block(0, (uint32_t)number);
    if (number + 1 < MQXI_CLIENTS_MAX)
        block((uint32_t)number + 1, MQXI_CLIENTS_MAX - (uint32_t)number - 1);
    for (int i = 1; i < 4; i++) {
        child = start(join_and_live, &r[i]);
        IS(reported(&r[i]), first + (uint64_t)i);
        CHECK(alive(first + (uint64_t)i));
        for (int j = 0; j < i; j++)
            CHECK(!alive(first + (uint64_t)j));
        murder(child);
    }
}

static void join_in_vain(void *unused)
{
    int error = 0;

    (void)unused;
    CHECK(mqxi_client_self(geteuid(), &error) == NULL);
    IS(error, -EUSERS);
}

static void all_numbers_taken(void)
{
    struct report *r = shared(sizeof(*r));
    pid_t child;
    int fd;

    IS(mqxi_dirs_make(), 0);
    child = start(join_and_live, r);
    reported(r);
    murder(child);
    fd = block(0, MQXI_CLIENTS_MAX);
    finish(start(join_in_vain, NULL));
    close(fd);
    CHECK(alive(self()));
}

static void damaged_registry(void)
{
    static const char garbage[16] = "no registry here";
    char path[PATH_MAX], named[PATH_MAX];
    int error = 0, fd;

    IS(mqxi_dirs_make(), 0);
    registry(path);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK(fd >= 0);
    IS(write(fd, garbage, sizeof(garbage)), sizeof(garbage));
    CHECK(mqxi_client_self(geteuid(), &error) == NULL);
    IS(error, -EBADMSG);
    CHECK(mqxi_client_unusable(named) && strcmp(named, path) == 0);
    CHECK(!mqxi_client_unusable(named)); /* it is told once */
    IS(unlink(path), 0);
    IS(symlink("/dev/null", path), 0);
    CHECK(mqxi_client_self(geteuid(), &error) == NULL);
    IS(error, -EBADMSG);
    IS(mqxi_client_renew(geteuid(), geteuid()), -EBADMSG);
    CHECK(mqxi_client_unusable(named) && strcmp(named, path) == 0);
    IS(unlink(path), 0);
    CHECK(alive(self()));
    /* A queue that names another user's registry is itself what is wrong. */
    snprintf(strrchr(path, '/'), 20, "/%u", geteuid() + 1);
    IS(symlink("/dev/null", path), 0);
    IS(mqxi_client_renew(geteuid() + 1, geteuid()), -EBADMSG);
    CHECK(!mqxi_client_unusable(named));
}

static void no_descriptor_free(void)
{
    struct rlimit limit, none;
    int error = 0;

    IS(mqxi_dirs_make(), 0);
    IS(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 0;
    IS(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK(mqxi_client_self(geteuid(), &error) == NULL);
    IS(error, -EMFILE);
    IS(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK(alive(self()));
}

/* Somebody cleaned $MQX_DIR: our lock is on a file that nobody finds. */
static void renewed_when_the_registry_was_removed(void)
{
    char path[PATH_MAX];
    uint64_t first, second;

    IS(mqxi_dirs_make(), 0);
    first = self();
    mqxi_client_renew(geteuid(), geteuid());
    IS(self(), first);
    registry(path);
    IS(unlink(path), 0);
    mqxi_client_renew(geteuid(), geteuid());
    second = self();
    CHECK(alive(second));
    IS(access(path, R_OK), 0);
    mqxi_client_renew(geteuid(), geteuid());
    IS(self(), second);
}

/* Whoever knows our user id can put something else under each name that follows from it. */
static void names_that_are_taken(void)
{
    uint32_t registry = 0, again = 0;
    char name[16], path[PATH_MAX];

    IS(mqxi_dirs_make(), 0);
    for (unsigned i = 0; i < 2 * MQXI_REGISTRIES; i++) {
        IS(mqxi_client_registry(geteuid(), &registry), 0);
        IS(mqxi_client_registry(geteuid(), &again), 0);
        IS(again, registry);
        snprintf(name, sizeof(name), "%u", registry);
        IS(mqxi_path(MQXI_CLIENTS, name, path), 0);
        IS(unlink(path), 0);
        IS(mkdir(path, 0700), 0);
    }
    IS(mqxi_client_registry(geteuid(), &registry), 0);
    IS(mqxi_client_renew(registry, geteuid()), 0);
    CHECK(mqxi_client_alive(registry, self_of(registry)));
}

static void join_when_told(void *arg)
{
    struct report *r = arg;

    WAIT_FOR(atomic_load(&r->go));
    join_and_live(r);
}

static void join_and_compare(void *owner)
{
    int error = 0;

    /* A number of the other registry would say nothing to users of the queues that we have. */
    CHECK(mqxi_client_self(geteuid(), &error) == NULL);
    IS(error, -ESTALE);
    mqxi_client_renew(geteuid(), geteuid()); /* a queue is attached: it is of the new directory */
    CHECK(self() != *(uint64_t *)owner);
}

/* The registry was replaced by another: that one knows nothing about the owners we know. */
static void another_registry_says_nothing(void)
{
    struct report *r = shared(2 * sizeof(*r));
    char path[PATH_MAX];
    pid_t child, stranger;
    uint64_t dead, me;

    IS(mqxi_dirs_make(), 0);
    stranger = start(join_when_told, &r[1]); /* which has not seen the first registry */
    child = start(join_and_live, &r[0]);
    dead = reported(&r[0]);
    murder(child);
    me = self();
    CHECK(alive(me) && !alive(dead));
    registry(path);
    IS(unlink(path), 0);
    CHECK(alive(me) && alive(dead)); /* as far as we can tell */
    atomic_store(&r[1].go, true);
    reported(&r[1]);
    CHECK(alive(me) && alive(dead));
    IS(self(), me);
    finish(start(join_and_compare, &me));
    mqxi_client_renew(geteuid(), geteuid());
    CHECK(alive(self()) && alive(reported(&r[1])));
    murder(stranger);
    CHECK(!alive(reported(&r[1])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(one_for_each_process),
        UNIT(one_for_all_threads),
        UNIT(one_for_each_user_served),
        UNIT(few_registries_a_user),
        UNIT(numbers_for_a_crowd),
        UNIT(dies_with_its_process),
        UNIT(dies_though_its_child_lives),
        UNIT(lives_without_descriptors),
        UNIT(dies_by_exec),
        UNIT(holds_no_descriptor),
        UNIT(never_taken_is_dead),
        UNIT(alive_where_it_cannot_be_told),
        UNIT(generations),
        UNIT(all_numbers_taken),
        UNIT(damaged_registry),
        UNIT(no_descriptor_free),
        UNIT(renewed_when_the_registry_was_removed),
        UNIT(another_registry_says_nothing),
        UNIT(names_that_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
