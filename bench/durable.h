/* The benchmark of durable queues: who is measured, and who sends. */
#ifndef BENCH_DURABLE_H
#define BENCH_DURABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SENDERS_MAX      64
#define SIZE_MAX_MESSAGE 4096

/* Who keeps messages on disk.  All functions end the program where something fails. */
struct peer {
    const char *name;
    const char *package; /* Debian's, of who is to be installed for it; or NULL */
    bool grouped;        /* one process writes a message for each sender at once */
    bool slow;           /* to start: not in a quick round */
    double target[3];    /* how many times as fast as it mqx is to be, for 1, 8 and 64 senders */
    const char *(*missing)(void); /* NULL, or what of it is not there */
    void (*start)(void);
    void *(*open)(size_t size); /* in a sender */
    void (*send)(void *, const char *message, size_t size,
                 unsigned group); /* on disk when it returns */
    void (*empty)(size_t size);   /* after a turn; or NULL */
};
enum { RAW, PLACE, GROUP, MQX, REDIS, BEANSTALKD, RABBITMQ, PEERS };
extern const struct peer peer_raw, peer_place, peer_group, peer_mqx, peer_redis, peer_beanstalkd,
    peer_rabbitmq;

/* --- durable_server.c: programs that serve, and the directory of all files --- */

void durable_fail(const char *what, const char *which) __attribute__((noreturn));
void durable_begin(const char *below); /* two directories, one of them in it: removed at the end */
const char *durable_path(const char *name);    /* in that directory; static */
const char *durable_memory(void);              /* the other one */
void durable_lose_memory(void);                /* as after a reboot: that is empty */
const char *durable_program(const char *name); /* where the path leads to; NULL: nowhere; static */
unsigned durable_port(void);                   /* that nobody uses */
/* Its output goes to NAME.log, environment as "KEY=VALUE"; both lists end with NULL. */
pid_t durable_serve(const char *name, const char *const *args, const char *const *environment);
void durable_end(pid_t server, int signal);
/* Until it is so, but not for ever, nor if the server ends. */
void durable_await(pid_t server, const char *what, bool (*is_so)(void));
int durable_connect(const char *path); /* a Unix socket; -1 */

/* --- durable_peers.c: files --- */

struct file;
/* In that directory; as LMDB's, which uses its room again: no new blocks, only data. */
struct file *file_in_place(const char *name);
void file_write(struct file *f, const char *messages, size_t size, unsigned count); /* and sync */

/* --- durable_team.c: processes that send --- */

struct team;
struct team *team_open(const struct peer *peer, unsigned senders, size_t size);
double team_turn(struct team *team, double seconds); /* messages a second, of all together */
void team_close(struct team *team);

/* --- durable_mqx.c: mqx, and what it has alone --- */

void mqx_begin(const char *mqxd); /* the program */
/* ns a message for its sender, in batches that take turns: of a volatile queue, and of an async
 * one. */
void mqx_async(size_t size, int batches, double *volatile_ns, double *async_ns);
/* Seconds until mqxd, started with so many messages in its store and none in memory, is ready. */
double mqx_restore(size_t size, long messages);

#endif
