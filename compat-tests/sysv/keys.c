/* Keys: which there are, what they lead to, and who comes first. */
#include "sysv.h"

#define RACERS 8
#define RACES  50

static void unusual(void **state)
{
    static const key_t keys[] = {1, INT_MAX, -1, INT_MIN, -2};
    size_t n = sizeof(keys) / sizeof(keys[0]);
    int q[5];

    (void)state;
    for (size_t i = 0; i < n; i++) {
        if (msgget(keys[i], 0) != -1 || errno != ENOENT) {
            print_message("skip: another program's queue has key %d\n", (int)keys[i]);
            skip();
        }
        q[i] = get(keys[i], IPC_CREAT | IPC_EXCL | 0600);
        put(q[i], 1 + (long)i, "text");
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(get(keys[i], 0), q[i]);
        expect(q[i], 0, 0, 1 + (long)i, "text");
    }
}

static int finds_by_ftok(void *arg)
{
    int q;

    (void)arg;
    must((q = msgget(ftok("/", 'q'), 0)) >= 0);
    must(send_text(q, 3, "by ftok", IPC_NOWAIT) == 0);
    return 0;
}

static void ftok_key(void **state)
{
    key_t k = ftok("/", 'q');
    int q;

    (void)state;
    assert_int_not_equal(k, -1);
    assert_int_not_equal(k, ftok("/", 'r'));
    q = get(k, IPC_CREAT | 0600);
    assert_int_equal(in_child(finds_by_ftok, NULL), 0);
    expect(q, 0, 0, 3, "by ftok");
}

/* The child's; nobody has it in use when the child is gone. */
static int creates_and_ends(void *arg)
{
    int q;

    (void)arg;
    must((q = msgget(key(0), IPC_CREAT | IPC_EXCL | 0600)) >= 0);
    must(send_text(q, 3, "left", IPC_NOWAIT) == 0);
    shared->number[0] = q;
    return 0;
}

static void persists(void **state)
{
    int q;

    (void)state;
    assert_int_equal(in_child(creates_and_ends, NULL), 0);
    q = get(key(0), 0);
    assert_int_equal(q, shared->number[0]);
    expect(q, 0, 0, 3, "left");
}

static void id_alone(void **state)
{
    int q;

    (void)state;
    assert_int_equal(in_child(creates_and_ends, NULL), 0);
    q = (int)shared->number[0];
    expect(q, 0, 0, 3, "left");
    ok(msgctl(q, IPC_RMID, NULL));
}

static void private_is_not_found(void **state)
{
    int q;

    (void)state;
    q = create();
    for (int i = 0; i < 5; i++)
        assert_int_not_equal(get(IPC_PRIVATE, 0), q);
}

/* --- after removal
 * --------------------------------------------------------------------------------- */

static void key_is_free(void **state)
{
    (void)state;
    ok(msgctl(get(key(0), IPC_CREAT | 0600), IPC_RMID, NULL));
    fails(msgget(key(0), 0), ENOENT);
    get(key(0), IPC_CREAT | IPC_EXCL | 0600);
}

static void new_id(void **state)
{
    int old, q;

    (void)state;
    old = get(key(0), IPC_CREAT | 0600);
    put(old, 1, "old");
    ok(msgctl(old, IPC_RMID, NULL));
    q = get(key(0), IPC_CREAT | 0600);
    assert_int_not_equal(q, old);
    expect_none(q, 0, 0);
}

/* An id is not used again soon. */
static void ids_differ(void **state)
{
    enum { TIMES = 200 };
    static int seen[TIMES];

    (void)state;
    for (int i = 0; i < TIMES; i++) {
        seen[i] = (int)ok(msgget(key(0), IPC_CREAT | IPC_EXCL | 0600));
        ok(msgctl(seen[i], IPC_RMID, NULL));
        for (int j = 0; j < i; j++)
            assert_int_not_equal(seen[i], seen[j]);
    }
}

/* The queue of another key is not concerned. */
static void others_stay(void **state)
{
    int a, b;

    (void)state;
    a = get(key(0), IPC_CREAT | 0600);
    b = get(key(1), IPC_CREAT | 0600);
    put(b, 1, "stays");
    ok(msgctl(a, IPC_RMID, NULL));
    assert_int_equal(get(key(1), 0), b);
    expect(b, 0, 0, 1, "stays");
}

