/* The configuration names its queues only, so it changes nothing for others. */
#include "daemon.h"

#include "naming.h"
#include "stores.h"

#include "../storm.h"

static pid_t daemon_pid;
static char folder[4096]; /* of the configuration and the store */
static char program[4200];

const char *daemon_configure(void)
{
    const char *base = getenv("TMPDIR");
    char path[4200], library[4096];
    uintptr_t address;
    FILE *conf;

    if (!stores_find_library("libmqx_preload", library, &address))
        return "the library is not found among the mappings";
    *strrchr(library, '/') = 0;
    snprintf(program, sizeof program, "%s/../bin/mqxd", library);
    if (access(program, X_OK) != 0)
        return "there is no bin/mqxd beside the library's folder";
    snprintf(folder, sizeof folder, "%s/storm-step-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(folder))
        return "no folder can be made for its store";
    snprintf(path, sizeof path, "%s/mqx.conf", folder);
    conf = fopen(path, "w");
    if (!conf)
        return "no configuration can be written";
    fputs("[storm-step-async*]\ndurable = async\n[storm-step-sync*]\ndurable = sync\n"
          "receive = commit\n",
          conf);
    fprintf(conf, "[.sysv/0x%08x]\ndurable = async\n", DURABLE_KEY);
    fclose(conf);
    setenv("MQX_CONF", path, 1);
    return NULL;
}

static void become_mqxd(const char *store, int out)
{
    cpu_set_t all;

    memset(&all, 0xff, sizeof all); /* not only that of the storm */
    sched_setaffinity(0, sizeof all, &all);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl(program, program, "--store", store, (char *)NULL);
    _exit(127);
}

/* It says "mqxd: ready"; what it says later nobody reads, and it is little. */
static bool wait_ready(int in)
{
    char said[4096] = "";
    size_t n = 0;
    ssize_t got;

    while (!strstr(said, "ready") && n < sizeof said - 1 &&
           (got = read(in, said + n, sizeof said - 1 - n)) > 0)
        said[n += (size_t)got] = 0;
    if (!strstr(said, "ready"))
        printf("# mqxd says: %s\n", said);
    return strstr(said, "ready");
}

const char *daemon_start(void)
{
    char store[4200];
    int ends[2];

    snprintf(store, sizeof store, "%s/store", folder);
    if (pipe2(ends, O_CLOEXEC) != 0)
        storm_die("pipe");
    daemon_pid = storm_fork();
    if (daemon_pid == 0)
        become_mqxd(store, ends[1]);
    close(ends[1]);
    storm_guard(STORM_LIMIT);
    if (wait_ready(ends[0]))
        return NULL;
    daemon_stop();
    return "mqxd does not start";
}

void daemon_stop(void)
{
    if (daemon_pid > 0) {
        kill(daemon_pid, SIGTERM);
        waitpid(daemon_pid, NULL, 0);
    }
    remove_tree(folder);
}
