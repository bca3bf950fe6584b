/* Several users: what each may do with another's queue. */
#include "sysv.h"

#include <grp.h>
#include <linux/capability.h>

/* USER has created it, with this mode; its group is USER's, too. */
static int user_creates(void *arg)
{
    become(USER);
    shared->number[0] = msgget(key(0), IPC_CREAT | IPC_EXCL | *(int *)arg);
    must(shared->number[0] >= 0);
    return 0;
}

static int of_mode(int mode)
{
    need_root();
    assert_int_equal(in_child(user_creates, &mode), 0);
    return get(key(0), 0);
}

enum who { OWNER, MEMBER, STRANGER };

struct attempt {
    int q;
    enum who who;
    bool reads, writes; /* what it may */
};

/* Errno of each call, if it fails. */
static void must_be(int result, bool allowed)
{
    must(allowed ? result != -1 : result == -1);
}

static int attempts(void *arg)
{
    const struct attempt *a = arg;
    struct msqid_ds ds;
    struct message m;

    must(setgroups(0, NULL) == 0 && setgid(a->who == STRANGER ? OTHER : USER) == 0 &&
         setuid(a->who == OWNER ? USER : OTHER) == 0);
    must_be(msgget(key(0), 0400), a->reads);
    must_be(msgget(key(0), 0200), a->writes);
    must_be(msgget(key(0), 0600), a->reads && a->writes);
    must(a->writes || (msgget(key(0), 0200) == -1 && errno == EACCES));
    must(a->reads || (msgget(key(0), 0400) == -1 && errno == EACCES));
    must(a->writes ? send_text(a->q, 1, "text", IPC_NOWAIT) == 0
                   : send_text(a->q, 1, "text", IPC_NOWAIT) == -1 && errno == EACCES);
    must(a->reads ? msgrcv(a->q, &m, 32, 0, IPC_NOWAIT) == 4
                  : msgrcv(a->q, &m, 32, 0, IPC_NOWAIT) == -1 && errno == EACCES);
    must(a->reads ? msgctl(a->q, IPC_STAT, &ds) == 0
                  : msgctl(a->q, IPC_STAT, &ds) == -1 && errno == EACCES);
    return 0;
}

/* With a message in it, for who may read only. */
static void check(int mode, enum who who, bool reads, bool writes)
{
    struct attempt a = {of_mode(mode), who, reads, writes};

    put(a.q, 1, "text");
    assert_int_equal(in_child(attempts, &a), 0);
    ok(msgctl(a.q, IPC_RMID, NULL));
}

static void owners(void **state)
{
    (void)state;
    check(0600, OWNER, true, true);
    check(0400, OWNER, true, false);
    check(0200, OWNER, false, true);
    check(0, OWNER, false, false);
}

static void owners_alone(void **state)
{
    (void)state;
    check(0066, OWNER, false, false);
    check(0466, OWNER, true, false);
}

static void strangers_not(void **state)
{
    (void)state;
    check(0600, STRANGER, false, false);
    check(0660, STRANGER, false, false);
}

/* --- the calls that need the owner
 * ----------------------------------------------------------------------- */

static int stranger_controls(void *arg)
{
    struct msqid_ds ds = {.msg_qbytes = 10, .msg_perm = {.uid = OTHER, .gid = OTHER, .mode = 0666}};
    int q = *(int *)arg;

    become(OTHER);
    must_fail(msgctl(q, IPC_SET, &ds), EPERM);
    must_fail(msgctl(q, IPC_RMID, NULL), EPERM);
    must(msgget(key(0), 0) == q);
    return 0;
}

static void not_the_owner(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    assert_int_equal(in_child(stranger_controls, &q), 0);
    assert_int_equal(status(q).msg_perm.uid, USER);
}

static void not_by_mode(void **state)
{
    int q;

    (void)state;
    q = of_mode(0666);
    assert_int_equal(in_child(stranger_controls, &q), 0);
}

