/*
 * What is seen of a store that is written at the same time: always one state of it, and no older
 * one than when the look at it began.
 *
 * Another process uses the store, as mqxd does, and does one thing between two of our steps,
 * which are calls that are wrapped here (--wrap): each thing is tried at each step.
 */
#include "inspect.h"

#include <fcntl.h>

#include "record.h"
#include "testing.h"

#define WINDOW 20           /* messages that there are at a time: numbers up to the last one */
#define SLOTS  (2 * WINDOW) /* where they go round and round */

static const uint8_t queue[16] = {1};

/* Each does something and says what the last number is then. */
enum action {
    COMMIT,  /* one number */
    SETTLE,  /* what is in the journal moves, and it begins anew */
    SETTLES, /* several times, with commits between */
    LARGE,   /* a commit that the journal does not take */
    FILL,    /* commits until it was full */
    GROW,    /* the file, beyond any map that others have */
    ACTIONS
};

/* --- who writes ------------------------------------------------------------------------------- */

struct writer {
    int orders[2], answers[2];
    pid_t pid;
};

struct numbers {
    uint32_t last, len;
};

static int put_next(struct store *s, void *arg)
{
    static uint8_t data[5 << 20];
    struct numbers *n = arg;
    uint32_t next = n->last + 1;
    struct mqxi_snapshot m = {.key = next, .len = n->len};
    int r = store_put_message(s, queue, next % SLOTS, &m, data);

    return r == 0 && next > WINDOW ? store_delete_message(s, queue, (next - WINDOW) % SLOTS) : r;
}

static void put(struct store *s, struct numbers *n, uint32_t count, uint32_t len)
{
    n->len = len;
    for (; count > 0; count--) {
        IS(store_commit(s, put_next, n), 0);
        n->last++;
    }
}

static void act(struct store *s, enum action action, struct numbers *n)
{
    for (int i = 0; action == SETTLES && i < 3; i++) {
        IS(store_turn(s), 0);
        put(s, n, 3, 100);
    }
    if (action == SETTLE)
        IS(store_turn(s), 0);
    put(s, n, 1, action == LARGE ? 3 << 20 : 3000);
    if (action == FILL)
        put(s, n, 300, 3000);
    if (action == GROW)
        put(s, n, WINDOW, 5 << 20);
}

static void write_numbers(void *arg)
{
    struct writer *w = arg;
    struct numbers n = {0};
    struct store *s;
    uint8_t order;

    close(w->orders[1]);
    IS(store_open(getenv("MQX_STORE"), &s), 0);
    while (read(w->orders[0], &order, 1) == 1) {
        act(s, order, &n);
        IS(write(w->answers[1], &n.last, sizeof(n.last)), sizeof(n.last));
    }
    store_close(s);
}

static uint32_t order(const struct writer *w, uint8_t action)
{
    uint32_t last;

    IS(write(w->orders[1], &action, 1), 1);
    IS(read(w->answers[0], &last, sizeof(last)), sizeof(last));
    return last;
}

static struct writer start_writer(void)
{
    static char path[PATH_MAX];
    struct writer w;

    snprintf(path, sizeof(path), "%s/store", getenv("MQX_DIR"));
    setenv("MQX_STORE", path, 1);
    IS(system("rm -rf \"$MQX_STORE\" && mkdir \"$MQX_STORE\""), 0);
    IS(pipe2(w.orders, O_CLOEXEC), 0);
    IS(pipe2(w.answers, O_CLOEXEC), 0);
    w.pid = start(write_numbers, &w);
    close(w.orders[0]);
    close(w.answers[1]);
    return w;
}

static void end_writer(struct writer *w)
{
    close(w->orders[1]);
    finish(w->pid);
    close(w->answers[0]);
}

/* --- steps ------------------------------------------------------------------------------------ */

static struct {
    const struct writer *writer; /* NULL: do nothing */
    enum action action;
    int at, steps; /* that at which it is done; that there were */
} now;

static void step(void)
{
    if (now.writer && now.steps++ == now.at)
        order(now.writer, now.action);
}

int __real_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
int __wrap_mdb_txn_begin(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn)
{
    int r;

    step();
    r = __real_mdb_txn_begin(env, parent, flags, txn);
    step();
    return r;
}

