/* An mqd_t is a file descriptor: fcntl, dup, close, exec, fstat and read on it. */
#include "compat.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int access_and_nonblock(mqd_t q)
{
    return (int)ok(fcntl(q, F_GETFL)) & ~O_CLOEXEC;
}

static void getfl(void **state)
{
    (void)state;
    create(0, 1);
    assert_int_equal(access_and_nonblock(reopen(O_RDONLY)), O_RDONLY);
    assert_int_equal(access_and_nonblock(reopen(O_WRONLY)), O_WRONLY);
    assert_int_equal(access_and_nonblock(reopen(O_RDWR)), O_RDWR);
    assert_int_equal(access_and_nonblock(reopen(O_RDONLY | O_NONBLOCK)), O_RDONLY | O_NONBLOCK);
    assert_int_equal(access_and_nonblock(reopen(O_RDWR | O_NONBLOCK)), O_RDWR | O_NONBLOCK);
}

static void setfl(void **state)
{
    char buffer[32];
    mqd_t q;

    (void)state;
    create(0, 1);
    q = reopen(O_RDONLY);
    ok(fcntl(q, F_SETFL, O_NONBLOCK));
    assert_true(nonblocking(q));
    fails(mq_receive(q, buffer, sizeof(buffer), NULL), EAGAIN);
    assert_int_equal(access_and_nonblock(q), O_RDONLY | O_NONBLOCK);
    fails(mq_send(q, "x", 1, 0), EBADF);
    ok(fcntl(q, F_SETFL, 0));
    assert_false(nonblocking(q));
    fails(mq_send(q, "x", 1, 0), EBADF);
}

static void setattr_shows_in_getfl(void **state)
{
    struct mq_attr attr = {.mq_flags = O_NONBLOCK};
    mqd_t q;

    (void)state;
    q = create(0, 1);
    ok(mq_setattr(q, &attr, NULL));
    assert_int_equal(access_and_nonblock(q), O_RDWR | O_NONBLOCK);
}

static void close_on_exec(void **state)
{
    (void)state;
    assert_int_equal(fcntl(create(0, 1), F_GETFD), FD_CLOEXEC);
}

static mqd_t duplicate(mqd_t q, int how)
{
    switch (how) {
    case 0:
        return (mqd_t)ok(dup(q));
    case 1:
        return (mqd_t)ok(dup2(q, 200));
    case 2:
        return (mqd_t)ok(dup3(q, 201, O_CLOEXEC));
    case 3:
        return (mqd_t)ok(fcntl(q, F_DUPFD, 202));
    default:
        return (mqd_t)ok(fcntl(q, F_DUPFD_CLOEXEC, 203));
    }
}

static void dup_is_a_queue(void **state)
{
    int how = (int)(intptr_t)*state;
    mqd_t q, d;

    q = create(0, 2);
    d = duplicate(q, how);
    put(d, "one", 1);
    expect(q, "one", 1);
    put(q, "two", 2);
    ok(mq_close(q));
    assert_int_equal(count(d), 1);
    expect(d, "two", 2);
    ok(mq_close(d));
    fails(mq_send(d, "x", 1, 0), EBADF);
}

static void dup_shares_flags(void **state)
{
    mqd_t q, d;

    (void)state;
    q = create(0, 1);
    d = duplicate(q, 0);
    ok(fcntl(d, F_SETFL, O_NONBLOCK));
    assert_true(nonblocking(q));
    ok(close(d));
    assert_true(nonblocking(q));
}

static void dup_keeps_access(void **state)
{
    char buffer[32];
    mqd_t d;

    (void)state;
    create(0, 1);
    d = duplicate(reopen(O_WRONLY), 0);
    fails(mq_receive(d, buffer, sizeof(buffer), NULL), EBADF);
    ok(mq_send(d, "x", 1, 0));
    ok(close(d));
}

