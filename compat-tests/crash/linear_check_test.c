/*
 * The checker of linear_storm must refuse histories that no queue can have made,
 * and accept all others.  These are made by hand; linear_search_test.c and
 * linear_right_test.c try thousands.
 */
#include "linear/check.h"
#include "storm.h"

#define OPS 12 /* of a case, at most */

#define MESSAGE(op, result_, begin_, end_, message_, prio_)                                        \
    {                                                                                              \
        .kind = op, .result = result_, .begin = begin_, .end = end_, .message = message_,          \
        .prio = prio_                                                                              \
    }
#define SENT(begin, end, message, prio)                                                            \
    MESSAGE(LINEAR_SEND, LINEAR_DONE, begin, end, message, prio)
#define GOT(begin, end, message, prio)                                                             \
    MESSAGE(LINEAR_RECEIVE, LINEAR_DONE, begin, end, message, prio)
#define FULL(begin, end)                  MESSAGE(LINEAR_SEND, LINEAR_REFUSED, begin, end, 0, 0)
#define EMPTY(begin, end)                 MESSAGE(LINEAR_RECEIVE, LINEAR_REFUSED, begin, end, 0, 0)
#define KILLED_SEND(begin, end, message, prio)                                                     \
    MESSAGE(LINEAR_SEND, LINEAR_KILLED, begin, end, message, prio)
#define KILLED_RECEIVE(begin, end) MESSAGE(LINEAR_RECEIVE, LINEAR_KILLED, begin, end, 0, 0)
#define NOTHING(kind_, begin, end) MESSAGE(kind_, LINEAR_NOTHING, begin, end, 99, 0)
#define LATE(kind_, since_, begin_, end_)                                                          \
    {                                                                                              \
        .kind = LINEAR_##kind_, .result = LINEAR_REFUSED, .since = since_, .begin = begin_,        \
        .end = end_                                                                                \
    }

#define CASE(name_, fault_, maxmsg_, ...)                                                          \
    {                                                                                              \
        .name = name_, .fault = LINEAR_##fault_, .h.maxmsg = maxmsg_,                              \
        .ops = {__VA_ARGS__}                                                                       \
    }
#define LAZY(name_, fault_, maxmsg_, mended_, ...)                                                 \
    {                                                                                              \
        .name = name_, .fault = LINEAR_##fault_, .h.maxmsg = maxmsg_, .h.lazy = true,              \
        .h.passes_slots = true, .h.mended = mended_, .ops = {__VA_ARGS__}                          \
    }