/* Without asking for permissions, anybody gets the identifier of a key. */
static int stranger_gets(void *arg)
{
    become(OTHER);
    must(msgget(key(0), 0) == *(int *)arg);
    must(msgget(key(0), IPC_CREAT) == *(int *)arg);
    must_fail(msgget(key(0), IPC_CREAT | IPC_EXCL), EEXIST);
    must_fail(msgget(key(0), IPC_CREAT | 0600), EACCES);
    must_fail(msgget(key(0), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    return 0;
}

static void asks_for_nothing(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    assert_int_equal(in_child(stranger_gets, &q), 0);
}

/* --- a queue that is given away
 * ----------------------------------------------------------------------------- */

static int creator(void *arg)
{
    int q = *(int *)arg;

    become(USER);
    must(send_text(q, 1, "text", IPC_NOWAIT) == 0); /* the owner's permissions are the creator's */
    must(msgctl(q, IPC_RMID, NULL) == 0);
    return 0;
}

static int given_away(void)
{
    int q = of_mode(0600);
    struct msqid_ds ds = status(q);

    ds.msg_perm.uid = OTHER;
    ok(msgctl(q, IPC_SET, &ds));
    return q;
}

static void creator_uses_and_removes(void **state)
{
    int q;

    (void)state;
    q = given_away();
    assert_int_equal(in_child(creator, &q), 0);
    fails(msgget(key(0), 0), ENOENT);
}

static void root_removes(void **state)
{
    int q;

    (void)state;
    q = of_mode(0600);
    put(q, 1, "text");
    set_mode(q, 0400);
    ok(msgctl(q, IPC_RMID, NULL));
    fails(msgget(key(0), 0), ENOENT);
}

/* --- capabilities -------------------------------------------------------------------------------
 */

/* On a queue of its own with no permissions at all; with this capability alone. */
struct holder {
    uid_t user;
    int capability;
};

#define BIT(capability) (UINT64_C(1) << (capability))

static int holder_uses(void *arg)
{
    const struct holder *h = arg;
    bool allowed = h->capability == CAP_IPC_OWNER;
    struct message m;
    int q;

    must(become_capable(h->user, BIT(h->capability)));
    q = msgget(key(0), IPC_CREAT | IPC_EXCL);
    must(q >= 0);
    must_be(msgget(key(0), 0600), allowed);
    must(allowed ? send_text(q, 1, "text", IPC_NOWAIT) == 0
                 : send_text(q, 1, "text", IPC_NOWAIT) == -1 && errno == EACCES);
    must(allowed ? msgrcv(q, &m, 32, 0, IPC_NOWAIT) == 4
                 : msgrcv(q, &m, 32, 0, IPC_NOWAIT) == -1 && errno == EACCES);
    return msgctl(q, IPC_RMID, NULL) == 0 ? 0 : errno;
}

static void need_capabilities(void)
{
    need_root();
    if (!capable(CAP_IPC_OWNER) || !capable(CAP_SYS_ADMIN)) {
        print_message("skip: without CAP_IPC_OWNER or CAP_SYS_ADMIN\n");
        skip();
    }
}

static void uses(uid_t user, int capability)
{
    struct holder h = {user, capability};

    need_capabilities();
    assert_int_equal(in_child(holder_uses, &h), 0);
}

static void mere_root(void **state)
{
    (void)state;
    uses(0, CAP_SYS_ADMIN);
}

static void ipc_owner(void **state)
{
    (void)state;
    uses(0, CAP_IPC_OWNER);
    uses(USER, CAP_IPC_OWNER);
}

/* A queue of USER's: errno of setting and removing it as root with this set. */
static int administers(void *set)
{
    struct msqid_ds ds = {.msg_perm = {.uid = USER, .gid = USER, .mode = 0600}, .msg_qbytes = 100};
    int q = (int)shared->number[0];

    must(become_capable(0, *(uint64_t *)set));
    if (msgctl(q, IPC_SET, &ds) == 0)
        return msgctl(q, IPC_RMID, NULL) == 0 ? 0 : 250;
    return errno == EPERM && msgctl(q, IPC_RMID, NULL) == -1 ? errno : 251;
}

static void sys_admin(void **state)
{
    uint64_t without = BIT(CAP_IPC_OWNER) | BIT(CAP_DAC_OVERRIDE),
             with = without | BIT(CAP_SYS_ADMIN);

    (void)state;
    need_capabilities();
    of_mode(0666);
    assert_int_equal(in_child(administers, &without), EPERM);
    assert_int_equal(in_child(administers, &with), 0);
}

static int raises(void *unused)
{
    struct msqid_ds ds;
    int q = (int)shared->number[0];

    (void)unused;
    must(become_capable(0, BIT(CAP_SYS_ADMIN)) && msgctl(q, IPC_STAT, &ds) == 0);
    ds.msg_qbytes = (unsigned long)shared->number[1] + 1;
    return msgctl(q, IPC_SET, &ds) == 0 ? 0 : errno;
}

static void sys_resource(void **state)
{
    (void)state;
    need_capabilities();
    shared->number[0] = create();
    shared->number[1] = limits().msgmnb;
    assert_int_equal(in_child(raises, NULL), EPERM);
}

int group_users(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("sysvipc(7): 0400 read by user, 0200 write by user", owners),
        SAYS("sysvipc(7): the owner's permissions decide for the owner, not others'", owners_alone),
        SAYS("msgget(2): EACCES the calling process does not have permission", strangers_not),
        SAYS("msgctl(2): EPERM IPC_SET, IPC_RMID: neither the creator nor the owner",
             not_the_owner),
        SAYS("msgctl(2): EPERM IPC_SET, IPC_RMID, whatever the mode", not_by_mode),
        SAYS("msgget(2): permissions are checked as far as msgflg asks for them", asks_for_nothing),
        SAYS("msgctl(2): the creator still may use and remove a queue that is given away",
             creator_uses_and_removes),
        SAYS("msgctl(2): CAP_SYS_ADMIN may set and remove it", root_removes),
        SAYS("capabilities(7): root without CAP_IPC_OWNER is held back by permissions", mere_root),
        SAYS("capabilities(7): CAP_IPC_OWNER bypasses permission checks", ipc_owner),
        SAYS("msgctl(2): EPERM root without CAP_SYS_ADMIN, another user's queue", sys_admin),
        SAYS("msgctl(2): EPERM root without CAP_SYS_RESOURCE, msg_qbytes beyond MSGMNB",
             sys_resource),
    };

    return RUN("users", tests);
}
