/*
 * A tmpfs without room, at each step that needs some: the call that needs the
 * room says ENOSPC, leaves nothing behind and loses nothing; receiving, opening
 * to receive and unlinking need none; and everything works again when there is
 * room.  Each case has a small tmpfs of its own, in which a ballast file leaves
 * exactly as many pages as wanted.
 */
#include "resources.h"

#define TOTAL 1600 /* pages of the tmpfs */
#define ROOM  800  /* enough for all that a case does */

static int ballast = -1;

/* A private tmpfs of this many pages (and inodes, or 0 for as many as one likes) on MQX_DIR. */
static void small_tmpfs(long pages, long inodes)
{
    char options[96], path[PATH_MAX + 16];

    if (unshare(CLONE_NEWNS) != 0)
        skip("a private mount namespace: %s", strerror(errno));
    must_work(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "mount --make-rprivate");
    snprintf(options, sizeof(options), "mode=1777,size=%ld,nr_inodes=%ld", pages * PAGE, inodes);
    must_work(mount("mqx-test", directory, "tmpfs", 0, options), "mount of a tmpfs");
    snprintf(path, sizeof(path), "%s/ballast", directory);
    ballast = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    must_work(ballast, "ballast");
}

static struct statfs space(void)
{
    struct statfs fs;

    must_work(fstatfs(ballast, &fs), "fstatfs");
    return fs;
}

/* Leave exactly that many pages free. */
static void leave(long pages)
{
    struct stat st;

    for (;;) {
        long extra = (long)space().f_bfree - pages;

        must_work(fstat(ballast, &st), "fstat");
        if (extra == 0)
            return;
        if (extra < 0)
            must_work(ftruncate(ballast, st.st_size + extra * PAGE), "ftruncate of the ballast");
        else
            must_work(fallocate(ballast, 0, st.st_size, extra * PAGE), "fallocate of the ballast");
    }
}

/* Sizes that differ in what they need: scanned, indexed; in the slot, in overflow pages. */
static const struct shape {
    long maxmsg, msgsize;
} shapes[] = {{8, 64}, {300, 64}, {5000, 160}, {10, 8192}, {200, 5000}};
#define SHAPES (sizeof(shapes) / sizeof(*shapes))

/* What can be sent now comes back in order, and with room the queue takes all that it should. */
static void use(mqd_t q, const struct shape *s)
{
    size_t len = (size_t)s->msgsize;
    long sent = fill_queue(q, 0, len);

    must(errno == ENOSPC || (errno == EAGAIN && sent == s->maxmsg),
         "sending message %ld of %ld without room: %s", sent, s->maxmsg, strerror(errno));
    must(count(q) == sent, "%ld messages sent, %ld are there", sent, count(q));
    drain_queue(q, 0, sent, len);
    leave(ROOM);
    sent = fill_queue(q, 0, len);
    must(sent == s->maxmsg && errno == EAGAIN, "with room again, %ld of %ld messages: %s", sent,
         s->maxmsg, strerror(errno));
    drain_queue(q, 0, sent, len);
}

/* Create with 0, 1, 2, ... pages free until it works; then use it.  anew: each time without the
 * directories and the registry. */
static void create_with_little(const struct shape *s, bool anew)
{
    char command[PATH_MAX + 64];
    mqd_t q = -1;

    snprintf(command, sizeof(command), "rm -rf %s/[a-ac-z]*", directory);
    for (long pages = 0; q == -1; pages++) {
        long fds = open_descriptors(), maps = mappings(directory), inodes;

        if (anew)
            must(system(command) == 0, "%s", command);
        leave(pages);
        inodes = (long)space().f_ffree;
        q = open_queue("/q", O_CREAT | O_RDWR | O_NONBLOCK, s->maxmsg, s->msgsize);
        if (q != -1)
            break;
        must(errno == ENOSPC, "creating with %ld pages: %s", pages, strerror(errno));
        must(files() == 0, "%ld files left of a queue that was not created", files());
        must(open_descriptors() == fds && mappings(directory) == maps,
             "descriptors %ld, then %ld; mappings %ld, then %ld", fds, open_descriptors(), maps,
             mappings(directory));
        if (!anew)
            must((long)space().f_bfree == pages && (long)space().f_ffree == inodes,
                 "%ld pages of %ld left", (long)space().f_bfree, pages);
        must(pages < 300, "creating a queue never works");
    }
    use(q, s);
    must_work(mq_close(q), "mq_close");
    must_work(mq_unlink("/q"), "mq_unlink");
}