static void dup2_over(void **state)
{
    int zero = (int)ok(open("/dev/zero", O_RDONLY));
    mqd_t q;

    (void)state;
    q = create(0, 1);
    ok(dup2(zero, q));
    fails(mq_send(q, "x", 1, 0), EBADF);
    fails(mq_getattr(q, &(struct mq_attr){0}), EBADF);
    ok(close(q));
    ok(close(zero));
}

static void failed_dup2_changes_nothing(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    fails(dup2(999, q), EBADF);
    put(q, "x", 0);
    expect(q, "x", 0);
}

static void plain_close(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    ok(close(q));
    fails(mq_send(q, "x", 1, 0), EBADF);
    assert_int_equal(ok(open("/dev/null", O_RDWR)), q); /* the lowest free number */
    fails(mq_send(q, "x", 1, 0), EBADF);
    fails(mq_getattr(q, &(struct mq_attr){0}), EBADF);
    ok(close(q));
}

static void close_range_closes(void **state)
{
    mqd_t q, r;

    (void)state;
    q = create(0, 1);
    r = (mqd_t)ok(fcntl(q, F_DUPFD, 300));
    ok(close_range(300, 310, 0));
    fails(mq_send(r, "x", 1, 0), EBADF);
    put(q, "x", 0);
    expect(q, "x", 0);
}

/* fclose, freopen and daemon close without a call that a library could see. */
static void closed_inside_libc(void **state)
{
    char path[] = "/tmp/mqx-compat-XXXXXX", text[8] = "";
    FILE *stream;
    mqd_t q;
    int fd;

    (void)state;
    q = create(0, 1);
    stream = fdopen(q, "r");
    assert_non_null(stream);
    ok(fclose(stream));
    fd = (int)ok(mkstemp(path));
    ok(unlink(path));
    assert_int_equal(fd, q); /* the lowest free number */
    assert_int_equal(ok(write(fd, "text", 4)), 4);
    assert_int_equal(ok(lseek(fd, 0, SEEK_SET)), 0);
    assert_int_equal(ok(read(fd, text, sizeof(text))), 4);
    assert_string_equal(text, "text");
    assert_int_equal(ok(fcntl(fd, F_GETFL)) & O_ACCMODE, O_RDWR);
    fails(mq_send(fd, "x", 1, 0), EBADF);
    ok(close(fd));
}

static int send_flags(void *arg)
{
    mqd_t q = *(mqd_t *)arg;

    ok(fcntl(q, F_SETFL, O_NONBLOCK));
    return mq_send(q, "child", 5, 3);
}

static void fork_shares_flags(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 2);
    assert_int_equal(in_child(send_flags, &q), 0);
    assert_true(nonblocking(q));
    expect(q, "child", 3);
}

static void vfork_child_closes(void **state)
{
    mqd_t q;
    pid_t pid;
    int status;

    (void)state;
    q = create(0, 2);
    pid = vfork();
    if (pid == 0) {
        close(q);
        _exit(0);
    }
    ok(waitpid(pid, &status, 0));
    put(q, "x", 0);
    expect(q, "x", 0);
}

/* --- another program, another process -----------------------------------------------------------
 */

/* Pass fd through a socket to ourselves, as SCM_RIGHTS does between any two. */
static int pass(int fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.room,
                       .msg_controllen = sizeof(control.room)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int pair[2], received;

    ok(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    ok(sendmsg(pair[0], &m, 0));
    ok(recvmsg(pair[1], &m, 0));
    memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(received));
    ok(close(pair[0]));
    ok(close(pair[1]));
    return received;
}

static void passed(void **state)
{
    mqd_t q, d;

    (void)state;
    q = create(0, 1);
    d = pass(q);
    ok(mq_close(q));
    put(d, "passed", 4);
    expect(d, "passed", 4);
    ok(mq_close(d));
    fails(mq_send(d, "x", 1, 0), EBADF);
}

