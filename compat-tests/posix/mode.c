/* Permissions and the umask, as the queue's owner and others meet them. */
#include "compat.h"

#include <linux/capability.h>
#include <sys/stat.h>

#define USER  65534
#define OTHER 65533

static void become(unsigned user)
{
    if (geteuid() == 0 && (setgid(user) != 0 || setuid(user) != 0))
        _exit(254);
}

struct example {
    unsigned mode, umask;
    bool readable, writable; /* by its owner */
};

static int check_open(int oflag, bool permitted)
{
    mqd_t q = mq_open(name(0), oflag);

    if (permitted)
        return q == -1 ? errno : 0;
    return q != -1 ? 253 : errno == EACCES ? 0 : errno;
}

/* As an unprivileged user: 0, or what went wrong. */
static int owner_opens(void *arg)
{
    const struct example *e = arg;
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
    int r;

    become(USER);
    umask(e->umask);
    if (mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, e->mode, &attr) == -1)
        return errno;
    r = check_open(O_RDONLY, e->readable);
    if (r == 0)
        r = check_open(O_WRONLY, e->writable);
    if (r == 0)
        r = check_open(O_RDWR, e->readable && e->writable);
    if (r == 0) /* the umask was not changed, or only for a moment */
        r = umask(0) == e->umask ? 0 : 252;
    return mq_unlink(name(0)) == 0 ? r : 251;
}

static void owner(unsigned mode, unsigned mask, bool readable, bool writable)
{
    struct example e = {mode, mask, readable, writable};

    assert_int_equal(in_child(owner_opens, &e), 0);
}

static void owner_bits(void **state)
{
    (void)state;
    owner(0600, 0, true, true);
    owner(0400, 0, true, false);
    owner(0200, 0, false, true);
    owner(0000, 0, false, false);
    owner(0100, 0, false, false);
}

static void owner_bits_alone(void **state)
{
    (void)state;
    owner(0066, 0, false, false);
    owner(0466, 0, true, false);
    owner(0277, 0, false, true);
}

static void umask_clears(void **state)
{
    (void)state;
    owner(0600, 0022, true, true);
    owner(0666, 0777, false, false);
    owner(0600, 0400, false, true);
    owner(0700, 0500, false, true);
}

static void umask_of_write(void **state)
{
    (void)state;
    owner(0666, 0222, true, false);
    owner(0600, 0266, true, false);
}

static void special_bits(void **state)
{
    (void)state;
    owner(07600, 0, true, true);
    owner(07400, 0, true, false);
    owner(S_IFREG | 0200, 0, false, true);
}

static int creator_uses(void *arg)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
    char c = 0;
    mqd_t q;

    (void)arg;
    become(USER);
    q = mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0, &attr);
    if (q == -1 || mq_send(q, "x", 1, 0) != 0 || mq_receive(q, &c, 1, NULL) != 1)
        return errno;
    return mq_unlink(name(0)) == 0 ? c != 'x' : errno;
}

static void creator(void **state)
{
    (void)state;
    assert_int_equal(in_child(creator_uses, NULL), 0);
}

static int exists_then_access(void *arg)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
    int r = 0;

    (void)arg;
    become(USER);
    if (mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0, &attr) == -1)
        return errno;
    if (mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0, &attr) != -1 || errno != EEXIST)
        r = 240;
    if (mq_open(name(0), O_WRONLY | O_RDWR) != -1 || errno != EINVAL)
        r = 241;
    if (mq_open(name(0), O_CREAT | O_RDWR, 0, &attr) != -1 || errno != EACCES)
        r = 242;
    return mq_unlink(name(0)) == 0 ? r : errno;
}

static void precedence(void **state)
{
    (void)state;
    assert_int_equal(in_child(exists_then_access, NULL), 0);
}

static void superuser(void **state)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 32};
    mqd_t q;

    (void)state;
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
    ok(mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0, &attr));
    q = reopen(O_RDWR);
    put(q, "x", 0);
    expect(reopen(O_RDONLY), "x", 0);
}

static int stranger(void *arg)
{
    int r = 0;

    (void)arg;
    become(OTHER);
    if (mq_open(name(0), O_RDONLY) != -1 || errno != EACCES)
        r = 240;
    if (mq_open(name(0), O_WRONLY) != -1 || errno != EACCES)
        r = 241;
    if (mq_open(name(0), O_CREAT | O_RDWR, 0600, NULL) != -1 || errno != EACCES)
        r = 242;
    if (mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0600, NULL) != -1 || errno != EEXIST)
        r = 243;
    if (mq_open(name(0), O_WRONLY | O_RDWR) != -1 || errno != EINVAL)
        r = 244;
    return r;
}