static void in_a_process_of_its_own(void (*run)(const struct shape *, bool), const struct shape *s,
                                    bool anew)
{
    pid_t child = fork_child();

    if (child == 0) {
        run(s, anew);
        _exit(0);
    }
    join_child(child, "creating with little room");
}

static void creating_the_first_queue(void)
{
    small_tmpfs(TOTAL, 0);
    for (size_t i = 0; i < SHAPES; i++)
        in_a_process_of_its_own(create_with_little, &shapes[i], true);
}

static void creating_another_queue(void)
{
    small_tmpfs(TOTAL, 0);
    leave(ROOM);
    new_queue("/other", 1, 1);
    mq_unlink("/other");
    for (size_t i = 0; i < SHAPES; i++)
        create_with_little(&shapes[i], false);
}

/* Growing with so many pages: returns how many messages found room. */
static long grow(const struct shape *s, long pages)
{
    size_t len = (size_t)s->msgsize;
    long sent;
    mqd_t q;

    leave(ROOM);
    q = new_queue("/q", s->maxmsg, s->msgsize);
    leave(pages);
    sent = fill_queue(q, 0, len);
    must(errno == (sent == s->maxmsg ? EAGAIN : ENOSPC), "growing with %ld pages: %s", pages,
         strerror(errno));
    must(count(q) == sent, "%ld messages sent, %ld are there", sent, count(q));
    /* A slot that is free again needs no more room. */
    must(receive_numbered(q, 0, len) && send_numbered(q, sent, len) == 0,
         "no second message in the same slot: %s", strerror(errno));
    drain_queue(q, 1, sent + 1, len);
    use(q, s);
    mq_close(q);
    mq_unlink("/q");
    return sent;
}

static void growing(void)
{
    const struct shape s = {5000, 100};
    long sent = 0, before = -1;

    small_tmpfs(TOTAL, 0);
    for (long pages = 0; sent < s.maxmsg; pages = pages * 5 / 4 + 1) {
        sent = grow(&s, pages);
        must(sent >= before, "%ld messages with %ld pages, fewer than before", sent, pages);
        before = sent;
    }
}

/* Whatever lies on which page: a receiver looks at nothing that has none. */
static void looking(void)
{
    small_tmpfs(400, 0);
    for (long maxmsg = 60; maxmsg < 9000; maxmsg += maxmsg < 700 ? 1 : 61) {
        mqd_t q;

        leave(200);
        q = new_queue("/q", maxmsg, 8);
        leave(0);
        must(!receive_numbered(q, 0, 8), "a message in an empty queue");
        must(send_numbered(q, 0, 8) == 0 && receive_numbered(q, 0, 8) && count(q) == 0,
             "maxmsg %ld, a message in the first slot: %s", maxmsg, strerror(errno));
        mq_close(q);
        mq_unlink("/q");
    }
}