static void passed_read_only(void **state)
{
    mqd_t q, d;

    (void)state;
    create(0, 1);
    q = reopen(O_RDONLY | O_NONBLOCK);
    d = pass(q);
    ok(mq_close(q));
    assert_int_equal(access_and_nonblock(d), O_RDONLY | O_NONBLOCK);
    fails(mq_send(d, "x", 1, 0), EBADF);
    ok(close(d));
}

int send_on(const char *fd)
{
    return mq_send(atoi(fd), "after exec", 10, 7) == 0 ? 0 : errno;
}

static int run_file_child(void *arg)
{
    char fd[16];

    ok(fcntl(*(mqd_t *)arg, F_SETFD, 0));
    snprintf(fd, sizeof(fd), "%d", *(mqd_t *)arg);
    execl("/proc/self/exe", "posix_compat", "--send-on", fd, (char *)NULL);
    return 99;
}

static void survives_exec(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    assert_int_equal(in_child(run_file_child, &q), 0);
    expect(q, "after exec", 7);
}

/* --- fstat, read ---------------------------------------------------------------------------------
 */

static void fstat_tells(void **state)
{
    struct stat st;
    mqd_t q;

    (void)state;
    q = create(0, 1); /* mode 0600 */
    ok(fstat(q, &st));
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_size, 80);
    assert_int_equal(st.st_nlink, 1);
    ok(mq_unlink(name(0)));
    ok(fstat(q, &st));
    assert_int_equal(st.st_nlink, 0);
}

