/*
 * Putting and taking (libmqx/engine.c, index.c, repair.c): is a message ever
 * lost, doubled, hidden, or overtaken?
 *
 * Here: send and receive (engine.c).  order.pml: from one message to the next;
 * index.pml: the tree; repair.pml: what the dead left; check.pml: what must hold.
 *
 * FRONT slots are scanned; TREE slots behind them are in the tree.  A key is
 * priority (0 first) * 16 + sequence, as in format.h but smaller.
 *
 * One atomic step here is one atomic instruction there, with the private
 * computation that follows it; memory is sequentially consistent.  A process
 * that stands still needs no modelling: it is one that the checker does not
 * schedule, and every check is made in every interleaving.
 *
 * Of a counter that is only compared with what it was, the model keeps one bit
 * for each process: changed[p] says that recv_event was bumped since p read it,
 * hurried[p] the same of urgent.  Waking is in sleep.pml.
 *
 * Sizes:    -DFRONT= -DTREE= (at most 4)  -DSENDERS= -DSENDS= (each)
 *           -DFIRST_SENDS= (the first of them)  -DRECEIVERS= -DRECEIVES= (each)
 *           -DFIRST_RECEIVES= (the first of them; with ABORT, only he may give back)
 * Options:  -DDEATHS=n   n processes may die, at any step; repair runs
 *           -DOVERFLOW   (with DEATHS) payloads in the overflow area, which is trimmed
 *           -DABORT      a receiver may give a message back (mqxi_take_abort)
 *           -DLIN        check whole histories for linearizability
 *           -DINSERT_MIN an inserter swaps in the children's minimum instead of its own key
 *           -DINSERT_CAS an inserter bumps by compare-and-swap instead of fetch_add
 *           -DFREE_FIRST a taken slot is freed before the index is refreshed
 *           -DWAIT       a receive that finds nothing sleeps until recv_event moves
 *           -DURGENT     urgent and lowest, which matter from three messages on
 *           -DORDER      (implies URGENT) a receive goes from one message to the next
 *           -DTHREADS    (with ORDER) the receivers are threads of one process
 *           -DCHOOSE     (with ORDER) a receive may want another message than the first
 *           -DFIXED      sender p uses slot p only
 *           -DONE_PRIORITY  all messages have the same
 * Compiled with -DNP and run with -l it is also checked that every execution ends: whoever runs
 * when, processes cannot keep each other from finishing.
 * Breakages, all of which must be found:
 *           -DBREAK_NO_BUMP     insert leaves a node with a smaller key alone
 *           -DBREAK_TWO_TRIES   (with INSERT_CAS) insert gives a level up after two failed swaps
 *           -DBREAK_ACCEPT      a receive takes what it saw first
 *           -DBREAK_NO_URGENT   (with URGENT, LIN) a receive does not look again when urgent moved
 *           -DBREAK_SLOT_ONLY   a node says which slot, and the claim takes what is in it by now
 *           -DBREAK_EMPTY       a receive that sees nothing says empty at once
 *           -DBREAK_ADD_AGAIN   insert bumps by fetch_add until nobody was in between (a livelock)
 *           -DBREAK_SKIP_GHOST  a receive that finds a ghost at the root says empty
 *           -DBREAK_BUMP_FIRST  (with WAIT) a send bumps recv_event before it inserts
 *           -DBREAK_NO_SWEEP    (with DEATHS) repair mends slots, but does not compare the tree
 *           -DBREAK_NO_PATH     (with DEATHS) a message given back is not put into the index
 *           (with ORDER)
 *           -DBREAK_LATE        who published late does not say so
 *           -DBREAK_PRIORITY    who sent with a higher priority does not say so
 *           -DBREAK_BACK        who gave a message back (ABORT, DEATHS) does not say so
 *           -DBREAK_SAID_FIRST  a sender says so before the publication
 *           -DBREAK_SAID_ONCE   the sequence is not looked at again after that
 *           -DBREAK_UNSAID      a receive does not look whether anybody said so
 *           -DBREAK_OFF_BY_ONE  nor where that is as far as what was taken
 *           -DBREAK_NOTED       (with CHOOSE) what was chosen counts as the first
 */
#ifndef FRONT
#define FRONT 1
#endif
#ifndef TREE
#define TREE 4
#endif
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef SENDS
#define SENDS 1
#endif
#ifndef FIRST_SENDS
#define FIRST_SENDS SENDS
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef RECEIVES
#define RECEIVES 1
#endif
#ifdef FIRST_RECEIVES
#define MY_RECEIVES (me == SENDERS -> FIRST_RECEIVES : RECEIVES)
#define MAY_ABORT   me == SENDERS
#else
#define MY_RECEIVES RECEIVES
#define MAY_ABORT   true
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