/* Messages with overflow pages, with 0, 1, 2, ... pages for them. */
static void sending_large(void)
{
    const struct shape s = {20, 10000};

    small_tmpfs(TOTAL, 0);
    for (long pages = 0; pages <= 3 * s.maxmsg + 1; pages++) {
        mqd_t q;
        long sent;

        leave(ROOM);
        q = new_queue("/q", s.maxmsg, s.msgsize);
        leave(pages);
        sent = fill_queue(q, 0, 10000);
        must(sent == (pages / 3 > s.maxmsg ? s.maxmsg : pages / 3), "%ld messages with %ld pages",
             sent, pages);
        must(errno == (sent == s.maxmsg ? EAGAIN : ENOSPC), "sending: %s", strerror(errno));
        /* What the failed one began to reserve went back, and small ones need none. */
        must((long)space().f_bfree == pages - 3 * sent, "%ld pages left, of %ld for %ld messages",
             (long)space().f_bfree, pages, sent);
        if (sent < s.maxmsg)
            must_work(send_numbered(q, sent, 100), "a small message");
        for (long i = 0; i < sent; i++)
            must(receive_numbered(q, i, 10000), "message %ld is lost", i);
        if (sent < s.maxmsg)
            must(receive_numbered(q, sent, 100), "the small message is lost");
        use(q, &s);
        mq_close(q);
        mq_unlink("/q");
    }
}

/* --- with no room at all ------------------------------------------------------------------------
 */

/* Messages 0 to n - 1, small and large in turn. */
static size_t mixed(long n)
{
    return n % 2 ? 6000 : 100;
}

static void receive_some(mqd_t q, long *next, long many)
{
    for (long i = 0; i < many; i++, ++*next)
        must(receive_numbered(q, *next, mixed(*next)), "message %ld is not there", *next);
}

struct receiving {
    mqd_t q;
    bool open; /* open the queue anew */
    long next;
};

static void receive_in_child(void *arg)
{
    struct receiving *r = arg;
    mqd_t q = r->open ? mq_open("/q", O_RDONLY | O_NONBLOCK) : r->q;

    must_work(q, "opening a queue, to make room");
    receive_some(q, &r->next, 1);
}

/* By who has it open, by forked children on their first use of a queue, by those that open it. */
static void receiving(void)
{
    struct receiving *r = shared_memory(sizeof(*r));
    const long maxmsg = 300;

    small_tmpfs(TOTAL, 0);
    leave(ROOM);
    *r = (struct receiving){.q = new_queue("/q", maxmsg, 6000)};
    for (long i = 0; i < maxmsg; i++)
        must_work(send_numbered(r->q, i, mixed(i)), "mq_send");
    leave(0);
    receive_some(r->q, &r->next, 100);
    while (r->next < maxmsg) {
        leave(0); /* what the large ones gave back */
        r->open = r->next % 3 == 0;
        in_child(receive_in_child, r, "a child that receives");
    }
    must(count(r->q) == 0, "%ld messages left", count(r->q));
}

static void unlinking(void)
{
    long before;
    mqd_t q;

    small_tmpfs(TOTAL, 0);
    leave(ROOM);
    q = new_queue("/q", 300, 64);
    fill_queue(q, 0, 64);
    mq_close(q);
    leave(0);
    must_work(mq_unlink("/q"), "mq_unlink");
    before = (long)space().f_bfree;
    must(before > 0 && files() == 0, "%ld pages free, %ld files left", before, files());
    must_fail(mq_open("/q", O_RDWR), ENOENT, "mq_open of an unlinked queue");
}

/* --- who waits meanwhile ------------------------------------------------------------------------
 */

struct waiting {
    mqd_t q;
    size_t len;
    _Atomic long result, error; /* result: 1 not back yet */
};

static void send_waiting(struct waiting *w)
{
    errno = 0;
    w->result = send_numbered(w->q, 77, w->len);
    w->error = errno;
}

/* A sender that waits for a slot, in a queue whose slots have no pages for its message, gets
 * ENOSPC when the slot is free and the room is not; one whose message needs none is sent. */