static const struct {
    const char *name;
    enum linear_fault fault;
    struct linear_history h;
    struct linear_op ops[OPS]; /* as many as have a begin */
} cases[] = {
    CASE("empty, and not full", RIGHT, 1, EMPTY(1, 2)),
    CASE("a message", RIGHT, 1, SENT(1, 2, 1, 0), GOT(3, 4, 1, 0)),
    CASE("received while it is being sent", RIGHT, 1, GOT(1, 3, 1, 0), SENT(2, 4, 1, 0)),
    CASE("an interrupted call did nothing", RIGHT, 1, NOTHING(LINEAR_SEND, 1, 2), EMPTY(3, 4),
         NOTHING(LINEAR_RECEIVE, 5, 6)),

    /* Values */
    CASE("invented", VALUE, 2, SENT(1, 2, 1, 0), GOT(3, 4, 7, 0)),
    CASE("received before it was sent", VALUE, 2, GOT(1, 2, 1, 0), SENT(3, 4, 1, 0)),
    CASE("doubled", VALUE, 2, SENT(1, 2, 1, 0), GOT(3, 4, 1, 0), GOT(5, 6, 1, 0)),
    CASE("doubled at the same time", VALUE, 2, SENT(1, 2, 1, 0), GOT(3, 5, 1, 0), GOT(4, 6, 1, 0)),
    CASE("another priority", VALUE, 2, SENT(1, 2, 1, 0), GOT(3, 4, 1, 1)),
    CASE("a refused send is received", VALUE, 1,
         {.kind = LINEAR_SEND, .result = LINEAR_REFUSED, .begin = 1, .end = 2, .message = 1},
         GOT(3, 4, 1, 0)),
    CASE("an interrupted send is received", VALUE, 2, NOTHING(LINEAR_SEND, 1, 2), GOT(3, 4, 99, 0)),

    /* Order */
    CASE("lost", EMPTY, 2, SENT(1, 2, 1, 0), EMPTY(3, 4)),
    CASE("lost beside others", EMPTY, 3, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0), GOT(5, 6, 1, 0),
         EMPTY(7, 8)),
    CASE("highest first", RIGHT, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 1), GOT(5, 6, 2, 1),
         GOT(7, 8, 1, 0)),
    CASE("priority inversion", ORDER, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 1), GOT(5, 6, 1, 0),
         GOT(7, 8, 2, 1)),
    CASE("inversion of sends that overlap", ORDER, 2, SENT(1, 3, 1, 0), SENT(2, 4, 2, 1),
         GOT(5, 6, 1, 0), GOT(7, 8, 2, 1)),
    CASE("the higher one may come after this receive", RIGHT, 2, SENT(1, 2, 1, 0), SENT(3, 6, 2, 1),
         GOT(4, 5, 1, 0), GOT(7, 8, 2, 1)),
    CASE("first in, first out", RIGHT, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0), GOT(5, 6, 1, 0),
         GOT(7, 8, 2, 0)),
    CASE("FIFO inversion", ORDER, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0), GOT(5, 6, 2, 0),
         GOT(7, 8, 1, 0)),
    CASE("sends that overlap have either order", RIGHT, 2, SENT(1, 3, 1, 0), SENT(2, 4, 2, 0),
         GOT(5, 6, 2, 0), GOT(7, 8, 1, 0)),
    CASE("receives that overlap, too", RIGHT, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0),
         GOT(5, 8, 2, 0), GOT(6, 7, 1, 0)),
    CASE("but not one after the other", ORDER, 3, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0),
         GOT(5, 7, 2, 0), EMPTY(8, 9), GOT(10, 11, 1, 0)),
    CASE("overtaken by the third", ORDER, 3, SENT(1, 2, 1, 0), SENT(3, 10, 2, 0), SENT(4, 5, 3, 0),
         GOT(6, 7, 3, 0), GOT(8, 9, 1, 0), GOT(11, 12, 2, 0)),

    /* Empty */
    CASE("empty before", RIGHT, 1, EMPTY(1, 3), SENT(2, 4, 1, 0), GOT(5, 6, 1, 0)),
    CASE("empty between", RIGHT, 2, SENT(1, 2, 1, 0), EMPTY(3, 8), GOT(4, 5, 1, 0),
         SENT(6, 7, 2, 0), GOT(9, 10, 2, 0)),
    CASE("never empty", EMPTY, 2, SENT(1, 2, 1, 0), EMPTY(3, 8), SENT(4, 5, 2, 0), GOT(6, 7, 1, 0),
         GOT(9, 10, 2, 0)),
    CASE("empty while one is sent", RIGHT, 2, SENT(1, 4, 1, 0), EMPTY(2, 3), GOT(5, 6, 1, 0)),
    CASE("timed out when it was empty", RIGHT, 1, LATE(RECEIVE, 4, 1, 6),
         SENT(2, 5, 1, 0), GOT(7, 8, 1, 0)),
    CASE("timed out at the deadline with a message there", EMPTY, 1,
         LATE(RECEIVE, 4, 1, 6), SENT(2, 3, 1, 0), GOT(7, 8, 1, 0)),

    /* Full */
    CASE("full", RIGHT, 1, SENT(1, 2, 1, 0), FULL(3, 4), GOT(5, 6, 1, 0)),
    CASE("never full", FULL, 2, SENT(1, 2, 1, 0), FULL(3, 4), GOT(5, 6, 1, 0)),
    CASE("full of one that is being sent", RIGHT, 2, SENT(1, 2, 1, 0), SENT(3, 6, 2, 0), FULL(4, 5),
         GOT(7, 8, 1, 0), GOT(9, 10, 2, 0)),
    CASE("full of one that is being received", RIGHT, 1, SENT(1, 2, 1, 0), GOT(3, 6, 1, 0),
         FULL(4, 5)),
    CASE("full and empty at once: a sender stands still", RIGHT, 1, SENT(1, 8, 1, 0), FULL(2, 3),
         EMPTY(4, 5), FULL(6, 7), GOT(9, 10, 1, 0)),
    CASE("not before it began", FULL, 1, FULL(1, 2), SENT(3, 4, 1, 0), GOT(5, 6, 1, 0)),
    CASE("but then the slot is taken", ROOM, 1, SENT(1, 12, 1, 0), FULL(2, 3),
         SENT(4, 5, 2, 0), FULL(6, 7), GOT(8, 9, 2, 0), GOT(13, 14, 1, 0)),
    CASE("slots that follow each other", FULL, 2, SENT(1, 2, 1, 0), FULL(3, 8), GOT(4, 5, 1, 0),
         SENT(6, 7, 2, 0), GOT(9, 10, 2, 0)),
    CASE("timed out when it was full", RIGHT, 1, SENT(1, 2, 1, 0), LATE(SEND, 4, 3, 6),
         GOT(5, 7, 1, 0)),
    CASE("timed out at the deadline with room there", FULL, 1, SENT(1, 2, 1, 0),
         LATE(SEND, 6, 3, 7), GOT(4, 5, 1, 0)),
    /* Nobody can be holding the first message's slot who was handed it: while two others were
     * there it had none, and from then on one stood before it.  It came when its send returned. */
    CASE("full of one that was not handed over", RIGHT, 2, SENT(1, 10, 1, 0), GOT(2, 15, 1, 0),
         SENT(3, 4, 2, 1), SENT(5, 6, 3, 1), GOT(7, 8, 2, 1), FULL(11, 12), GOT(13, 14, 3, 1)),
    CASE("so that another has no slot yet", RIGHT, 2, SENT(1, 10, 1, 0), GOT(2, 16, 1, 0),
         SENT(3, 4, 2, 1), SENT(5, 6, 3, 1), GOT(7, 8, 2, 1), SENT(11, 23, 4, 0), FULL(12, 13),
         GOT(14, 15, 3, 1), SENT(17, 18, 5, 0), SENT(19, 20, 6, 0), GOT(21, 22, 5, 0)),
    CASE("nor full of what nobody had sent yet", FULL, 2, GOT(1, 15, 1, 0), SENT(3, 4, 2, 1),
         SENT(5, 6, 3, 1), GOT(7, 8, 2, 1), SENT(9, 10, 1, 0), GOT(11, 12, 3, 1), FULL(13, 14)),
    CASE("too many", ROOM, 1, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0), GOT(5, 6, 1, 0), GOT(7, 8, 2, 0)),

    /* Killed calls */
    CASE("a killed send happened", RIGHT, 1, KILLED_SEND(1, 2, 1, 0), GOT(3, 4, 1, 0)),
    CASE("or not", RIGHT, 1, KILLED_SEND(1, 2, 1, 0), EMPTY(3, 4)),
    CASE("but not both", EMPTY, 2, KILLED_SEND(1, 2, 1, 0), EMPTY(3, 4), GOT(5, 6, 1, 0)),
    LAZY("a tree may not show it yet", RIGHT, 99, 0, KILLED_SEND(1, 2, 1, 0), EMPTY(3, 4),
         GOT(5, 6, 1, 0)),
    CASE("a killed receive took one", RIGHT, 1, SENT(1, 2, 1, 0), KILLED_RECEIVE(3, 4),
         EMPTY(5, 6)),
    CASE("but not two", EMPTY, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0), KILLED_RECEIVE(5, 6),
         EMPTY(7, 8)),
    CASE("nor hides two", ORDER, 3, SENT(1, 2, 1, 1), SENT(3, 4, 2, 1), SENT(5, 6, 3, 0),
         KILLED_RECEIVE(7, 8), GOT(9, 10, 3, 0), GOT(11, 12, 1, 1), GOT(13, 14, 2, 1)),
    CASE("nor the second", ORDER, 3, SENT(1, 2, 1, 1), SENT(3, 4, 2, 1), SENT(5, 6, 3, 0),
         KILLED_RECEIVE(7, 8), GOT(9, 10, 1, 1), GOT(11, 12, 3, 0), EMPTY(13, 14)),
    CASE("it hides one for a while", RIGHT, 2, SENT(1, 2, 1, 0), SENT(3, 4, 2, 0),
         KILLED_RECEIVE(5, 6), GOT(7, 8, 2, 0), GOT(9, 10, 1, 0)),
    CASE("which may be given back before the death is known", RIGHT, 2, SENT(1, 2, 1, 1),
         KILLED_RECEIVE(3, 10), SENT(4, 5, 2, 0), GOT(6, 7, 2, 0), GOT(8, 9, 1, 1)),
    CASE("as a killed sender's slot may be another's", RIGHT, 1, KILLED_SEND(1, 6, 1, 0), FULL(2, 3),
         SENT(4, 5, 2, 0), GOT(7, 8, 2, 0)),
    CASE("even from those who come after it", RIGHT, 2, SENT(1, 2, 1, 1), SENT(3, 4, 2, 0),
         KILLED_RECEIVE(5, 6), GOT(7, 8, 2, 0), SENT(9, 10, 3, 1), GOT(11, 12, 3, 1),
         GOT(13, 14, 1, 1)),
    CASE("not from one who looked for the dead", EMPTY, 2, SENT(1, 2, 1, 0), KILLED_RECEIVE(3, 4),
         EMPTY(5, 6), GOT(7, 8, 1, 0)),
    CASE("but for another who is killed, too", RIGHT, 1, SENT(1, 2, 1, 0), KILLED_RECEIVE(3, 6),
         EMPTY(4, 5), EMPTY(7, 9), KILLED_RECEIVE(8, 11), GOT(10, 12, 1, 0)),
    CASE("or at the same time", EMPTY, 1, SENT(1, 2, 1, 0), KILLED_RECEIVE(3, 5),
         KILLED_RECEIVE(4, 6), EMPTY(7, 8), GOT(9, 10, 1, 0)),
    LAZY("which for a tree is done later", RIGHT, 99, 0, SENT(1, 2, 1, 0), KILLED_RECEIVE(3, 4),
         EMPTY(5, 6), GOT(7, 8, 1, 0)),
    LAZY("but at last", EMPTY, 99, 5, SENT(1, 2, 1, 0), KILLED_RECEIVE(3, 4), EMPTY(5, 6),
         GOT(7, 8, 1, 0)),
    LAZY("a killed send holds its slot", RIGHT, 1, 0, KILLED_SEND(1, 2, 1, 0), FULL(3, 4)),
    CASE("not for one who looked for the dead", FULL, 1, KILLED_SEND(1, 2, 1, 0), FULL(3, 4)),
    CASE("but for one who looked before", RIGHT, 1, KILLED_SEND(1, 4, 1, 0), FULL(2, 3)),
    LAZY("nor when all is mended", FULL, 1, 3, KILLED_SEND(1, 2, 1, 0), FULL(3, 4)),
    /* Which slot is free again is the receiver's or the dead sender's, as others' answers need it. */
    CASE("the next sender gets it", RIGHT, 2, SENT(1, 4, 1, 0), KILLED_SEND(2, 6, 2, 0), FULL(3, 5),
         GOT(7, 11, 1, 0), SENT(8, 9, 3, 0), FULL(10, 12), GOT(13, 14, 3, 0)),
    LAZY("or it stays while the receiver's goes", RIGHT, 2, 0, SENT(1, 2, 1, 0),
         KILLED_SEND(3, 4, 2, 0), GOT(5, 6, 1, 0), SENT(7, 8, 3, 0), FULL(9, 10), GOT(11, 12, 3, 0)),
    LAZY("nor two slots", FULL, 2, 0, KILLED_SEND(1, 2, 1, 0), FULL(3, 4)),
};

int main(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct linear_op ops[OPS];
        struct linear_history h = cases[i].h;
        struct linear_verdict v;

        memcpy(ops, cases[i].ops, sizeof ops);
        h.ops = ops;
        while (h.count < OPS && ops[h.count].begin)
            h.count++;
        v = linear_check(&h);
        if (!storm_check(v.fault == cases[i].fault, "%s", cases[i].name)) {
            printf("# fault %d, not %d\n", (int)v.fault, (int)cases[i].fault);
            linear_explain(&h);
        }
    }
    return storm_failed > 0;
}