#ifdef ORDER
#define URGENT
#endif

#define SLOTS    (FRONT + TREE)
#define MESSAGES ((SENDERS - 1) * SENDS + FIRST_SENDS)
#define REPAIRER (SENDERS + RECEIVERS) /* runs at any time once somebody is dead */
#define LAST     (REPAIRER + 1)        /* the same, when nothing else moves any more */
#define PROCS    (REPAIRER + 2)

/* Control words. */
#define FREE         0
#define FILLING(p)   (64 + (p))
#define TAKING(p)    (128 + (p))
#define READY(c)     ((c) != FREE && (c) < 64)
#define KEY(prio, s) ((prio) * 16 + (s))
#define SEQ(key)     ((key) & 15)
#define RANK(key)    ((key) / 16)
#define NONE         255 /* key 0 in format.h: nothing below */

/* Shared memory. */
byte ctl[SLOTS];
byte old_key[SLOTS]; /* struct mqxi_slot's key */
byte sequence;
byte front_used;
byte lowest;         /* the highest rank ever sent, that is the lowest priority */
bool changed[PROCS]; /* recv_event moved since I read it */
bool hurried[PROCS]; /* urgent moved since I read it */
bool dead[PROCS];    /* what client.c finds out about an owner */
byte deaths, finished;

#define EACH(from, count, what)                                                                    \
    d_step {                                                                                       \
        x = from;                                                                                  \
        do                                                                                         \
        :: x < count -> what; x++                                                                  \
        :: else -> x = 0; break                                                                    \
        od                                                                                         \
    }
#define ALL_PROCS(what) EACH(0, PROCS, what)

#if DEATHS > 0
#define MAY_DIE_IF(may)                                                                            \
    :: atomic { (may) && deaths < DEATHS && me != LAST -> deaths++; dead[me] = true; goto end }
#else
#define MAY_DIE_IF(may)
#endif
#define MAY_DIE MAY_DIE_IF(true)
/* One step of a program; in its stead the process may die. */
#define STEP(what)                                                                                 \
    if                                                                                             \
    :: atomic { what }                                                                             \
    MAY_DIE                                                                                        \
    fi
/* A process's first step.  Equal processes begin in the order of their numbers: every other
 * order is one of these with the numbers exchanged.  Senders with own slots are not equal. */
#ifdef FIXED
byte sender_turn = SENDERS;
#else
byte sender_turn;
#endif
byte receiver_turn = SENDERS;
#define BEGIN(turn, what)                                                                          \
    if                                                                                             \
    :: atomic { turn >= me; turn = (turn == me -> me + 1 : turn); what }                           \
    MAY_DIE_IF(turn > me)                                                                          \
    fi

#include "index.pml"
#include "check.pml"
#include "order.pml"

/* mqxi_event_signal(&recv_event): see sleep.pml for the waking. */
#define BUMP EACH(SENDERS, REPAIRER, changed[x] = true)

/* The end of announce: signal, note_urgent, order (order.pml), return.  note_urgent is one step: lowest only grows, so
 * what says "bump" when it is looked at says so when the bump comes. */
#define BUMP_URGENT EACH(SENDERS, REPAIRER, hurried[x] = true)
#if defined(BREAK_BUMP_FIRST)
#define SIGNAL(key, then) STEP(then)
#elif defined(URGENT)
#define SIGNAL(key, then)                                                                          \
    STEP(BUMP);                                                                                    \
    STEP(                                                                                          \
        if                                                                                         \
        :: RANK(key) < lowest -> BUMP_URGENT                                                       \
        :: else                                                                                    \
        fi;                                                                                        \
        AT_ONCE(then)                                                                              \
    )
#else
#define SIGNAL(key, then) STEP(BUMP; then)
#endif

#ifdef ONE_PRIORITY
#define ANY_PRIORITY key = KEY(0, 0)
#else
#define ANY_PRIORITY                                                                               \
    if                                                                                             \
    :: key = KEY(0, 0)                                                                             \
    :: key = KEY(1, 0)                                                                             \
    fi
#endif

#ifdef FIXED
#define MINE_ONLY &&slot == me % SLOTS
#else
#define MINE_ONLY
#endif

