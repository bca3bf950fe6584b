/*
 * The machine: a file system whose power can be cut, the memory in $MQX_DIR, and
 * mqxd.  The supervisor itself never uses a queue, so that it can lose the
 * memory.
 */
#include "storm.h"

#include <dirent.h>
#include <ftw.h>
#include <lmdb.h>
#include <sys/mount.h>

static void run(const char *const *argv, const char *log)
{
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : 2;

    unsetenv("LD_PRELOAD");
    if (fd < 0 || dup2(fd, 2) < 0)
        _exit(127);
    execv(argv[0], (char **)(uintptr_t)argv);
    perror(argv[0]);
    _exit(127);
}

static int control(struct machine *m, int flags)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/.control", m->mount);
    return open(path, flags | O_CLOEXEC);
}

static void write_conf(struct machine *m)
{
    FILE *f = fopen(m->conf, "w");

    if (!f)
        storm_die(m->conf);
    fprintf(f, "window = %d\n[cut-*]\ndurable = sync\n%s[cut-async]\ndurable = async\n", WINDOW_MS,
            ledger->commit ? "receive = commit\n" : "");
    for (unsigned q = 0; q < QUEUES; q++)
        if (!queues[q].name)
            fprintf(f, "[.sysv/0x%08x]\ndurable = %s\n%smaxmsg = %u\nmsgsize = %d\n", queues[q].key,
                    queues[q].sync ? "sync" : "async",
                    ledger->commit && queues[q].sync ? "receive = commit\n" : "",
                    (unsigned)ledger->maxmsg, MSGSIZE);
    if (fclose(f) != 0)
        storm_die(m->conf);
}

void machine_build(struct machine *m)
{
    const char *temporary = getenv("TMPDIR");
    uint64_t until = storm_now() + STORM_LIMIT_NS;
    int fd;

    snprintf(m->mount, sizeof(m->mount), "%s/mqx-cut.XXXXXX", temporary ? temporary : "/tmp");
    if (!getenv("MQX_DIR") || !mkdtemp(m->mount))
        storm_die("$MQX_DIR, or a directory for the disk");
    snprintf(m->conf, sizeof(m->conf), "%s.conf", m->mount);
    snprintf(m->log, sizeof(m->log), "%s.log", m->mount);
    write_conf(m);
    setenv("MQX_CONF", m->conf, 1);
    setenv("MQX_STORE", m->mount, 1);
    m->fs_pid = storm_fork();
    if (m->fs_pid == 0)
        run((const char *[]){m->cutfs, m->mount, NULL}, NULL);
    while ((fd = control(m, O_RDONLY)) < 0 && storm_now() < until)
        storm_nap(1000000);
    if (fd < 0)
        storm_die("cutfs is not there");
    close(fd);
}

void machine_remove(struct machine *m)
{
    machine_kill_mqxd(m);
    kill(m->fs_pid, SIGTERM); /* it unmounts, unless somebody is in there */
    waitpid(m->fs_pid, NULL, 0);
    umount2(m->mount, MNT_DETACH);
    rmdir(m->mount);
    unlink(m->conf);
    unlink(m->log);
    machine_lose_memory();
}

void machine_order(struct machine *m, const char *format, ...)
{
    char order[80];
    int fd = control(m, O_WRONLY);
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(order, sizeof(order), format, args);
    va_end(args);
    if (fd < 0 || write(fd, order, (size_t)n) != n)
        storm_die(order);
    close(fd);
}

/* What the database names: the number that the journal's records begin with. */
static bool read_nonce(struct machine *m, uint64_t *nonce)
{
    MDB_val key = {7, "journal"}, value;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta;
    bool named = false;

    if (mdb_env_create(&env) != 0)
        storm_die("LMDB");
    mdb_env_set_maxdbs(env, 8);
    if (mdb_env_open(env, m->mount, MDB_RDONLY | MDB_NOLOCK, 0600) == 0 &&
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) == 0) {
        named = mdb_dbi_open(txn, "meta", 0, &meta) == 0 &&
                mdb_get(txn, meta, &key, &value) == 0 && value.mv_size >= sizeof(*nonce);
        if (named)
            memcpy(nonce, value.mv_data, sizeof(*nonce));
        mdb_txn_abort(txn);
    }
    mdb_env_close(env);
    return named;
}

unsigned machine_journal_records(struct machine *m)
{
    struct {
        uint64_t nonce, check;
        uint32_t bytes, changes;
    } head;
    unsigned records = 0;
    uint64_t nonce;
    char path[300];
    off_t at = 0;
    int fd;

    snprintf(path, sizeof(path), "%s/journal", m->mount);
    if (!read_nonce(m, &nonce) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return 0;
    for (; pread(fd, &head, sizeof(head), at) == sizeof(head) && head.nonce == nonce; records++)
        at += (off_t)((sizeof(head) + head.bytes + 4095) & ~UINT64_C(4095));
    close(fd);
    return records;
}

bool machine_is_off(struct machine *m)
{
    char text[200] = "";
    int fd = control(m, O_RDONLY);

    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        storm_die("cutfs does not answer");
    close(fd);
    return strncmp(text, "off", 3) == 0;
}

bool machine_store_is_right(struct machine *m)
{
    char command[700], line[200], text[4000] = "";
    FILE *check;

    snprintf(command, sizeof(command), "LD_PRELOAD= %s store check 2>&1", m->mqx);
    check = popen(command, "re");
    if (!check)
        storm_die(command);
    while (fgets(line, sizeof(line), check))
        if (strlen(text) + strlen(line) + 3 < sizeof(text))
            strcat(strcat(text, "# "), line);
    if (pclose(check) == 0)
        return true;
    printf("# mqx store check:\n%s", text);
    return false;
}

void machine_start_mqxd(struct machine *m)
{
    unlink(m->log); /* what its predecessor said is not what it says */
    m->mqxd_pid = storm_fork();
    if (m->mqxd_pid == 0)
        run((const char *[]){m->mqxd, NULL}, m->log);
}

static size_t read_log(struct machine *m, char *text, size_t size)
{
    int fd = open(m->log, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

bool machine_is_ready(struct machine *m)
{
    char text[8000];

    read_log(m, text, sizeof(text));
    return strstr(text, "mqxd: ready\n");
}

bool machine_has_ended(struct machine *m)
{
    if (m->mqxd_pid && waitpid(m->mqxd_pid, NULL, WNOHANG) == m->mqxd_pid)
        m->mqxd_pid = 0;
    return !m->mqxd_pid;
}

void machine_kill_mqxd(struct machine *m)
{
    if (!m->mqxd_pid)
        return;
    kill(m->mqxd_pid, SIGKILL);
    waitpid(m->mqxd_pid, NULL, 0);
    m->mqxd_pid = 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    return where->level && remove(path) < 0 ? -1 : 0;
}

void machine_lose_memory(void)
{
    if (nftw(getenv("MQX_DIR"), remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
        storm_die("$MQX_DIR cannot be emptied");
}

void machine_print_log(struct machine *m)
{
    char text[4000];

    if (read_log(m, text, sizeof(text)))
        printf("# mqxd said:\n%s", text);
}