static int stranger_unlinks(void *arg)
{
    (void)arg;
    become(OTHER);
    return mq_unlink(name(0)) == -1 ? errno : 0;
}

static void strangers(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
    create(0, 1);
    assert_int_equal(in_child(stranger, NULL), 0);
}

static void strangers_unlink(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
    create(0, 1);
    assert_int_equal(in_child(stranger_unlinks, NULL), EACCES);
    reopen(O_RDWR);
}

/* The queue exists and is root's; back and forth, in one process. */
static int changes_identity(void *arg)
{
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 1};
    int r = 0;

    (void)arg;
    if (seteuid(USER) != 0 || mq_open(name(0), O_RDONLY) != -1 || errno != EACCES)
        r = 240;
    if (mq_open(name(1), O_CREAT | O_EXCL | O_RDWR, 0600, &attr) == -1)
        r = 241;
    if (seteuid(0) != 0 || mq_open(name(0), O_RDONLY) == -1)
        r = 242;
    if (seteuid(OTHER) != 0 || mq_open(name(1), O_RDONLY) != -1 || errno != EACCES)
        r = 243;
    if (mq_unlink(name(1)) != -1 || errno != EACCES)
        r = 244;
    if (seteuid(0) != 0 || seteuid(USER) != 0 || mq_unlink(name(1)) != 0)
        r = 245;
    return r;
}

static void effective(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skip: not root\n");
        skip();
    }
    create(0, 1);
    assert_int_equal(in_child(changes_identity, NULL), 0);
}

/* --- capabilities -------------------------------------------------------------------------------
 */

/* On a queue of its own with no permissions at all, the user who has these capabilities: may it
 * read, write, do both? */
struct holder {
    uid_t user;
    uint64_t capabilities;
    bool reads, writes;
};

static int holder_opens(void *arg)
{
    const struct holder *h = arg;
    int r;

    if (!become_capable(h->user, h->capabilities))
        return 250;
    if (mq_open(name(0), O_CREAT | O_EXCL | O_RDWR, 0, NULL) == -1)
        return errno;
    r = check_open(O_RDONLY, h->reads);
    if (r == 0)
        r = check_open(O_WRONLY, h->writes);
    if (r == 0)
        r = check_open(O_RDWR, h->reads && h->writes);
    return mq_unlink(name(0)) == 0 ? r : 251;
}

#define BIT(capability) (UINT64_C(1) << (capability))

static void holder(uid_t user, uint64_t capabilities, bool reads, bool writes)
{
    struct holder h = {user, capabilities, reads, writes};

    if (geteuid() != 0 || !capable(CAP_DAC_OVERRIDE) || !capable(CAP_DAC_READ_SEARCH)) {
        print_message("skip: not root, or without CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH\n");
        skip();
    }
    assert_int_equal(in_child(holder_opens, &h), 0);
}

static void mere_root(void **state)
{
    (void)state;
    holder(0, 0, false, false);
    holder(0, BIT(CAP_FOWNER) | BIT(CAP_CHOWN), false, false);
}

static void overrides(void **state)
{
    (void)state;
    holder(0, BIT(CAP_DAC_OVERRIDE), true, true);
    holder(USER, BIT(CAP_DAC_OVERRIDE), true, true);
}

static void reads(void **state)
{
    (void)state;
    holder(0, BIT(CAP_DAC_READ_SEARCH), true, false);
    holder(USER, BIT(CAP_DAC_READ_SEARCH), true, false);
}

int group_mode(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("mq_open(3): EACCES the queue exists, but no permission to open it in that mode",
             owner_bits),
        SAYS("POSIX: the owner's permissions decide for the owner, not others'", owner_bits_alone),
        SAYS("mq_open(3): the permissions are masked against the process umask", umask_clears),
        SAYS("mq_open(3): a umask that takes the write permission leaves a readable queue",
             umask_of_write),
        SAYS("Linux: bits of mode above the permissions change nothing for them", special_bits),
        SAYS("POSIX: the mode does not affect the descriptor of the creating call", creator),
        SAYS("Linux: EEXIST and EINVAL for the access mode come before EACCES", precedence),
        SAYS("capabilities(7): permissions do not hold back root", superuser),
        SAYS("mq_open(3): EACCES for another user's queue of mode 0600", strangers),
        SAYS("mq_unlink(3): EACCES no permission to unlink this queue", strangers_unlink),
        SAYS("capabilities(7): root without CAP_DAC_OVERRIDE is held back by permissions",
             mere_root),
        SAYS("capabilities(7): CAP_DAC_OVERRIDE bypasses read and write permissions", overrides),
        SAYS("capabilities(7): CAP_DAC_READ_SEARCH bypasses read permissions", reads),
        SAYS("credentials(7): the effective user ID at the time of the call decides", effective),
    };

    return RUN("permissions", tests);
}