static void a_blocked_sender(void)
{
    struct waiting *w = shared_memory(sizeof(*w));

    small_tmpfs(TOTAL, 0);
    for (int large = 0; large < 2; large++) {
        mqd_t nonblocking;
        pid_t child;

        leave(ROOM);
        nonblocking = new_queue("/q", 4, 8192);
        *w = (struct waiting){mq_open("/q", O_RDWR), large ? 8192 : 100, 1, 0};
        must(fill_queue(nonblocking, 0, 100) == 4, "the queue is not full: %s", strerror(errno));
        child = fork_child();
        if (child == 0) {
            send_waiting(w);
            _exit(0);
        }
        await_sleep(child);
        leave(0);
        must(receive_numbered(nonblocking, 0, 100), "no message");
        join_child(child, "the sender");
        must(large ? w->result == -1 && w->error == ENOSPC : w->result == 0,
             "the sender that waited: result %ld, %s", w->result, strerror((int)w->error));
        for (long i = 1; i < 4; i++)
            must(receive_numbered(nonblocking, i, 100), "message %ld is lost", i);
        if (!large)
            must(receive_numbered(nonblocking, 77, 100), "the message that waited is lost");
        use(nonblocking, &(struct shape){4, 8192});
        mq_close(nonblocking);
        mq_close(w->q);
        mq_unlink("/q");
    }
}

/* A receiver that waits gets what is sent once there is room again. */
static void a_blocked_receiver(void)
{
    struct waiting *w = shared_memory(sizeof(*w));
    mqd_t blocking;
    pid_t child;

    small_tmpfs(TOTAL, 0);
    w->q = new_queue("/q", 4, 8192);
    blocking = mq_open("/q", O_RDWR);
    leave(0);
    child = fork_child();
    if (child == 0) {
        must(receive_numbered(blocking, 1, 8192), "no message");
        _exit(0);
    }
    await_sleep(child);
    must_fail(send_numbered(w->q, 1, 8192), ENOSPC, "a large message without room");
    await_sleep(child);
    leave(2);
    must_work(send_numbered(w->q, 1, 8192), "a large message, with room again");
    join_child(child, "the receiver");
}

/* --- inodes -------------------------------------------------------------------------------------
 */

static void leave_inodes(long n)
{
    static long made;
    char path[PATH_MAX + 32];

    while ((long)space().f_ffree != n) {
        bool more = (long)space().f_ffree > n;

        snprintf(path, sizeof(path), "%s/inode-%ld", directory, more ? made++ : --made);
        must_work(more ? mknod(path, S_IFREG | 0600, 0) : unlink(path), path);
    }
}

static void inodes(void)
{
    mqd_t q = -1, other;

    small_tmpfs(TOTAL, 200);
    for (long n = 0; q == -1; n++) {
        leave_inodes(n);
        q = open_queue("/q", O_CREAT | O_RDWR | O_NONBLOCK, 10, 8192);
        must(q != -1 || errno == ENOSPC, "with %ld inodes: %s", n, strerror(errno));
        must(q != -1 || files() == 0, "%ld files left of a queue that was not created", files());
        must(n < 20, "never works");
    }
    leave_inodes(0);
    must_fail(open_queue("/other", O_CREAT | O_RDWR, 10, 64), ENOSPC, "a queue without inodes");
    use(q, &(struct shape){10, 8192}); /* sending needs none */
    other = mq_open("/q", O_RDONLY);
    must_work(other, "opening a queue");
    must_work(mq_unlink("/q"), "unlinking a queue");
    must(files() == 0, "%ld files left", files());
    mq_close(q);
    mq_close(other);
    q = open_queue("/other", O_CREAT | O_RDWR | O_NONBLOCK, 10, 64);
    must_work(q, "creating a queue, with the inodes of the one that was unlinked");
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        CASE(creating_the_first_queue),
        CASE(creating_another_queue),
        CASE(growing),
        CASE(looking),
        CASE(sending_large),
        CASE(receiving),
        CASE(unlinking),
        CASE(a_blocked_sender),
        CASE(a_blocked_receiver),
        CASE(inodes),
    };

    return run_cases(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