/* mqxi_put, SENDS times. */
proctype sender(byte me)
{
    byte slot, key, n, min, min_slot, tries, x, sent, began;
    bool bumped;
    ORDER_LOCALS
#ifdef LIN
    short began_op;
#endif

    do
    :: sent == (me == 0 -> FIRST_SENDS : SENDS) -> break
    :: else ->
       /* claim a free slot: CAS(ctl, FREE, FILLING | me).  Any free one: the bitmap only hints. */
       BEGIN(sender_turn,
           slot = 0;
           do
           :: slot < SLOTS && ctl[slot] == FREE MINE_ONLY -> break
           :: slot < SLOTS -> slot++ /* also where it is free */
           :: slot == SLOTS -> slot = 0; goto end /* full */
           od;
           ctl[slot] = FILLING(me);
           began = there;
#ifdef LIN
           began_op = over;
#endif
       );
       /* raise_front */
       if
       :: !IN_TREE(slot) -> STEP(front_used = (front_used <= slot -> slot + 1 : front_used))
       :: else
       fi;
       /* copy the payload in; note_lowest; take a sequence: fetch_add(sequence, 1) */
#ifdef URGENT
       STEP(ANY_PRIORITY; lowest = (RANK(key) > lowest -> RANK(key) : lowest));
#endif
       STEP(
#ifndef URGENT
           ANY_PRIORITY;
#endif
           sequence++;
           key = key + sequence;
           before[sequence] = began & there;
           key_of[sequence] = key;
           began = 0;
#ifdef LIN
           before_op[sequence - 1] = began_op;
           began_op = 0;
#endif
           old_key[slot] = key
       );
#ifdef BREAK_SAID_FIRST
       order_sent(key);
#endif
       /* publish */
       STEP(ctl[slot] = key; published = published | (1 << SEQ(key)));
#ifdef BREAK_BUMP_FIRST
       STEP(BUMP);
#endif
       if
       :: IN_TREE(slot) -> insert(slot, key)
       :: else
       fi;
#define SENT                                                                                       \
    IS_THERE(SEQ(key), 0);                                                                         \
    RETURNED(SEQ(key) - 1);                                                                        \
    slot = 0;                                                                                      \
    key = 0;                                                                                       \
    sent++
       SIGNAL(key, SENT);
#ifdef ORDER
#ifndef BREAK_SAID_FIRST
       order_sent(key);
#endif
       atomic { SENT }
#endif
    od;
end:
    atomic { slot = 0; key = 0; n = 0; min = 0; min_slot = 0; tries = 0; bumped = false;
             began = 0; sent = 0; link[me] = 0; finished++ }
}

