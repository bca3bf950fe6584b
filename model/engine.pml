/*
 * Putting and taking (libmqx/engine.c, index.c, repair.c): is a message ever
 * lost, doubled, hidden, or overtaken?
 *
 * FRONT slots are scanned; TREE slots behind them are the leaves of a tree of
 * minima with fan-out 2 and two levels (nodes 0 and 1, and the root, 2).
 * A key is priority (0 first) * 16 + sequence, as in format.h but smaller.
 *
 * One atomic step here is one atomic instruction there, with the private
 * computation that follows it; memory is sequentially consistent.  A process
 * that stands still needs no modelling: it is one that the checker does not
 * schedule, and every check is made in every interleaving.
 *
 * Versions.  A node changes only by a compare-and-swap that bumps its version,
 * so "the node is still what I read" is the same as "nobody has swapped it
 * since".  The model keeps that bit (link[p]: the node that p read and nobody
 * has swapped since) in place of a number that would only multiply the states.
 * Reading a node in halves is one step: the version proves that it was one.
 *
 * Event counters, in the same way: changed[p] says that recv_event was bumped
 * since p read it.  Waking is in sleep.pml.
 *
 * Sizes:    -DFRONT= -DTREE= (at most 4)  -DSENDERS= -DSENDS= (each)
 *           -DRECEIVERS= -DRECEIVES= (each)
 * Options:  -DDEATHS=n   n processes may die, at any step; repair runs
 *           -DABORT      a receiver may give a message back (mqxi_take_abort)
 *           -DLIN        check whole histories for linearizability
 *           -DINSERT_MIN an inserter swaps in the children's minimum instead of its own key
 *           -DINSERT_CAS an inserter bumps by compare-and-swap instead of fetch_add
 *           -DFREE_FIRST a taken slot is freed before the index is refreshed
 *           -DWAIT       a receive that finds nothing sleeps until recv_event moves
 *           -DFIXED      sender p uses slot p only
 *           -DONE_PRIORITY  all messages have the same
 * Compiled with -DNP and run with -l it is also checked that every execution ends: whoever runs
 * when, processes cannot keep each other from finishing.
 * Breakages, all of which must be found:
 *           -DBREAK_NO_BUMP     insert leaves a node with a smaller key alone
 *           -DBREAK_TWO_TRIES   (with INSERT_CAS) insert gives a level up after two failed swaps
 *           -DBREAK_ACCEPT      a receive takes what it saw first
 *           -DBREAK_EMPTY       a receive that sees nothing says empty at once
 *           -DBREAK_ADD_AGAIN   insert bumps by fetch_add until nobody was in between (a livelock)
 *           -DBREAK_SKIP_GHOST  a receive that finds a ghost at the root says empty
 *           -DBREAK_BUMP_FIRST  (with WAIT) a send bumps recv_event before it inserts
 *           -DBREAK_NO_SWEEP    (with DEATHS) repair mends slots, but does not compare the tree
 *           -DBREAK_NO_PATH     (with DEATHS) a message given back is not put into the index
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
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef RECEIVES
#define RECEIVES 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif

#define SLOTS    (FRONT + TREE)
#define MESSAGES (SENDERS * SENDS)
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
#define NONE         255 /* key 0 in format.h: nothing below */

#define ROOT       2
#define IN_TREE(s) ((s) >= FRONT)
#define LEAF(s)    (((s) - FRONT) / 2)

/* Shared memory. */
byte ctl[SLOTS];
byte old_key[SLOTS]; /* struct mqxi_slot's key */
byte sequence;
byte front_used;
byte node_key[3] = NONE;
byte node_slot[3];
byte link[PROCS];             /* 1 + the node whose version I hold, or 0 */
bool changed[PROCS];          /* recv_event moved since I read it */
bool dead[PROCS];             /* what client.c finds out about an owner */
byte deaths, finished;
byte sender_turn, receiver_turn = SENDERS;

/* What the checks need to know, by sequence number (bit s of a mask: message s). */
byte there;                   /* its send returned, and nobody took it */
byte taken;                   /* somebody took it */
byte claims[MESSAGES + 1];    /* how often it was claimed */
byte published;
byte before[MESSAGES + 1];    /* which were there when its send began */
byte key_of[MESSAGES + 1];
byte must[PROCS];             /* which were there when this receive began, and still are */
byte in_call, saw_empty;      /* bit p: receive running; nothing was there at some moment of it */

#ifdef LIN
/* A history: sends are operations 0 .. MESSAGES-1 (by sequence), receives follow. */
#define OPS (MESSAGES + RECEIVERS * RECEIVES)
short over;           /* operations that returned */
short before_op[OPS]; /* those that had returned when this one began */
byte got[OPS];        /* receives: sequence number of the message, 0 for empty */
bool linear;