int __real_mdb_env_copyfd2(MDB_env *env, int fd, unsigned flags);
int __wrap_mdb_env_copyfd2(MDB_env *env, int fd, unsigned flags);
int __wrap_mdb_env_copyfd2(MDB_env *env, int fd, unsigned flags)
{
    int r;

    step();
    r = __real_mdb_env_copyfd2(env, fd, flags);
    step();
    return r;
}

/* The journal is read in parts. */
ssize_t __real_pread(int fd, void *to, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *to, size_t len, off_t at)
{
    if (now.writer && len > JOURNAL_FIRST / 2)
        len = at ? len / 2 : 3 * JOURNAL_ALIGN;
    step();
    return __real_pread(fd, to, len, at);
}

/* --- what is seen ----------------------------------------------------------------------------- */

struct row {
    uint32_t first, last, count;
    uint32_t slot; /* of the one before */
};

static int see(const MDB_val *key, const MDB_val *value, void *arg)
{
    struct row *row = arg;
    struct mqxi_snapshot m;
    const void *data;
    uint32_t slot;

    CHECK(record_message(key, value, &slot, &m, &data) == NULL);
    IS(m.key % SLOTS, slot);
    CHECK(row->count == 0 || slot > row->slot);
    row->slot = slot;
    if (row->count++ == 0 || m.key < row->first)
        row->first = (uint32_t)m.key;
    if (m.key > row->last)
        row->last = (uint32_t)m.key;
    return 0;
}

static struct row row_of(struct inspect *s)
{
    struct row all = {0}, queues = {0};

    IS(inspect_each(s, s->messages, see, &all), 0);
    IS(inspect_each_message(s, queue, see, &queues), 0);
    CHECK(memcmp(&all, &queues, sizeof(all)) == 0);
    return all;
}

static struct row look(void)
{
    struct inspect s;
    struct row row;

    IS(inspect_open(getenv("MQX_STORE"), &s), 0);
    row = row_of(&s);
    inspect_close(&s);
    return row;
}

static struct row copy(void)
{
    char to[PATH_MAX];
    struct inspect s;
    struct row row;
    uint64_t size;

    snprintf(to, sizeof(to), "%s/copy", getenv("MQX_DIR"));
    IS(system("rm -rf \"$MQX_DIR/copy\""), 0);
    IS(inspect_open(getenv("MQX_STORE"), &s), 0);
    IS(inspect_backup(&s, to, &size), 0);
    inspect_close(&s);
    now.writer = NULL;
    IS(inspect_open(to, &s), 0);
    IS(s.journal.fd, -1);
    row = row_of(&s);
    inspect_close(&s);
    return row;
}

static void is_one_state(struct row (*seen)(void), const struct writer *w, enum action action,
                         int at)
{
    uint32_t before = order(w, COMMIT), after;
    struct row row;

    now.writer = w;
    now.action = action;
    now.at = at;
    now.steps = 0;
    row = seen();
    now.writer = NULL;
    after = order(w, COMMIT);
    if (row.last < before || row.last >= after ||
        row.count != (row.last < WINDOW ? row.last : WINDOW) ||
        row.first != row.last - row.count + 1)
        FAIL("action %d at step %d, %u to %u were committed: there are %u, from %u to %u", action,
             at, before, after - 1, row.count, row.first, row.last);
}

static void at_each_step(struct row (*seen)(void), bool begins)
{
    struct writer w = start_writer();
    int tried = 0;

    for (int action = 0; action < (seen == copy && !begins ? ACTIONS : GROW); action++) {
        for (int at = 0; now.steps = 0, at < 1000; at++, tried++) {
            if (begins || action == GROW) { /* there is no journal yet; or it is small */
                end_writer(&w);
                w = start_writer();
            }
            is_one_state(seen, &w, action, at);
            if (now.steps <= at) /* it came to its end */
                break;
        }
    }
    CHECK(tried >= 2 * GROW);
    end_writer(&w);
}

static void looks(void)
{
    at_each_step(look, false);
}

static void looks_when_the_journal_is_made(void)
{
    at_each_step(look, true);
}

static void copies(void)
{
    at_each_step(copy, false);
}

static void copies_when_the_journal_is_made(void)
{
    at_each_step(copy, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(looks),
        UNIT(looks_when_the_journal_is_made),
        UNIT(copies),
        UNIT(copies_when_the_journal_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
