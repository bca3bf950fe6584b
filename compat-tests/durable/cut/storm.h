/* What the parts of cut_storm share: the machine whose power is cut, and the ledger. */
#ifndef CUT_STORM_H
#define CUT_STORM_H

#include "../../crash/storm.h"

#define CLIENTS   6
#define CHECKER   CLIENTS /* reads everything after a cut, as one more client */
#define NUMBERS   6000    /* messages of a client in an epoch */
#define QUEUES    4
#define MSGSIZE   3000
#define WINDOW_MS 5

/* --- machine.c -------------------------------------------------------------------------------- */

struct machine {
    const char *cutfs, *mqxd, *mqx; /* programs */
    char mount[256], conf[280], log[280];
    pid_t fs_pid, mqxd_pid;
};

void machine_build(struct machine *m);
void machine_remove(struct machine *m);
/* An order for cutfs's .control. */
__attribute__((format(printf, 2, 3))) void machine_order(struct machine *m, const char *format,
                                                         ...);
bool machine_is_off(struct machine *m);
/* How many the journal has that count; the last one may be torn.  Without mqxd. */
unsigned machine_journal_records(struct machine *m);
/* `mqx store check`. */
bool machine_store_is_right(struct machine *m);
void machine_start_mqxd(struct machine *m);
/* mqxd has said that it is ready. */
bool machine_is_ready(struct machine *m);
/* mqxd has ended by itself; it is then no longer there. */
bool machine_has_ended(struct machine *m);
void machine_kill_mqxd(struct machine *m);
void machine_lose_memory(void);
void machine_print_log(struct machine *m);

/* --- ledger.c --------------------------------------------------------------------------------- */

/* A message that a client has sent, or tried to.  Lives are numbered from 1: the time from one
 * power cut to the next; an epoch is the time from one empty machine to the next. */
struct entry {
    uint64_t began, ended;         /* the send, by CLOCK_MONOTONIC */
    _Atomic uint32_t received;     /* in which life; 0: never */
    _Atomic uint32_t refused;      /* the send failed, and in which life */
    _Atomic uint32_t maybe;        /* in which life somebody died who may have received it */
    _Atomic uint32_t returned;     /* receives that failed and gave it back, and no commit since */
    uint8_t queue, tried;          /* tried: the send has begun */
    _Atomic(uint8_t) sent, stored; /* the send returned 0; it must be on disk */
    _Atomic(uint8_t) removed;      /* its removal must be on disk */
};

struct client {
    struct entry entry[NUMBERS];
    uint32_t next; /* number */
    /* A receive has begun, and what it got is noted: killed in between, it may have got what is in
     * the buffer. */
    _Atomic uint64_t begun, noted;
    struct {
        long type;
        uint8_t bytes[MSGSIZE];
    } buffer;
};

struct ledger {
    uint32_t life, epoch, maxmsg, commit; /* commit: receives from sync queues wait for it */
    _Atomic uint32_t wrong;               /* broken promises */
    _Atomic uint64_t sends, receives, fences, came_back;
    uint32_t percent_sends, percent_fences, permille_own;
    struct client client[CLIENTS + 1];
};
extern struct ledger *ledger;

__attribute__((format(printf, 1, 2))) void ledger_wrong(const char *format, ...);
/* A client received these bytes, by a call that returned. */
struct entry *ledger_received(unsigned client, unsigned queue, const struct storm_msg *msg,
                              size_t len);
/* What is in the client's buffer; NULL: nothing whole. */
struct entry *ledger_in_buffer(unsigned client);
/* What it may have received when it was killed. */
void ledger_settle(unsigned client);
/* All that is left was received by the checker: is anything missing? */
void ledger_check(void);
void ledger_new_epoch(void);

/* --- client.c --------------------------------------------------------------------------------- */

struct queue {
    const char *name; /* POSIX, else NULL */
    int key;
    bool sync;
};
extern const struct queue queues[QUEUES];

void client_work(unsigned client, uint64_t luck) __attribute__((noreturn));
/* Receive all there is, in order, and have that stored. */
void client_drain(void) __attribute__((noreturn));

#endif