c_code {
/* Is there an order of all operations that a priority queue could have executed one after
 * another, and in which none precedes one that had returned before it began? */
static int extend(unsigned done, unsigned queue)
{
    if (done == now.over)
        return 1;
    for (int op = 0; op < OPS; op++) {
        unsigned next = queue;

        if (!(now.over & ~done & 1 << op) || now.before_op[op] & ~done)
            continue;
        if (op < MESSAGES) {
            next |= 1u << op;
        } else if (now.got[op]) {
            unsigned m = now.got[op] - 1;

            if (!(queue & 1u << m))
                continue;
            for (int other = 0; other < MESSAGES; other++)
                if (queue & 1u << other && now.key_of[other + 1] < now.key_of[m + 1])
                    goto not_this;
            next &= ~(1u << m);
        } else if (queue) {
            continue;
        }
        if (extend(done | 1u << op, next))
            return 1;
    not_this:;
    }
    return 0;
}
static int linearizable(void) { return extend(0, 0); }
};
#endif

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
 * order is one of these with the numbers exchanged. */
#define BEGIN(turn, what)                                                                          \
    if                                                                                             \
    :: atomic { turn >= me; turn = (turn == me -> me + 1 : turn); what }                           \
    MAY_DIE_IF(turn > me)                                                                          \
    fi

/* ---- index.c ---- */

/* Read a node: its key, its slot and its version. */
#define LOAD_NODE(n) link[me] = 1 + n

#define BUMP_NODE(n) ALL_PROCS(link[x] = (link[x] == 1 + n -> 0 : link[x]))

/* The compare-and-swap: every swap bumps the version, so that all others that hold it fail. */
#define STILL_MINE(n) (link[me] == 1 + n)
#define SWAP_NODE(n, k, s)                                                                         \
    node_key[n] = k;                                                                               \
    node_slot[n] = s;                                                                              \
    BUMP_NODE(n)

/* Read one child of node n, c = 0 or 1: a control word below a leaf node, a node below the root. */
#define READ_CHILD(n, c)                                                                           \
    if                                                                                             \
    :: n == ROOT && node_key[c] < min -> min = node_key[c]; min_slot = node_slot[c]                \
    :: n != ROOT && FRONT + 2 * n + c < SLOTS && READY(ctl[FRONT + 2 * n + c]) &&                  \
           ctl[FRONT + 2 * n + c] < min ->                                                         \
        min = ctl[FRONT + 2 * n + c];                                                              \
        min_slot = FRONT + 2 * n + c                                                               \
    :: else                                                                                        \
    fi

/* refresh_node: recompute node n, again until the own swap succeeds. */
inline refresh_node()
{
    do
    :: STEP(LOAD_NODE(n); min = NONE; min_slot = 0);
       STEP(READ_CHILD(n, 0));
       STEP(READ_CHILD(n, 1));
       if
       :: atomic { STILL_MINE(n) -> SWAP_NODE(n, min, min_slot); min = 0; min_slot = 0; break }
       :: atomic { !STILL_MINE(n) -> min = 0; min_slot = 0 }
       MAY_DIE
       fi
    od
}

/* mqxi_index_refresh: recompute the path of slot s, leaf to root. */
inline refresh(s)
{
    n = LEAF(s);
    refresh_node();
    n = ROOT;
    refresh_node();
    n = 0
}

/* My bump or swap succeeded: one level up, or out of the loop. */
#define INSERTED                                                                                   \
    bumped = false;                                                                                \
    tries = 0;                                                                                     \
    min = 0;                                                                                       \
    min_slot = 0;                                                                                  \
    if                                                                                             \
    :: n == ROOT -> n = 0; break                                                                   \
    :: else -> n = ROOT                                                                            \
    fi
#ifdef BREAK_TWO_TRIES
#define INSERT_FAILED                                                                              \
    tries++;                                                                                       \
    if                                                                                             \
    :: tries == 2 -> INSERTED                                                                      \
    :: else                                                                                        \
    fi
#else
#define INSERT_FAILED
#endif

/*
 * mqxi_index_insert: make every node above slot s at most key, and bump its version after the key
 * was published, so that whoever computed the node without it fails.
 */
