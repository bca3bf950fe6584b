/*
 * What others do between two instructions, met for certain.  A first caller's
 * mapping of the segment is made inaccessible, so that each access to it is a
 * fault; at one of the accesses, each one in turn, others go on, through mappings
 * of their own.  Of these the first may be held up at each of its accesses in the
 * same way, while a third goes on.
 *
 * A queue that does one call after the other must have been able to give the
 * answers of all, in an order that keeps what was over before what began later:
 * also those of whoever drains and fills the queue in the end.
 */
#include <signal.h>
#include <ucontext.h>

#include "client.h"
#include "engine.h"
#include "repair.h"
#include "slots.h"
#include "testing.h"

#if defined(__x86_64__)

#include "interleave_testing.h"

#define TRAP_FLAG 0x100 /* stop after one instruction */

/* --- others at one access --------------------------------------------------------------------- */

static struct caller {
    struct mqxi_queue *q;
    struct caller *next;
    const char *calls;     /* the first of them is held up */
    unsigned at, accesses; /* which access, how many there were */
    unsigned again, step;  /* that often again, so many accesses later */
    void (*look)(struct caller *c, const uint8_t *at); /* at each access, instead */
} callers[3], *opened;

static size_t watched_bytes(const struct mqxi_queue *q)
{
    return q->layout.overflow / MQXI_PAGE * MQXI_PAGE;
}

static void go_on(struct caller *c)
{
    make_call(c->q, *c->calls);
    if (c->at) {
        c->at = 0;
        IS(mprotect(c->q->header, watched_bytes(c->q), PROT_READ | PROT_WRITE), 0);
    }
    make_calls(c->q, c->calls + 1);
}

static void begin(struct caller *c)
{
    c->accesses = 0;
    if (c->at)
        IS(mprotect(c->q->header, watched_bytes(c->q), PROT_NONE), 0);
    go_on(c);
}

/* Of the slots of a tree's front, which are full, only some are worth it. */
static bool counts(const struct caller *c, const uint8_t *at)
{
    const uint8_t *ctl = (const uint8_t *)c->q->ctl;

    return c->q->layout.levels == 0 || at < ctl + 4 * sizeof(*c->q->ctl) ||
           at >= ctl + (MQXI_FRONT - 4) * sizeof(*c->q->ctl);
}