/* --- races
 * ------------------------------------------------------------------------------------------- */

static void run_racers(int (*f)(void *))
{
    pid_t pid[RACERS];

    for (intptr_t i = 0; i < RACERS; i++)
        pid[i] = spawn(f, (void *)i);
    for (int i = 0; i < RACERS; i++)
        assert_int_equal(reap(pid[i]), 0);
}

/* All begin a turn together. */
static void line_up(int turn)
{
    shared->ready++;
    while (shared->ready < RACERS * (turn + 1))
        usleep(1);
}

static int creates_together(void *arg)
{
    for (int turn = 0; turn < RACES; turn++) {
        int q;

        line_up(2 * turn);
        must((q = msgget(key(turn % KEYS), IPC_CREAT | 0600)) >= 0);
        shared->number[(intptr_t)arg] = q;
        line_up(2 * turn + 1);
        for (int i = 0; i < RACERS; i++)
            must(shared->number[i] == q);
        if (turn % RACERS == (intptr_t)arg) {
            must(msgctl(q, IPC_RMID, NULL) == 0);
        } else {
            while (msgget(key(turn % KEYS), 0) == q)
                usleep(1);
        }
    }
    return 0;
}

static void one_is_created(void **state)
{
    (void)state;
    run_racers(creates_together);
}

static int creates_alone(void *arg)
{
    (void)arg;
    for (int turn = 0; turn < RACES; turn++) {
        int q;

        line_up(2 * turn);
        q = msgget(key(0), IPC_CREAT | IPC_EXCL | 0600);
        must(q >= 0 || msgget(key(0), IPC_CREAT | IPC_EXCL | 0600) != -1 || errno == EEXIST);
        shared->done += q >= 0;
        line_up(2 * turn + 1);
        must(shared->done == turn + 1);
        if (q >= 0)
            must(msgctl(q, IPC_RMID, NULL) == 0);
    }
    return 0;
}

static void one_has_it(void **state)
{
    (void)state;
    run_racers(creates_alone);
}

/* Created and removed without pause: who finds a queue finds a whole one, or none. */
static int come_and_go(void *arg)
{
    for (int i = 0; i < 20 * RACES; i++) {
        int q = msgget(key(0), ((intptr_t)arg % 2 ? IPC_CREAT : 0) | 0600);
        struct msqid_ds ds;

        must(q >= 0 || msgget(key(1), 0) == -1);
        if (q < 0)
            continue;
        must(msgctl(q, IPC_STAT, &ds) == 0 ? ds.msg_perm.__key == key(0) && ds.msg_perm.mode == 0600
                                           : errno == EINVAL || errno == EIDRM);
        must(msgctl(q, IPC_RMID, NULL) == 0 || errno == EINVAL || errno == EIDRM);
    }
    return 0;
}

static void whole_or_none(void **state)
{
    (void)state;
    run_racers(come_and_go);
    fails(msgget(key(0), 0), ENOENT);
}

int group_keys(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("sysvipc(7): any value of key_t is a key, but IPC_PRIVATE's", unusual),
        SAYS("ftok(3): two processes meet by the same pathname and proj_id", ftok_key),
        SAYS("sysvipc(7): a queue stays when the process that created it ends", persists),
        SAYS("sysvipc(7): an identifier is valid in every process", id_alone),
        SAYS("msgget(2): IPC_PRIVATE is not a key by which a queue is found", private_is_not_found),
        SAYS("POSIX: IPC_RMID removes the identifier: its key is free", key_is_free),
        SAYS("sysvipc(7): the queue that has the key next is another one", new_id),
        SAYS("Linux: the identifiers of one key's queues differ, time after time", ids_differ),
        SAYS("POSIX: IPC_RMID concerns the queue with that identifier alone", others_stay),
        SAYS("msgget(2): of processes that create with IPC_CREAT at once, all get one queue",
             one_is_created),
        SAYS("msgget(2): of processes that create with IPC_EXCL at once, one succeeds", one_has_it),
        SAYS("POSIX: who obtains a queue while others create and remove it gets it whole",
             whole_or_none),
    };

    return RUN("keys", tests);
}
