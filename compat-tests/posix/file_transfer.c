/* Reading and writing a descriptor as a file, other than by read and write; neither takes a message
 * nor sends one. */
#include "wait_ready.h"

#include <sys/sendfile.h>
#include <sys/uio.h>

static char first[7], rest[200];
static struct iovec pieces[] = {{first, 6}, {rest, sizeof(rest) - 1}};
#define LINE 60                                     /* characters that are read from a queue */
static volatile int negative = -1, too_many = 2000; /* not seen by the compiler, which objects */

static mqd_t queue_with_a_message(void)
{
    mqd_t q = create(0, 2);

    put(q, "12345", 0);
    memset(first, 0, sizeof(first));
    memset(rest, 0, sizeof(rest));
    return q;
}

static void read_in_pieces(void **state)
{
    mqd_t q = queue_with_a_message();
    long n = ok(readv(q, pieces, 2));

    (void)state;
    assert_int_equal(n, LINE);
    assert_string_equal(first, "QSIZE:");
    assert_memory_equal(rest, "5          NOTIFY:0 ", 20);
    assert_int_equal(ok(readv(q, pieces, 2)), 0);
    assert_int_equal(ok(lseek(q, 0, SEEK_CUR)), LINE);
    ok(lseek(q, 0, SEEK_SET));
    assert_int_equal(ok(readv(q, pieces, 1)), 6);
    assert_int_equal(ok(readv(q, &pieces[1], 1)), LINE - 6);
    assert_int_equal(count(q), 1);
}

static void read_in_pieces_errors(void **state)
{
    mqd_t q = queue_with_a_message(), out = reopen(O_WRONLY);

    (void)state;
    assert_int_equal(ok(readv(q, pieces, 0)), 0);
    fails(readv(q, pieces, negative), EINVAL);
    fails(readv(q, pieces, too_many), EINVAL);
    fails(readv(q, NULL, 1), EFAULT);
    fails(readv(out, pieces, 2), EBADF);
    fails(readv(out, pieces, negative), EBADF);
}

static void read_at(void **state)
{
    mqd_t q = queue_with_a_message(), out = reopen(O_WRONLY);

    (void)state;
    assert_int_equal(ok(preadv(q, pieces, 2, 0)), LINE);
    assert_string_equal(first, "QSIZE:");
    assert_int_equal(ok(preadv(q, pieces, 2, 6)), LINE - 6);
    assert_memory_equal(first, "5     ", 6);
    assert_int_equal(ok(preadv(q, pieces, 2, 1000)), 0);
    assert_int_equal(ok(lseek(q, 0, SEEK_CUR)), 0);
    fails(preadv(q, pieces, 2, -1), EINVAL);
    fails(preadv(q, pieces, negative, 0), EINVAL);
    fails(preadv(out, pieces, 2, 0), EBADF);
    fails(preadv(out, pieces, 2, -1), EINVAL);
    fails(pread(out, first, 1, -1), EINVAL);
    fails(pread(out, first, 1, 0), EBADF);
}

static void read_with_flags(void **state)
{
    mqd_t q = queue_with_a_message();

    (void)state;
    assert_int_equal(ok(preadv2(q, pieces, 2, 0, 0)), LINE);
    assert_int_equal(ok(lseek(q, 0, SEEK_CUR)), 0);
    assert_int_equal(ok(preadv2(q, pieces, 1, -1, RWF_HIPRI)), 6);
    assert_int_equal(ok(lseek(q, 0, SEEK_CUR)), 6);
    fails(preadv2(q, pieces, 2, 0, RWF_NOWAIT), EOPNOTSUPP);
    fails(preadv2(q, pieces, 2, -2, 0), EINVAL);
}

static void no_way_to_send(void **state)
{
    mqd_t q = queue_with_a_message(), in = reopen(O_RDONLY);

    (void)state;
    fails(writev(q, pieces, 2), EINVAL);
    fails(writev(q, pieces, 0), EINVAL);
    fails(pwrite(q, "x", 1, 0), EINVAL);
    fails(pwritev(q, pieces, 2, 0), EINVAL);
    fails(pwritev2(q, pieces, 2, -1, 0), EINVAL);
    fails(writev(in, pieces, 2), EBADF);
    fails(pwrite(in, "x", 1, 0), EBADF);
    fails(pwrite(in, "x", 1, -1), EINVAL);
    fails(pwritev(in, pieces, 2, 0), EBADF);
    fails(pwritev(in, pieces, 2, -1), EINVAL);
    fails(pwritev2(in, pieces, 2, -1, 0), EBADF);
    assert_int_equal(ready(POLL, q), BOTH_WAYS);
    expect(q, "12345", 0);
    assert_int_equal(ready(POLL, q), WRITABLE);
}