/* mqxi_take and mqxi_take_commit (or mqxi_take_abort), RECEIVES times. */
proctype receiver(byte me)
{
    byte newest, key, slot, scan, upto, n, min, min_slot, tries, x, received, claim;
    bool asked, won, bumped;
    ORDER_LOCALS

    do
    :: received == MY_RECEIVES -> break
    :: else ->
again: /* mqxi_take: look */
       /* A sequence that is known to be taken: the one remembered, or what another thread of this
        * process remembered meanwhile, which is at most the newest. */
       BEGIN(receiver_turn,
           if
           :: skip
           :: newest = sequence
           fi;
           if
           :: in_call & (1 << me)
           :: else ->
               in_call = in_call | (1 << me);
               must[me] = there;
               saw_empty = (there -> saw_empty & ~(1 << me) : saw_empty | (1 << me));
#ifdef LIN
               before_op[MESSAGES + (me - SENDERS) * RECEIVES + received] = over;
#endif
           fi
       );
#ifdef CHOOSE
       if
       :: skip
       :: choose(); goto refresh_it
       fi;
#endif
#ifdef ORDER
       order_next();
#endif
look_again:
#ifdef URGENT
       STEP(hurried[me] = false);
#endif
       /* scan_front: as far as it was ever used */
       STEP(key = NONE; scan = 0; upto = front_used);
       do
       :: scan < upto ->
           STEP(
               if
               :: READY(ctl[scan]) && ctl[scan] < key -> key = ctl[scan]; slot = scan
               :: else
               fi;
               scan++
           )
       :: else -> scan = 0; upto = 0; break
       od;
#if TREE > 0
       /* mqxi_index_first: the root */
       STEP(
           if
           :: node_key[ROOT] < key -> key = node_key[ROOT]; slot = node_slot[ROOT]
           :: else
           fi
       );
#endif
       if
       :: key == NONE ->
           /* nothing: right if recv_event has not moved since before we looked this time */
           STEP(
               key = 0;
#ifndef BREAK_EMPTY
               if
               :: !asked || changed[me] -> asked = true; changed[me] = false; goto look_again
               :: else
               fi;
#endif
               asked = false;
               assert(saw_empty & (1 << me));
               goto nothing
           )
#ifndef BREAK_ACCEPT
       :: key != NONE && SEQ(key) > newest -> goto known
#endif
       :: else
       fi;
#if defined(URGENT) && !defined(BREAK_NO_URGENT)
       if
       :: atomic { hurried[me] -> goto known }
       :: atomic { !hurried[me] -> asked = false; changed[me] = false }
       MAY_DIE
       fi;
#else
       atomic { asked = false; changed[me] = false; hurried[me] = false };
#endif
       goto claim_it;
known: /* known_sequence: now it is known that this one's sequence, or all up to now, are taken:
        * look again */
       STEP(
           if
           :: newest = SEQ(key)
           :: newest = sequence
           fi;
           key = 0; slot = 0;
           goto look_again
       );
claim_it:
       /* claim: CAS(ctl, key, TAKING | me) */
       STEP(
           if
#ifdef BREAK_SLOT_ONLY
           :: READY(ctl[slot]) ->
               key = ctl[slot];
#else
           :: ctl[slot] == key ->
#endif
               check_claim(SEQ(key));
               ctl[slot] = TAKING(me);
               newest = (received + 1 == MY_RECEIVES -> 0 : newest); /* not needed: fewer states */
               NOTE_TAKEN_AT_ONCE(key);
               won = true
           :: else
           fi
       );
#ifdef THREADS
       if
       :: won -> STEP(TAKEN = key)
       :: else
       fi;
#endif
refresh_it:
#ifdef BREAK_SKIP_GHOST
       if
       :: !won && IN_TREE(slot) ->
           STEP(key = 0; slot = 0; assert(saw_empty & (1 << me)); goto nothing)
       :: else
       fi;
#endif
#ifdef FREE_FIRST
       if
       :: won -> STEP(ctl[slot] = FREE)
       :: else
       fi;
#endif
       /* won: the index must not show it any more; lost: it is a ghost, see that it goes */
       if
       :: IN_TREE(slot) -> refresh(slot)
       :: else
       fi;
       if
       :: !won -> key = 0; slot = 0; goto again
       :: else
       fi;
#ifdef ABORT
       if
       :: skip
       :: MAY_ABORT -> /* mqxi_take_abort: back to ready, into the index, tell the others */
           STEP(ctl[slot] = key; taken = taken & ~(1 << SEQ(key)); claim = claims[SEQ(key)]);
           if
           :: IN_TREE(slot) -> insert(slot, key)
           :: else
           fi;
#define GIVEN_BACK                                                                                 \
    IS_THERE(SEQ(key), claim);                                                                     \
    key = 0;                                                                                       \
    slot = 0;                                                                                      \
    won = false;                                                                                   \
    claim = 0;                                                                                     \
    goto returned
           SIGNAL(key, GIVEN_BACK);
#ifdef ORDER
#ifndef BREAK_BACK
           disturb();
#endif
           atomic { GIVEN_BACK }
#endif
       fi;
#endif
       /* copy out; mqxi_take_commit: ctl = FREE (the commit point), bump send_event, return */
#ifdef OVERFLOW
       /* to be trimmed: this is the commit point, and the slot is not a message's any more */
       STEP(assert(ctl[slot] == TAKING(me)); ctl[slot] = FILLING(me));
#endif
       STEP(
#ifndef FREE_FIRST
           assert(ctl[slot] == TAKING(me) || ctl[slot] == FILLING(me));
           ctl[slot] = FREE;
#endif
#ifdef LIN
           got[MESSAGES + (me - SENDERS) * RECEIVES + received] = SEQ(key);
#endif
           key = 0; slot = 0; won = false;
           goto returned
       );
nothing:
#ifdef WAIT
end_asleep: /* mqxi_event_sleep */
       STEP(changed[me] -> goto again);
#endif
returned:
       atomic {
           in_call = in_call & ~(1 << me);
           must[me] = 0;
           saw_empty = saw_empty & ~(1 << me);
#ifdef LIN
           over = over | (1 << (MESSAGES + (me - SENDERS) * RECEIVES + received));
#endif
           received++
       }
    od;
end:
    atomic {
        newest = 0; key = 0; slot = 0; scan = 0; upto = 0; n = 0; min = 0; min_slot = 0; tries = 0;
        received = 0; claim = 0; ORDER_END; asked = false; bumped = false; won = false;
        changed[me] = false; hurried[me] = false; link[me] = 0; must[me] = 0;
        in_call = in_call & ~(1 << me);
        finished++
    }
}

#if DEATHS > 0
#include "repair.pml"
#endif

/* When all have finished or died: the last repair, then the books are checked. */
proctype judge(byte me)
{
    byte slot, c, key, n, node, min, min_slot, x, claim;
    ORDER_LOCALS

#if DEATHS > 0
    finished == REPAIRER + 1;
    repair();
#elif defined(WAIT)
    timeout;
    assert(finished == REPAIRER || !there); /* nobody sleeps beside a message */
#else
    finished == REPAIRER;
#endif
end:
    check_books()
}

init
{
    byte p;

    atomic {
        p = 0;
        do
        :: p < SENDERS -> run sender(p); p++
        :: p >= SENDERS && p < REPAIRER -> run receiver(p); p++
        :: else -> break
        od;
#if DEATHS > 0
        run repairer(REPAIRER);
#endif
        run judge(LAST);
        p = 0
    }
}