static void statx_tells(void **state)
{
    struct statx sx;
    struct stat st;
    mqd_t q;

    (void)state;
    q = create(0, 1);
    put(q, "x", 0);
    ok(fstat(q, &st));
    ok(statx(q, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx));
    assert_int_equal(sx.stx_mode, S_IFREG | 0600);
    assert_int_equal(sx.stx_size, 80);
    assert_int_equal(sx.stx_ino, st.st_ino);
    assert_int_equal(sx.stx_mtime.tv_sec, st.st_mtim.tv_sec);
    assert_int_equal(sx.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
    assert_true(llabs(sx.stx_mtime.tv_sec - time(NULL)) < 600);
    ok(statx(AT_FDCWD, "/dev/null", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx));
    assert_true(S_ISCHR(sx.stx_mode));
}

static void fchmod_changes(void **state)
{
    struct stat st;
    mqd_t q;

    (void)state;
    q = create(0, 1);
    ok(fchmod(q, 0640));
    ok(fstat(q, &st));
    assert_int_equal(st.st_mode & 0777, 0640);
}

static void read_shows_the_state(void **state)
{
    char line[128] = "";
    mqd_t q;
    long n;

    (void)state;
    q = create(0, 2);
    put(q, "12345", 0);
    n = ok(read(q, line, sizeof(line)));
    assert_memory_equal(line, "QSIZE:5          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n",
                        (size_t)n);
    assert_int_equal(read(q, line, sizeof(line)), 0);
    assert_int_equal(ok(lseek(q, 6, SEEK_SET)), 6);
    assert_int_equal(ok(read(q, line, 1)), 1);
    assert_int_equal(line[0], '5');
    assert_int_equal(ok(pread(q, line, 5, 0)), 5);
    assert_memory_equal(line, "QSIZE", 5);
    assert_int_equal(count(q), 1);
}

static void read_needs_access(void **state)
{
    char line[128];

    (void)state;
    create(0, 1);
    fails(read(reopen(O_WRONLY), line, sizeof(line)), EBADF);
}

static void write_is_refused(void **state)
{
    mqd_t q;

    (void)state;
    q = create(0, 1);
    fails(write(q, "x", 1), EINVAL);
    fails(write(reopen(O_RDONLY), "x", 1), EBADF);
    assert_int_equal(count(q), 0);
}

static void null_pointers(void **state)
{
    char c[32];
    mqd_t q;

    (void)state;
    q = create(0, 4);
    fails(mq_send(q, NULL, 1, 0), EFAULT);
    ok(mq_send(q, NULL, 0, 0));
    fails(mq_timedsend(q, "x", 1, 0, (void *)8), EFAULT);
    fails(mq_timedsend(q, (void *)-1, 1, 0, NULL), EFAULT);
    assert_int_equal(ok(mq_receive(q, NULL, 32, NULL)), 0);
    put(q, "x", 0);
    fails(mq_receive(q, NULL, 32, NULL), EFAULT);
    fails(mq_getattr(q, (void *)8), EFAULT);
    fails(mq_setattr(q, (void *)8, NULL), EFAULT);
    fails(mq_open(name(0), O_CREAT | O_RDWR, 0600, (void *)8), EFAULT);
    fails(mq_open(name(1), O_CREAT | O_RDWR, 0600, (void *)-8), EFAULT);
    fails(mq_open(name(1), O_RDWR), ENOENT);
    put(q, "x", 0);
    fails(mq_receive(q, c, sizeof(c), (void *)8), EFAULT);
    put(q, "x", 0); /* Linux has lost the other */
    fails(mq_receive(q, c, sizeof(c), (void *)-8), EFAULT);
}

int group_file(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("fcntl(2): F_GETFL returns the access mode and O_NONBLOCK", getfl),
        SAYS("fcntl(2): F_SETFL sets O_NONBLOCK and leaves the access mode", setfl),
        SAYS("mq_setattr(3): O_NONBLOCK is a flag of the open file description",
             setattr_shows_in_getfl),
        SAYS("Linux: mq_open sets the close-on-exec flag", close_on_exec),
        CALL("dup(2): the new descriptor can be used interchangeably", dup_is_a_queue, 0),
        CALL("dup2(2): the same", dup_is_a_queue, 1),
        CALL("dup3(2): the same", dup_is_a_queue, 2),
        CALL("fcntl(2): F_DUPFD: the same", dup_is_a_queue, 3),
        CALL("fcntl(2): F_DUPFD_CLOEXEC: the same", dup_is_a_queue, 4),
        SAYS("dup(2): the descriptors share the status flags", dup_shares_flags),
        SAYS("dup(2): the duplicate has the access mode of the original", dup_keeps_access),
        SAYS("dup2(2): closes what the new number was", dup2_over),
        SAYS("dup2(2): an invalid old descriptor leaves the new one open",
             failed_dup2_changes_nothing),
        SAYS("mq_overview(7): a descriptor that close(2) has closed is none", plain_close),
        SAYS("close_range(2): closes all in the range", close_range_closes),
        SAYS("fclose(3): the number can be another file's afterwards", closed_inside_libc),
        SAYS("mq_overview(7): a child shares the flags of its parent's descriptors",
             fork_shares_flags),
        SAYS("vfork(2): the child's descriptors are its own", vfork_child_closes),
        SAYS("unix(7): a descriptor passed with SCM_RIGHTS is one", passed),
        SAYS("unix(7): ... with its access mode", passed_read_only),
        SAYS("execve(2): a descriptor without close-on-exec stays open", survives_exec),
        SAYS("mq_overview(7): on Linux a descriptor is a file descriptor: fstat", fstat_tells),
        SAYS("statx(2): AT_EMPTY_PATH: what fstat tells", statx_tells),
        SAYS("Linux: fchmod changes the queue's mode", fchmod_changes),
        SAYS("mq_overview(7): read gives QSIZE, NOTIFY, SIGNO, NOTIFY_PID", read_shows_the_state),
        SAYS("read(2): EBADF not open for reading", read_needs_access),
        SAYS("write(2): EINVAL not suitable for writing", write_is_refused),
        SAYS("Linux: EFAULT for pointers to nowhere", null_pointers),
    };

    return RUN("an mqd_t is a file descriptor", tests);
}
