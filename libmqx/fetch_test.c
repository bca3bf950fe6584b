/*
 * What was checked must be what is used, although others may change it in
 * between.  Not by chance: the page of a word is made inaccessible, so that each
 * access to it is a fault, and for one of the accesses, each one in turn, the
 * word says something fatal, before and behind that what it should.  So whoever
 * reads a word, checks it, and reads it again, meets the fatal value the second
 * time.
 */
#include <signal.h>
#include <ucontext.h>

#include "engine.h"
#include "repair.h"
#include "snapshot.h"
#include "testing.h"
#include "thread.h"

#define MAXMSG  200
#define MSGSIZE 300
#define CANARY  8192

#if defined(__x86_64__)

#define TRAP_FLAG 0x100 /* stop after one instruction */

/* --- one access that says something else ------------------------------------------------------ */

static struct {
    uint8_t *page, *word;
    unsigned bytes;        /* of the word: 4 or 8 */
    uint64_t fatal, saved; /* what it is to say, what it says else */
    unsigned at, accesses; /* which access, how many there were */
    bool lying;
} watched;

static void on_access(int sig, siginfo_t *info, void *context)
{
    uint8_t *at = info->si_addr;

    if (at < watched.page || at >= watched.page + MQXI_PAGE) {
        signal(sig, SIG_DFL); /* outside: this crashes */
        return;
    }
    mprotect(watched.page, MQXI_PAGE, PROT_READ | PROT_WRITE);
    if (at >= watched.word && at < watched.word + watched.bytes &&
        ++watched.accesses == watched.at) {
        watched.lying = true;
        memcpy(&watched.saved, watched.word, watched.bytes);
        memcpy(watched.word, &watched.fatal, watched.bytes);
    }
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void after_access(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    /* Where the access wrote, that counts. */
    if (watched.lying && memcmp(watched.word, &watched.fatal, watched.bytes) == 0)
        memcpy(watched.word, &watched.saved, watched.bytes);
    watched.lying = false;
    mprotect(watched.page, MQXI_PAGE, PROT_NONE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

static void watch(struct mqxi_queue *q, size_t offset, unsigned bytes, uint64_t fatal, unsigned at)
{
    struct sigaction access = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO};
    struct sigaction after = {.sa_sigaction = after_access, .sa_flags = SA_SIGINFO};

    watched.page = (uint8_t *)q->header + offset / MQXI_PAGE * MQXI_PAGE;
    watched.word = (uint8_t *)q->header + offset;
    watched.bytes = bytes;
    watched.fatal = fatal;
    watched.at = at;
    watched.accesses = 0;
    sigaction(SIGSEGV, &access, NULL);
    sigaction(SIGTRAP, &after, NULL);
    IS(mprotect(watched.page, MQXI_PAGE, PROT_NONE), 0);
}

static void watch_no_more(void)
{
    IS(mprotect(watched.page, MQXI_PAGE, PROT_READ | PROT_WRITE), 0);
    signal(SIGSEGV, SIG_DFL);
}

/* --- what reads segments ---------------------------------------------------------------------- */

/* With room behind it for what would be written there. */
static uint8_t buffer[MSGSIZE + CANARY];

static bool promised(int r)
{
    return r == 0 || r == -EAGAIN || r == -EBADMSG || r == -EIO || r == -ENOSPC;
}

static void send(struct mqxi_queue *q, uint32_t len, uint32_t prio)
{
    uint32_t slot = 0;
    int r = mqxi_put(q, buffer, len, prio, 0, &slot, NULL);

    CHECK(promised(r) && slot < MAXMSG);
}

static void send_small(struct mqxi_queue *q)
{
    send(q, 8, 2);
}

static void send_large(struct mqxi_queue *q)
{
    send(q, MSGSIZE, 9);
}

static bool take(struct mqxi_queue *q, struct mqxi_taken *t)
{
    int r = mqxi_take(q, t);

    CHECK(promised(r));
    if (r < 0)
        return false;
    CHECK(t->slot < MAXMSG && t->len <= MSGSIZE && t->prio < MQXI_PRIO_MAX);
    memcpy(buffer, t->data, t->len);
    return true;
}

static void receive(struct mqxi_queue *q)
{
    struct mqxi_taken t;

    if (take(q, &t))
        CHECK(promised(mqxi_take_commit(q, &t)));
}

static void give_back(struct mqxi_queue *q)
{
    struct mqxi_taken t;

    if (take(q, &t))
        CHECK(promised(mqxi_take_abort(q, &t)));
}

static void mirror(struct mqxi_queue *q)
{
    struct mqxi_snapshot s;
    uint32_t words = mqxi_dirty_words(q), slots = mqxi_dirty_slots(q);

    CHECK(slots <= MAXMSG && words <= (MAXMSG + 63) / 64);
    mqxi_dirty_begin(q);
    for (uint32_t i = 0; i < words; i++)
        mqxi_dirty_take(q, i);
    for (uint32_t i = 0; i < slots; i += i == 0 ? 70 : MAXMSG) {
        int r = mqxi_snapshot(q, i, &s, buffer);

        CHECK(promised(r));
        CHECK(r < 0 || s.key == 0 || s.len <= MSGSIZE);
    }
}

static void repair(struct mqxi_queue *q)
{
    bool claims;

    CHECK(promised(mqxi_repair(q, &claims)));
}

static void count(struct mqxi_queue *q)
{
    CHECK(mqxi_count(q) <= MAXMSG);
    CHECK(mqxi_bytes(q) <= (uint64_t)MAXMSG * MSGSIZE);
}

static void (*const uses[])(struct mqxi_queue *q) = {send_small, send_large, receive, give_back,
                                                     mirror,     repair,     count};

/* --- every access to a word ------------------------------------------------------------------- */

static struct mqxi_queue *queue;
static uint8_t *pristine; /* its segment */
static unsigned long lies;

/* A queue in use: messages in it, those in the front after those behind it, one slot taken. */
static void prepare(uint32_t messages)
{
    struct mqxi_taken t;

    queue = create("q", MAXMSG, MSGSIZE);
    for (uint32_t i = 0; i < messages; i++)
        IS(mqxi_put(queue, buffer, i % 10 ? 8 : MSGSIZE, i / 10, 0, NULL, NULL), 0);
    IS(mqxi_take(queue, &t), 0);
    pristine = malloc(queue->layout.overflow);
    CHECK(pristine != NULL);
    memcpy(pristine, queue->header, queue->layout.overflow);
}

static void try_word(size_t offset, unsigned bytes, uint64_t fatal)
{
    for (unsigned u = 0; u < sizeof(uses) / sizeof(*uses); u++)
        for (unsigned at = 1;; at++) {
            memcpy(queue->header, pristine, queue->layout.overflow);
            memset(buffer, 0x5a, sizeof(buffer));
            watch(queue, offset, bytes, fatal, at);
            uses[u](queue);
            watch_no_more();
            for (int i = MSGSIZE; i < MSGSIZE + CANARY; i++)
                if (buffer[i] != 0x5a)
                    FAIL("use %u: byte %d behind a message was written", u, i - MSGSIZE);
            if (watched.accesses < at)
                break;
            lies++;
        }
}

static void lengths(void)
{
    static const uint32_t slots[] = {91, 70, 0}; /* the next message, and two that are mirrored */

    prepare(100);
    for (int i = 0; i < 3; i++) {
        size_t at = queue->layout.slots + slots[i] * queue->layout.stride;

        try_word(at + offsetof(struct mqxi_slot, len), 4, MSGSIZE + 1);
        try_word(at + offsetof(struct mqxi_slot, len), 4, MSGSIZE + CANARY / 2);
        try_word(at + offsetof(struct mqxi_slot, len), 4, UINT32_MAX);
        try_word(at + offsetof(struct mqxi_slot, room), 4, UINT32_MAX);
        try_word(at + offsetof(struct mqxi_slot, key), 8, UINT64_MAX);
    }
    CHECK(lies > 20);
}

static void nodes(void)
{
    prepare(100);
    for (unsigned level = 0; level < queue->layout.levels; level++) {
        size_t at = queue->layout.level[level];

        try_word(at + offsetof(struct mqxi_node, where), 8, 0xffffff);
        try_word(at + offsetof(struct mqxi_node, where), 8, MAXMSG);
        try_word(at + offsetof(struct mqxi_node, key), 8, 1);
        try_word(at + offsetof(struct mqxi_node, key), 8, UINT64_MAX);
    }
    CHECK(lies > 50);
}

static void try_counts(uint32_t messages)
{
    static const uint32_t fatal[] = {MAXMSG + 1, INT32_MAX, UINT32_MAX, 0};

    prepare(messages);
    for (int i = 0; i < 4; i++) {
        try_word(offsetof(struct mqxi_header, reserved), 4, fatal[i]);
        try_word(offsetof(struct mqxi_header, free_word), 4, fatal[i]);
        try_word(offsetof(struct mqxi_header, front_used), 4, fatal[i]);
    }
    CHECK(lies > 20);
}

static void counts(void)
{
    try_counts(100);
}

static void counts_of_a_full_queue(void)
{
    try_counts(MAXMSG);
}

static void control_words(void)
{
    prepare(100);
    for (uint32_t slot = 0; slot < 100; slot += 33) {
        size_t at = queue->layout.ctl + slot * sizeof(uint64_t);

        try_word(at, 8, MQXI_CTL_TAKING | 1);
        try_word(at, 8, MQXI_CTL_OWNED | MQXI_CTL_STATE);
        try_word(at, 8, 1);
        try_word(at, 8, MQXI_CTL_FREE);
    }
    CHECK(lies > 50);
}

#else

static void lengths(void)
{
    SKIP("needs a processor that stops after each instruction");
}
#define nodes                  lengths
#define counts                 lengths
#define counts_of_a_full_queue lengths
#define control_words          lengths

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(lengths), UNIT(nodes), UNIT(counts), UNIT(counts_of_a_full_queue), UNIT(control_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
