/* Who may open whose queue: the mode, owner and group, of users that are not root. */
#include "users.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/stat.h>

const struct user owner = {65534, 65534, 0}, other = {65533, 65533, 0}, third = {65532, 65532, 0},
                  member = {65533, 65534, 0}, supplementary = {65533, 65533, 65534};

void become(const struct user *u)
{
    sigset_t none;

    sigemptyset(&none);
    must(sigprocmask(SIG_SETMASK, &none, NULL) == 0); /* whatever other cases did */
    must(setgroups(u->also ? 1 : 0, &u->also) == 0);
    must(setgid(u->gid) == 0);
    must(setuid(u->uid) == 0);
}

struct role {
    const struct user *user;
    void (*f)(void);
};

static int play(void *arg)
{
    const struct role *r = arg;

    become(r->user);
    r->f();
    return 0;
}

pid_t spawn_as(const struct user *u, void (*f)(void))
{
    struct role r = {u, f};

    return spawn(play, &r);
}

void as(const struct user *u, void (*f)(void))
{
    assert_int_equal(reap(spawn_as(u, f)), 0);
}

static mode_t created_mode;
static struct mq_attr created_attr;

static void create_it(void)
{
    umask(0);
    must(mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, created_mode, &created_attr) != -1);
}

void owner_creates(mode_t mode, long maxmsg, long msgsize)
{
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
    created_mode = mode;
    created_attr = (struct mq_attr){.mq_maxmsg = maxmsg, .mq_msgsize = msgsize};
    as(&owner, create_it);
}

/* --- modes --------------------------------------------------------------------------------------
 */

static unsigned bits; /* of the mode, that count for the user */

static void open_all_ways(void)
{
    static const int access[] = {O_RDONLY, O_WRONLY, O_RDWR};
    static const unsigned needs[] = {4, 2, 6};

    for (int i = 0; i < 3; i++) {
        mqd_t q = mq_open(name(0), access[i] | O_NONBLOCK);
        char c[32];

        if ((bits & needs[i]) != needs[i]) {
            must(q == -1);
            must(mq_open(name(0), access[i]) == -1 && errno == EACCES);
            must(mq_open(name(0), access[i] | O_CREAT, 0666, NULL) == -1 && errno == EACCES);
            continue;
        }
        must(q != -1);
        must(mq_send(q, "x", 1, 0) == (needs[i] & 2 ? 0 : -1));
        must(needs[i] & 2 || (mq_send(q, "x", 1, 0) == -1 && errno == EBADF));
        must(needs[i] & 4 || (mq_receive(q, c, sizeof(c), NULL) == -1 && errno == EBADF));
        must(!(needs[i] & 4) || mq_receive(q, c, sizeof(c), NULL) == 1 || errno == EAGAIN);
        must(mq_close(q) == 0);
        q = mq_open(name(0), access[i] | O_CREAT, 0, NULL);
        must(q != -1 && mq_close(q) == 0);
    }
}

static void with_mode(void **state)
{
    mode_t mode = (mode_t)(intptr_t)*state;

    owner_creates(mode, 5, 32);
    bits = mode >> 6;
    as(&owner, open_all_ways);
    bits = mode >> 3;
    as(&member, open_all_ways);
    as(&supplementary, open_all_ways);
    bits = mode;
    as(&other, open_all_ways);
}

/* --- identity at the time of the call -----------------------------------------------------------
 */

static void changes(void **state)
{
    (void)state;
    owner_creates(0600, 1, 32);
    ok(seteuid(other.uid));
    fails(mq_open(name(0), O_RDWR), EACCES);
    ok(seteuid(0));
    ok(mq_close((mqd_t)ok(mq_open(name(0), O_RDWR))));
    ok(seteuid(owner.uid));
    ok(mq_close((mqd_t)ok(mq_open(name(0), O_RDWR))));
    ok(seteuid(0));
}

static void open_then_change(void)
{
    mqd_t q;

    must(seteuid(other.uid) == 0);
    q = mq_open(name(0), O_RDWR | O_NONBLOCK);
    must(q != -1);
    must(mq_send(q, "by other", 8, 0) == 0);
    must(seteuid(0) == 0 && seteuid(third.uid) == 0);
    must(mq_send(q, "by third", 8, 0) == 0);
    must(seteuid(0) == 0);
    must(mq_send(q, "by root", 7, 0) == 0);
}

static const struct user root; /* all zero */

static void keeps(void **state)
{
    mqd_t q;

    (void)state;
    owner_creates(0666, 5, 32);
    as(&root, open_then_change);
    q = reopen(O_RDWR);
    expect(q, "by other", 0);
    expect(q, "by third", 0);
    expect(q, "by root", 0);
}

static void root_uses(void **state)
{
    mqd_t q;

    (void)state;
    owner_creates(0, 5, 32);
    q = reopen(O_RDWR);
    put(q, "x", 3);
    expect(q, "x", 3);
}

static void try_group_only(void)
{
    must(mq_open(name(0), O_RDONLY) == -1 && errno == EACCES);
}

static void group_denies(void **state)
{
    (void)state;
    owner_creates(0606, 1, 32);
    as(&member, try_group_only);
    as(&supplementary, try_group_only);
}

/* --- creating and removing ----------------------------------------------------------------------
 */

