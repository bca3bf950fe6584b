/*
 * Several users: what each may do with another's queue.  Root has used it before, in the same
 * process: it is mapped there, and permissions are for the library to check.
 */
#include "users.h"

#include <linux/capability.h>

static int used_by_root(int mode)
{
    of_mode(mode);
    return get(key(0), 0);
}

/* With two messages in it, for who may read only. */
static void check(int mode, const struct user *user, long bits)
{
    int q = used_by_root(mode);

    put(q, 1, "text");
    put(q, 1, "text");
    as(user, tries, q, bits);
    ok(msgctl(q, IPC_RMID, NULL));
}

static void owners(void **state)
{
    (void)state;
    check(0600, &owner, 06);
    check(0400, &owner, 04);
    check(0200, &owner, 02);
    check(0, &owner, 0);
}

static void owners_alone(void **state)
{
    (void)state;
    check(0066, &owner, 0);
    check(0466, &owner, 04);
}

static void strangers_not(void **state)
{
    (void)state;
    check(0600, &stranger, 0);
    check(0660, &stranger, 0);
}

/* --- the calls that need the owner --------------------------------------------------------------
 */

static void not_the_owner(void **state)
{
    int q;

    (void)state;
    q = used_by_root(0600);
    as(&stranger, may_not_control, q, 0);
    assert_int_equal(status(q).msg_perm.uid, USER);
}

static void not_by_mode(void **state)
{
    int q;

    (void)state;
    q = used_by_root(0666);
    as(&stranger, may_not_control, q, 0);
}

/* Without asking for permissions, anybody gets the identifier of a key. */
static int gets(int q, long unused)
{
    (void)unused;
    must(msgget(key(0), 0) == q);
    must(msgget(key(0), IPC_CREAT) == q);
    must_fail(msgget(key(0), IPC_CREAT | IPC_EXCL), EEXIST);
    must_fail(msgget(key(0), IPC_CREAT | 0600), EACCES);
    must_fail(msgget(key(0), IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    return 0;
}

static void asks_for_nothing(void **state)
{
    int q;

    (void)state;
    q = used_by_root(0600);
    as(&stranger, gets, q, 0);
}

/* --- a queue that is given away -----------------------------------------------------------------
 */

static int given_away(void)
{
    int q = used_by_root(0600);
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
    as(&owner, sends, q, 1); /* the owner's permissions are the creator's */
    as(&owner, removes, q, 0);
    fails(msgget(key(0), 0), ENOENT);
}

static void root_removes(void **state)
{
    int q;

    (void)state;
    q = used_by_root(0600);
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
    as_permitted(msgget(key(0), 0600), allowed, q);
    as_permitted(send_text(q, 1, "text", IPC_NOWAIT), allowed, 0);
    as_permitted(msgrcv(q, &m, 32, 0, IPC_NOWAIT), allowed, 4);
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
    used_by_root(0666);
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