static void no_way_for_the_kernel(void **state)
{
    mqd_t q = queue_with_a_message(), in = reopen(O_RDONLY), out = reopen(O_WRONLY);
    int pipes[2], file = (int)ok(open("/tmp", O_TMPFILE | O_RDWR, 0600));

    (void)state;
    ok(pipe(pipes));
    ok(write(pipes[1], "hello", 5));
    ok(pwrite(file, "hello", 5, 0));
    fails(sendfile(file, q, NULL, 5), EINVAL);
    fails(sendfile(file, out, NULL, 5), EBADF);
    fails(sendfile(q, file, NULL, 5), EINVAL);
    fails(sendfile(in, file, NULL, 5), EBADF);
    fails(sendfile(q, -1, NULL, 5), EBADF);
    fails(splice(q, NULL, pipes[1], NULL, 5, SPLICE_F_NONBLOCK), EINVAL);
    fails(splice(out, NULL, pipes[1], NULL, 5, SPLICE_F_NONBLOCK), EBADF);
    fails(splice(pipes[0], NULL, q, NULL, 5, SPLICE_F_NONBLOCK), EINVAL);
    fails(splice(pipes[0], NULL, in, NULL, 5, SPLICE_F_NONBLOCK), EBADF);
    assert_int_equal(ok(splice(pipes[0], NULL, q, NULL, 0, SPLICE_F_NONBLOCK)), 0);
    fails(tee(q, pipes[1], 5, SPLICE_F_NONBLOCK), EINVAL);
    fails(tee(pipes[0], q, 5, SPLICE_F_NONBLOCK), EINVAL);
    fails(vmsplice(q, pieces, 1, SPLICE_F_NONBLOCK), EBADF);
    fails(fcntl(q, F_GETPIPE_SZ), EBADF);
    fails(fcntl(q, F_SETPIPE_SZ, 65536), EBADF);
    expect(q, "12345", 0);
    assert_int_equal(ready(POLL, q), WRITABLE);
    assert_int_equal(read(pipes[0], rest, sizeof(rest)), 5);
}

/* Other files are not concerned. */
static void other_files(void **state)
{
    int pipes[2], more[2], file = (int)ok(open("/tmp", O_TMPFILE | O_RDWR, 0600));

    (void)state;
    create(0, 1);
    ok(pipe(pipes));
    ok(pipe(more));
    memcpy(first, "hello ", 6);
    memcpy(rest, "world", 5);
    pieces[1].iov_len = 5;
    assert_int_equal(ok(writev(file, pieces, 2)), 11);
    assert_int_equal(ok(pwritev(file, pieces, 2, 11)), 11);
    assert_int_equal(ok(pwrite(file, "H", 1, 0)), 1);
    assert_int_equal(ok(preadv(file, pieces, 2, 0)), 11);
    assert_memory_equal(first, "Hello ", 6);
    assert_int_equal(ok(readv(file, pieces, 2)), 11);
    assert_memory_equal(rest, "world", 5);
    assert_int_equal(ok(sendfile(pipes[1], file, &(off_t){0}, 5)), 5);
    assert_int_equal(ok(tee(pipes[0], more[1], 5, 0)), 5);
    assert_int_equal(ok(splice(pipes[0], NULL, file, &(off64_t){22}, 5, 0)), 5);
    assert_int_equal(ok(pread(file, first, 6, 22)), 5);
    assert_memory_equal(first, "Hello", 5);
    assert_int_equal(ok(vmsplice(pipes[1], pieces, 1, 0)), 6);
    pieces[1].iov_len = sizeof(rest) - 1;
}

int group_file_transfer(void)
{
    const struct CMUnitTest tests[] = {
        SAYS("readv(2): as read, into pieces", read_in_pieces),
        SAYS("readv(2): EBADF not open for reading; EINVAL, EFAULT the pieces",
             read_in_pieces_errors),
        SAYS("preadv(2): as readv, from an offset; EINVAL a negative one comes first", read_at),
        SAYS("preadv2(2): offset -1 is the position; EOPNOTSUPP flags", read_with_flags),
        SAYS("writev(2), pwrite(2), pwritev(2), pwritev2(2): as write", no_way_to_send),
        SAYS("sendfile(2), splice(2), tee(2), vmsplice(2): EINVAL, EBADF", no_way_for_the_kernel),
        SAYS("... and all of them for other files", other_files),
    };

    return RUN("file transfer", tests);
}