static void create_over(void)
{
    struct mq_attr attr = {.mq_maxmsg = 3, .mq_msgsize = 16};
    mqd_t q;

    must(mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0600, &attr) == -1 && errno == EEXIST);
    must(mq_open(name(0), O_WRONLY | O_RDWR) == -1 && errno == EINVAL);
    q = mq_open(name(0), O_CREAT | O_RDWR, 0600, &attr);
    must(q != -1);
    must(mq_getattr(q, &attr) == 0 && attr.mq_maxmsg == 5 && attr.mq_msgsize == 32);
}

static void over(void **state)
{
    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, create_over);
}

static void remove_it(void)
{
    must(mq_unlink(name(0)) == -1 && errno == EACCES);
    must(mq_open(name(0), O_RDWR) != -1);
}

static void no_removal(void **state)
{
    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, remove_it);
}

static void use_unlinked(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);
    char c[32];

    must(q != -1);
    shared->ready = 1;
    while (!shared->done)
        usleep(1000);
    must(mq_open(name(0), O_RDWR) == -1 && errno == ENOENT);
    must(mq_receive(q, c, sizeof(c), NULL) == 3 && memcmp(c, "old", 3) == 0);
    must(mq_send(q, "on", 2, 0) == 0);
    must(mq_receive(q, c, sizeof(c), NULL) == 2);
}

static void unlinked(void **state)
{
    pid_t pid;

    (void)state;
    owner_creates(0666, 5, 32);
    put(reopen(O_RDWR), "old", 0);
    pid = spawn_as(&other, use_unlinked);
    await(shared->ready);
    ok(mq_unlink(name(0)));
    shared->done = 1;
    assert_int_equal(reap(pid), 0);
}

static void change_mode(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);

    must(q != -1);
    must(fchmod(q, 0600) == -1 && errno == EPERM);
}

static void owner_changes_mode(void)
{
    mqd_t q = mq_open(name(0), O_RDWR);

    must(q != -1 && fchmod(q, 0622) == 0);
}

static void mode_changes(void **state)
{
    (void)state;
    owner_creates(0666, 5, 32);
    as(&other, change_mode);
    as(&owner, owner_changes_mode);
    bits = 2;
    as(&other, open_all_ways);
}

static void without_capabilities(void)
{
    must(become_capable(0, 0));
    open_all_ways();
}

static void capability_alone(void)
{
    must(become_capable(other.uid, UINT64_C(1) << CAP_DAC_OVERRIDE));
    open_all_ways();
}

static int plays(void *f)
{
    (*(void (**)(void))f)();
    return 0;
}

static void capabilities(void **state)
{
    void (*mere_root)(void) = without_capabilities, (*overrides)(void) = capability_alone;

    (void)state;
    owner_creates(0660, 5, 32);
    if (!capable(CAP_DAC_OVERRIDE)) {
        print_message("skip: without CAP_DAC_OVERRIDE\n");
        skip();
    }
    bits = 0;
    assert_int_equal(in_child(plays, &mere_root), 0);
    bits = 6;
    assert_int_equal(in_child(plays, &overrides), 0);
}

static void look_at_it(void)
{
    mqd_t q = mq_open(name(0), O_RDONLY);
    struct stat st;

    must(q != -1 && fstat(q, &st) == 0);
    must(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0644);
    must(st.st_uid == owner.uid && st.st_gid == owner.gid && st.st_size == 80);
}

static void seen(void **state)
{
    (void)state;
    owner_creates(0644, 5, 32);
    as(&other, look_at_it);
}

int group_users(void)
{
    const struct CMUnitTest tests[] = {
        CALL("mq_open(3): EACCES: mode 0600 lets in its owner alone", with_mode, 0600),
        CALL("mq_open(3): mode 0622: others send, and do not receive", with_mode, 0622),
        CALL("mq_open(3): mode 0644: others receive, and do not send", with_mode, 0644),
        CALL("mq_open(3): mode 0660: members of its group, also by a further group", with_mode,
             0660),
        CALL("mq_open(3): mode 0640: the group receives", with_mode, 0640),
        CALL("mq_open(3): mode 0620: the group sends", with_mode, 0620),
        CALL("mq_open(3): mode 0666: everybody", with_mode, 0666),
        CALL("mq_open(3): mode 0642: each class of users its own", with_mode, 0642),
        CALL("mq_open(3): mode 0046: not its owner", with_mode, 0046),
        CALL("mq_open(3): mode 0: nobody", with_mode, 0),
        SAYS("POSIX: where the group's permissions deny, others' do not allow", group_denies),
        SAYS("POSIX: it is the effective user id at the call that is checked", changes),
        SAYS("POSIX: what was opened stays open to a process that changes its user", keeps),
        SAYS("capabilities(7): root may use everybody's queues", root_uses),
        SAYS("capabilities(7): CAP_DAC_OVERRIDE counts for others' queues, not being root",
             capabilities),
        SAYS("mq_open(3): O_CREAT opens another user's queue as it is", over),
        SAYS("mq_unlink(3): EACCES for another user's queue, whatever its mode", no_removal),
        SAYS("mq_unlink(3): who has it open uses another user's unlinked queue", unlinked),
        SAYS("fchmod(2): EPERM for others; what the owner sets counts for them", mode_changes),
        SAYS("fstat(2): another user's queue shows its owner, group and mode", seen),
    };

    return RUN("users", tests);
}