inline insert(s, key)
{
    n = LEAF(s);
    do
    :: STEP(LOAD_NODE(n); min = node_key[n]);
       if
       :: min <= key && bumped -> atomic { link[me] = 0; INSERTED }
       :: min <= key && !bumped ->
          /* A smaller key stands there: leave it. */
#if defined(BREAK_NO_BUMP)
          atomic { link[me] = 0; INSERTED }
#elif defined(INSERT_CAS)
          if
          :: atomic { STILL_MINE(n) -> BUMP_NODE(n); INSERTED }
          :: atomic { !STILL_MINE(n) -> min = 0; INSERT_FAILED }
          MAY_DIE
          fi
#else
          /* fetch_add: always succeeds, though perhaps on another node than the one that was
           * read.  Then look again, but do not bump again: one bump after the publication is
           * enough, and inserters in lockstep would make each other look again for ever. */
          if
          :: atomic { STILL_MINE(n) -> BUMP_NODE(n); INSERTED }
          :: atomic { !STILL_MINE(n) -> BUMP_NODE(n); min = 0;
#ifndef BREAK_ADD_AGAIN
                 bumped = true
#endif
             }
          MAY_DIE
          fi
#endif
       :: min > key ->
#ifdef INSERT_MIN
          /* The children's minimum. */
          min = NONE;
          STEP(READ_CHILD(n, 0));
          STEP(READ_CHILD(n, 1));
#else
          /* The own key: what is smaller, and there, stands in the node or is on its way. */
          min = key;
          min_slot = s;
#endif
          if
          :: atomic { STILL_MINE(n) -> SWAP_NODE(n, min, min_slot); INSERTED }
          :: atomic { !STILL_MINE(n) -> min = 0; min_slot = 0; INSERT_FAILED }
          MAY_DIE
          fi
       fi
    od
}

/* ---- engine.c ---- */

/* A send, or a giving back, returns: from now on message m must not be overlooked, unless it was
 * claimed since (for the nth time) and may be on its way back by somebody else. */
#define IS_THERE(m, n)                                                                             \
    there = (claims[m] == n -> there | (1 << m) : there)

/* mqxi_event_signal(&recv_event): see sleep.pml for the waking. */
#define BUMP EACH(SENDERS, REPAIRER, changed[x] = true)

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
#ifdef LIN
    short began_op;
#endif

    do
    :: sent == SENDS -> break
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
       /* copy the payload in; take a sequence: fetch_add(sequence, 1).  Any priority. */
       STEP(
           sequence++;
           if
           :: key = KEY(0, sequence)
#ifndef ONE_PRIORITY
           :: key = KEY(1, sequence)
#endif
           fi;
           before[sequence] = began & there;
           key_of[sequence] = key;
           began = 0;
#ifdef LIN
           before_op[sequence - 1] = began_op;
           began_op = 0;
#endif
           old_key[slot] = key
       );
       /* publish */
       STEP(ctl[slot] = key; published = published | (1 << SEQ(key)));
#ifdef BREAK_BUMP_FIRST
       STEP(BUMP);
#endif
       if
       :: IN_TREE(slot) -> insert(slot, key)
       :: else
       fi;
       /* bump recv_event, return */
       STEP(
#ifndef BREAK_BUMP_FIRST
           BUMP;
#endif
           IS_THERE(SEQ(key), 0);
#ifdef LIN
           over = over | (1 << (SEQ(key) - 1));
#endif
           slot = 0;
           key = 0;
           sent++
       )
    od;
end:
    atomic { slot = 0; key = 0; n = 0; min = 0; min_slot = 0; tries = 0; bumped = false;
             began = 0; sent = 0; link[me] = 0; finished++ }
}

/* The moment of a successful claim: what may not be. */
inline check_claim(m)
{
    /* nobody has it already */
    assert(!(taken & (1 << m)));
    /* nothing smaller is there that was there when this receive, or that message's send, began */
    EACH(1, MESSAGES + 1,
         assert(!((must[me] | before[m]) & there & (1 << x)) || key_of[x] >= key_of[m]));
    taken = taken | (1 << m);
    claims[m]++;
    there = there & ~(1 << m);
    ALL_PROCS(must[x] = must[x] & there);
    EACH(1, MESSAGES + 1, before[x] = before[x] & there);
#if DEATHS == 0 && !defined(ABORT)
    before[m] = 0; /* not needed any more: fewer states */
#ifndef LIN
    key_of[m] = 0;
#endif
#endif
    if
    :: !there -> saw_empty = saw_empty | in_call
    :: else
    fi
}