static void on_access(int sig, siginfo_t *info, void *context)
{
    uint8_t *at = info->si_addr;
    struct caller *c = callers;

    while (c < callers + 3 && !(c->at && at >= (uint8_t *)c->q->header &&
                                at < (uint8_t *)c->q->header + watched_bytes(c->q)))
        c++;
    if (c == callers + 3) {
        signal(sig, SIG_DFL); /* elsewhere: this crashes */
        return;
    }
    if (c->look)
        c->look(c, at);
    else if (counts(c, at) && ++c->accesses == c->at) {
        begin(c->next);
        if (c->again > 0) {
            c->again--;
            c->at += c->step;
        }
    }
    mprotect(c->q->header, watched_bytes(c->q), PROT_READ | PROT_WRITE);
    opened = c;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void after_access(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)info;
    mprotect(opened->q->header, watched_bytes(opened->q), PROT_NONE);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

/* --- interleavings ---------------------------------------------------------------------------- */

struct scene {
    unsigned maxmsg, fillers;
    const char *before, *calls[4]; /* of the first, who is held up, and of the others; last the
                                      second's when all that is over: then he also drains it */
    unsigned stride;               /* the second is held up at every so many-th access */
    unsigned again;                /* the others come back that often */
};

static bool play(const struct scene *s, unsigned first, unsigned second, unsigned step)
{
    struct mqxi_queue *q = callers[0].q;

    calls = now = 0;
    for (unsigned i = 0; i < s->fillers; i++)
        make_call(q, '0');
    make_calls(q, s->before);
    for (unsigned i = 0; i < 3; i++)
        callers[i].calls = s->calls[i] ? s->calls[i] : "";
    callers[0].at = first;
    callers[0].again = step ? s->again : 0;
    callers[0].step = step;
    callers[1].at = second;
    begin(&callers[0]);
    q = callers[s->calls[3] != NULL].q;
    make_calls(q, s->calls[3] ? s->calls[3] : "");
    if (strpbrk(s->before, "xy!"))
        make_call(q, '+');
    while (history[calls - 1].result >= 0 || history[calls - 1].kind != TAKE)
        make_call(q, '-');
    while (history[calls - 1].kind != PUT || history[calls - 1].result == 0)
        make_call(q, '1');
    while (history[calls - 1].kind != TAKE || history[calls - 1].result >= 0)
        make_call(q, '-');
    if (!linearizable(s->maxmsg)) {
        print_history();
        FAIL("\"%s\" at %u, again after %u, \"%s\" at %u, \"%s\": wrong answers", s->calls[0],
             first, step, s->calls[1], second, s->calls[2] ? s->calls[2] : "");
    }
    return callers[0].accesses >= first;
}

static unsigned play_all(const struct scene *s)
{
    unsigned games = 0;
    bool met = true;

    for (unsigned first = 1; met; first++) {
        bool met_too = s->stride > 0;

        met = play(s, first, 0, 0);
        games++;
        for (unsigned step = 1; s->again && step < 8; step++, games++)
            play(s, first, 0, step);
        for (unsigned second = met_too ? 1 + first % s->stride : 0; met && met_too;
             second += s->stride) {
            play(s, first, second, 0);
            games++;
            met_too = callers[1].accesses >= second;
        }
    }
    return games;
}

static void watch_accesses(void)
{
    struct sigaction access = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO | SA_NODEFER};
    struct sigaction after = {.sa_sigaction = after_access, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (SANITIZED)
        SKIP("a sanitizer's runtime does some of the accesses itself");
    sigaction(SIGSEGV, &access, NULL);
    sigaction(SIGTRAP, &after, NULL);
}

static void interleave(const struct scene *scenes, unsigned count)
{
    watch_accesses();
    for (unsigned i = 0; i < count; i++) {
        unsigned games;

        callers[0].q = create("q", scenes[i].maxmsg, 8);
        for (unsigned c = 1; c < 3; c++) {
            callers[c].q = attach("q");
            callers[c - 1].next = &callers[c];
        }
        find_dead_owner(callers[0].q);
        games = play_all(&scenes[i]);
        printf("%u slots, after \"%s\": \"%s\" beside \"%s\" and \"%s\": %u times\n",
               scenes[i].maxmsg, scenes[i].before, scenes[i].calls[0], scenes[i].calls[1],
               scenes[i].calls[2] ? scenes[i].calls[2] : "", games);
        for (unsigned c = 0; c < 3; c++)
            mqxi_segment_detach(callers[c].q);
        IS(mqxi_segment_unlink("q"), 0);
    }
}

#define INTERLEAVE(...)                                                                            \
    static const struct scene scenes[] = {__VA_ARGS__};                                            \
                                                                                                   \
    interleave(scenes, sizeof(scenes) / sizeof(*scenes))

/* There is a message all the time, but it moves. */
static void not_empty(void)
{
    INTERLEAVE({8, 0, "55551----", {"-", "1-"}, 0, 0}, {8, 0, "55551----", {"-", "1", "-"}, 3, 0},
               {8, 0, "1", {"-", "1-1-"}, 0, 0}, {70, 64, "1", {"-", "1-"}, 0, 0},
               {70, 0, "1", {"-", "1", "-"}, 5, 0});
}

/* There is room all the time, but it moves. */
static void not_full(void)
{
    INTERLEAVE({8, 0, "11111511-", {"1", "1", "-"}, 2, 0}, {8, 0, "11111511-", {"1", "-1-1"}, 0, 0},
               {70, 64, "111511-", {"1", "1", "-"}, 3, 0}, {70, 64, "111511-", {"1", "-1"}, 0, 0},
               {65, 64, "", {"1", "1", "-"}, 5, 0}, {65, 64, "1-", {"1", "1-1"}, 0, 0});
}

/* What is first all the time, or comes first, is what is taken. */
static void first_first(void)
{
    INTERLEAVE({8, 0, "555521----", {"-", "2-"}, 0, 0}, {8, 0, "555521----", {"-", "2", "-"}, 3, 0},
               {8, 0, "5551---", {"-", "21"}, 0, 0}, {70, 0, "555521----", {"-", "2-"}, 0, 0},
               {70, 64, "121", {"-", "2-"}, 0, 0}, {70, 64, "1", {"-", "21"}, 0, 0});
}

/* Who has just taken one goes to the next without a look at all: not past one that goes before it,
 * is published late, or comes back. */
static void next_next(void)
{
    INTERLEAVE({8, 0, "1111-", {"--", "2"}, 0, 0}, {8, 0, "1111-", {"--", "2", "-"}, 3, 0},
               {8, 0, "1111-", {"--", "-2-"}, 0, 0}, {8, 0, "0000-", {"--", "2-1"}, 0, 0},
               {8, 0, "111-", {"--", "1", "1"}, 3, 0}, {8, 0, "11-", {"--", "1", "1-"}, 2, 0},
               {8, 0, "11-", {"---", "1", "1"}, 2, 0}, {8, 0, "1-", {"--", "1", "11"}, 2, 0},
               {8, 0, "1111-x", {"--", "+"}, 0, 0}, {8, 0, "1111-x", {"--", "+-"}, 0, 0},
               {8, 0, "11111x-", {"--", "+", "-"}, 3, 0}, {8, 0, "222211-", {"--", "1-"}, 0, 0},
               {70, 0, "11111x-", {"--", "+"}, 0, 0}, {70, 60, "111----", {"--", "2-"}, 0, 0},
               {8, 0, "", {"1", "11-", "", "1"}, 0, 0}, {8, 0, "", {"1", "11-", "1", "1"}, 3, 0},
               {8, 0, "x", {"+", "11-", "", "1"}, 0, 0}, {8, 0, "11x", {"+", "1-", "", "1"}, 0, 0},
               {8, 0, "", {"1", "00-", "", "0"}, 0, 0}, {8, 0, "11-x", {"+1-", "1"}, 0, 0},
               {8, 0, "11", {"~", "1-"}, 0, 0}, {8, 0, "11", {"~", "-", "1-"}, 2, 0},
               {8, 0, "1111-", {"--", "~", "-"}, 3, 0}, {8, 0, "211", {"~", "-1", "", "1"}, 0, 0});
}

/* Who says that the order is disturbed is held up just before that, while others go on in order. */
static void said_late(void)
{
    INTERLEAVE({8, 0, "11x", {"+", "1-1-", "", "-"}, 0, 1},
               {8, 0, "11", {"~", "1-1-", "", "-"}, 0, 1});
}

/* Withdrawn or received, one of both, and once; what was leaving comes back as what was taken. */
static void withdrawn_or_received(void)
{
    INTERLEAVE({8, 0, "o", {"w", "-"}, 0, 0}, {8, 0, "o", {"-", "w"}, 0, 0},
               {8, 0, "o1", {"w", "-", "-"}, 3, 0}, {8, 0, "o", {"w", "~", "-"}, 2, 0},
               {8, 0, "o", {"~", "w"}, 0, 0}, {8, 0, "o", {"l", "w"}, 0, 0},
               {8, 0, "o", {"b", "w", "-"}, 3, 0}, {8, 0, "1o", {"b", "-w"}, 0, 0},
               {8, 0, "o", {"w", "w"}, 0, 0}, {8, 0, "oy", {"+", "w", "-"}, 3, 0},
               {8, 0, "oy", {"w", "+", "l"}, 3, 0}, {8, 0, "1oy", {"+", "+-", "l"}, 5, 0},
               {70, 64, "o", {"w", "-"}, 0, 0}, {70, 64, "o1", {"w", "-", "1"}, 7, 0},
               {70, 64, "o", {"l", "w", "1"}, 7, 0}, {70, 64, "oy", {"+", "w"}, 0, 0});
}

#define LEAF "1111111111111111" /* fills the first node of the tree */

/* The same, while the path of one in the tree is changed by two at once. */
static void paths(void)
{
    INTERLEAVE({70, 64, "1", {"-", "1"}, 0, 0}, {70, 64, "12", {"-", "1"}, 0, 0},
               {70, 64, "", {"2", "1"}, 0, 5}, {90, 64, LEAF, {"3", "2"}, 0, 3},
               {90, 64, LEAF "2", {"-", "2"}, 0, 0}, {90, 64, LEAF "22", {"2", "-", "-"}, 17, 0},
               {90, 64, LEAF "2", {"-", "3", "-"}, 13, 0}, {70, 64, "12", {"-", "2", "-"}, 7, 0},
               {70, 64, "12", {"2", "-", "-"}, 7, 0}, {70, 64, "11", {"2", "2", "--"}, 5, 0},
               {70, 64, "121", {"-", "-", "2-"}, 19, 0}, {70, 64, "1", {"-", "-", "3"}, 17, 0},
               {70, 64, "1", {"1", "2", "-"}, 5, 0});
}

/* What one who died held comes back once, and to its place. */
static void given_back_once(void)
{
    INTERLEAVE({8, 0, "!", {"+", "+1"}, 0, 0}, {70, 64, "!", {"+", "+1"}, 0, 0},
               {8, 0, "2x31", {"-", "+-"}, 0, 0}, {8, 0, "11x", {"+", "+-"}, 0, 0},
               {8, 0, "11x", {"+", "+-1"}, 0, 0}, {8, 0, "1x", {"+", "+", "-"}, 3, 0},
               {8, 0, "21x", {"-", "+-"}, 0, 0}, {8, 0, "5552211---x", {"-", "+2-"}, 0, 0},
               {70, 64, "21x", {"+", "+-3"}, 0, 0}, {70, 64, "2x", {"+", "+", "-"}, 500, 0},
               {70, 64, "21x", {"-", "+", "-"}, 37, 0}, {70, 64, "2x", {"1", "+-"}, 0, 0},
               {70, 64, "2x", {"+", "3", "-"}, 101, 0});
}

/* --- room that is always elsewhere ------------------------------------------------------------ */

static uint32_t free_slot, moves;

/* Is the only free slot looked at?  Then free another, and only then let a sender have this one. */
static void move_room(struct caller *c, const uint8_t *at)
{
    struct mqxi_queue *q = callers[1].q;
    uint32_t next = (free_slot + 1) % q->layout.maxmsg;

    if (at != (const uint8_t *)(c->q->ctl + free_slot) || moves == 0)
        return;
    moves--;
    mqxi_slot_release(q, next);
    mqxi_slot_freed(q);
    CHECK(claim(q, free_slot, dead_owner));
    free_slot = next;
}

/* There is room all the time, so "full" is wrong however often it moves while we look. */
static void room_moves(uint32_t maxmsg)
{
    struct mqxi_queue *q = create("q", maxmsg, 8);
    uint32_t slot;

    callers[0].q = q;
    callers[1].q = attach("q");
    find_dead_owner(q);
    for (uint32_t i = 0; i < maxmsg; i++)
        IS(put(q, 0, 0), 0);
    for (uint32_t i = 0; i < maxmsg; i++)
        CHECK(take(q, DIE_TAKING, false) >= 0);
    for (uint32_t looks = 0; looks < 6; looks++) {
        free_slot = maxmsg - 1;
        moves = looks * maxmsg;
        mqxi_slot_release(q, free_slot);
        mqxi_slot_freed(q);
        watch_accesses();
        callers[0].look = move_room;
        callers[0].at = 1;
        IS(mprotect(q->header, watched_bytes(q), PROT_NONE), 0);
        IS(mqxi_put(q, "", 1, 0, 0, &slot, NULL), 0);
        callers[0].at = 0;
        IS(mprotect(q->header, watched_bytes(q), PROT_READ | PROT_WRITE), 0);
        IS(moves, 0);
        CHECK(take(q, DIE_TAKING, false) >= 0);
    }
}

static void room_moves_scanned(void)
{
    room_moves(8);
}

static void room_moves_tree(void)
{
    room_moves(70);
}

/* --- who saw nothing is told ------------------------------------------------------------------ */

static struct {
    bool send, saw_nothing;
    uint32_t seen;
} onlooker;

static void look_on(struct caller *c, const uint8_t *at)
{
    struct mqxi_queue *q = callers[1].q;
    struct mqxi_taken t;
    uint64_t seen = 0;
    int r;

    if (!counts(c, at) || ++c->accesses != c->at)
        return;
    if (onlooker.send) {
        r = mqxi_put(q, "", 1, 0, 0, NULL, &seen);
    } else {
        r = mqxi_take(q, &t);
        seen = t.seen;
        if (r == 0)
            IS(mqxi_take_commit(q, &t), 0);
    }
    onlooker.saw_nothing = r == -EAGAIN;
    onlooker.seen = (uint32_t)seen;
}

/* An onlooker who saw nothing would sleep until the counter moves: it must yet move, or nothing
 * came of the call.  (Only the look about once a second would save him, which is for the dead.) */
static void tell(const char *before, const char *call, bool send)
{
    struct mqxi_queue *q = callers[0].q;
    unsigned at = 0, saw_nothing = 0;

    onlooker.send = send;
    do {
        calls = now = 0;
        make_calls(q, before);
        onlooker.saw_nothing = false;
        callers[0] = (struct caller){.q = q, .at = ++at, .look = look_on, .calls = call};
        begin(&callers[0]);
        saw_nothing += onlooker.saw_nothing;
        if (onlooker.saw_nothing && mqxi_event_read(send ? &q->header->send_event
                                                         : &q->header->recv_event) == onlooker.seen)
            FAIL("after \"%s\", \"%s\" at %u: who sleeps then is not woken", before, call, at);
        while (take(q, TAKE, false) >= 0)
            ;
    } while (callers[0].accesses >= at);
    CHECK(at > 10 && saw_nothing > 0);
}

static void told(uint32_t maxmsg)
{
    struct mqxi_queue *q = create("q", maxmsg, 8);
    uint64_t mine;
    int error;

    mine = atomic_load(&mqxi_client_self(q->registry, &error)->owner);
    callers[0].q = q;
    callers[1].q = attach("q");
    find_dead_owner(q);
    watch_accesses();
    for (uint32_t i = 0; i < maxmsg; i++) /* the segment grows */
        IS(put(q, 0, 0), 0);
    while (take(q, TAKE, false) >= 0)
        ;
    for (uint32_t i = 0; maxmsg > MQXI_FRONT && i < MQXI_FRONT; i++)
        claim_any(q, mine);
    tell("", "1", false);
    tell("1x", "+", false);
    for (uint32_t i = maxmsg > MQXI_FRONT ? MQXI_FRONT : 0; i < maxmsg - 1; i++)
        claim_any(q, mine);
    tell("1", "-", true);
}

static void told_scanned(void)
{
    told(8);
}

static void told_tree(void)
{
    told(70);
}

#else

static void interleave_nothing(void)
{
    SKIP("faults are resumed for x86-64 only");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(__x86_64__)
        UNIT(not_empty),
        UNIT(not_full),
        UNIT(room_moves_scanned),
        UNIT(room_moves_tree),
        UNIT(told_scanned),
        UNIT(told_tree),
        UNIT(first_first),
        UNIT(next_next),
        UNIT(said_late),
        UNIT(withdrawn_or_received),
        UNIT(paths),
        UNIT(given_back_once),
#else
        UNIT(interleave_nothing),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