/* mqxi_take and mqxi_take_commit (or mqxi_take_abort), RECEIVES times. */
proctype receiver(byte me)
{
    byte newest, key, slot, scan, upto, n, min, min_slot, tries, x, received, claim;
    bool asked, won, bumped;

    do
    :: received == RECEIVES -> break
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
look_again:
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
       /* mqxi_index_first: the root */
       STEP(
           if
           :: node_key[ROOT] < key -> key = node_key[ROOT]; slot = node_slot[ROOT]
           :: else
           fi
       );
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
       :: key != NONE && SEQ(key) > newest ->
           /* known_sequence: now it is known that this one's sequence, or all up to now, are
            * taken: look a second time */
           STEP(
               if
               :: newest = SEQ(key)
               :: newest = sequence
               fi;
               key = 0; slot = 0;
               goto look_again
           )
#endif
       :: else -> atomic { asked = false; changed[me] = false }
       fi;
       /* claim: CAS(ctl, key, TAKING | me) */
       STEP(
           if
           :: ctl[slot] == key ->
               check_claim(SEQ(key));
               ctl[slot] = TAKING(me);
               newest = (received + 1 == RECEIVES -> 0 : newest); /* not needed: fewer states */
               won = true
           :: else
           fi
       );
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
       :: /* mqxi_take_abort: back to ready, into the index, tell the others */
           STEP(ctl[slot] = key; taken = taken & ~(1 << SEQ(key)); claim = claims[SEQ(key)]);
           if
           :: IN_TREE(slot) -> insert(slot, key)
           :: else
           fi;
           STEP(
               BUMP;
               IS_THERE(SEQ(key), claim);
               key = 0; slot = 0; won = false; claim = 0;
               goto returned
           )
       fi;
#endif
       /* copy out; mqxi_take_commit: ctl = FREE (the commit point), bump send_event, return */
       STEP(
#ifndef FREE_FIRST
           assert(ctl[slot] == TAKING(me));
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
        received = 0; claim = 0; asked = false; bumped = false; won = false;
        changed[me] = false; link[me] = 0; must[me] = 0; in_call = in_call & ~(1 << me);
        finished++
    }
}

/* ---- repair.c ---- */

#if DEATHS > 0
/* mqxi_repair: slots of dead owners, then what the index does not show. */
inline repair()
{
    slot = 0;
    do
    :: slot < SLOTS ->
       /* read the control word; is its owner dead? */
       STEP(
           c = 0;
           if
           :: ctl[slot] >= FILLING(0) && dead[ctl[slot] & 63] -> c = ctl[slot]
           :: else
           fi
       );
       if
       :: c >= TAKING(0) ->
           STEP(key = old_key[slot]);
           STEP(
               if
               :: ctl[slot] == c ->
                   ctl[slot] = key;
                   taken = taken & ~(1 << SEQ(key));
                   claim = claims[SEQ(key)]
               :: else -> c = 0; key = 0
               fi
           );
#ifndef BREAK_NO_PATH
           if
           :: c && IN_TREE(slot) -> refresh(slot)
           :: else
           fi;
#endif
           if
           :: c ->
               STEP(
                   BUMP;
                   IS_THERE(SEQ(key), claim);
                   key = 0; claim = 0
               )
           :: else
           fi
       :: c >= FILLING(0) && c < TAKING(0) ->
           STEP(
               if
               :: ctl[slot] == c -> ctl[slot] = FREE
               :: else
               fi
           )
       :: else
       fi;
       c = 0;
       slot++
    :: else -> slot = 0; break
    od;
#ifndef BREAK_NO_SWEEP
    /* mqxi_index_check: refresh each node that is not its children's minimum, leaves first */
    node = 0;
    do
    :: node < 3 ->
       STEP(key = node_key[node]; n = node; min = NONE; min_slot = 0);
       STEP(READ_CHILD(n, 0));
       STEP(READ_CHILD(n, 1));
       if
       :: key != min -> refresh_node()
       :: else
       fi;
       n = 0; min = 0; min_slot = 0; key = 0;
       node++
    :: else -> node = 0; break
    od
#endif
}

proctype repairer(byte me)
{
    byte slot, c, key, n, node, min, min_slot, x, claim;

    if
    :: deaths
    :: finished == SENDERS + RECEIVERS -> goto end
    fi;
    repair();
end:
    atomic { slot = 0; c = 0; key = 0; claim = 0; n = 0; node = 0; min = 0; min_slot = 0;
             link[me] = 0; finished++ }
}
#endif

/* When all have finished or died: the last repair, then the books are checked. */
proctype judge(byte me)
{
    byte slot, c, key, n, node, min, min_slot, x, claim;

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
    skip;
    d_step {
        /* published = taken + ready, each once, and every ready key is shown by its whole path */
        slot = 0;
        c = 0;
        do
        :: slot < SLOTS ->
            assert(ctl[slot] < FILLING(0));
            if
            :: READY(ctl[slot]) ->
                assert(!((c | taken) & (1 << SEQ(ctl[slot]))));
                c = c | (1 << SEQ(ctl[slot]));
                assert(!IN_TREE(slot) ||
                       (node_key[LEAF(slot)] <= ctl[slot] && node_key[ROOT] <= ctl[slot]))
            :: else
            fi;
            slot++
        :: else -> break
        od;
        assert((c | taken) == published)
    }
#ifdef LIN
    atomic {
        c_code { now.linear = linearizable(); };
        assert(linear)
    }
#endif
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
