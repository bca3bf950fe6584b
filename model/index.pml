/*
 * The tree of minima (libmqx/index.c), part of engine.pml: TREE slots are the leaves, fan-out 2,
 * two levels, nodes 0 and 1, and the root, 2.
 *
 * Versions.  A node changes only by a compare-and-swap that bumps its version,
 * so "the node is still what I read" is the same as "nobody has swapped it
 * since".  The model keeps that bit (link[p]: the node that p read and nobody
 * has swapped since) in place of a number that would only multiply the states.
 * Reading a node in halves is one step: the version proves that it was one.
 *
 * What a leaf node and an inner node read of a child is one step as well: the
 * code looks at the keys first, then for the slot of the smallest, and begins
 * again where that key is not there any more; a key is only ever in one slot.
 */
#define ROOT       2
#define IN_TREE(s) ((s) >= FRONT)
#define LEAF(s)    (((s) - FRONT) / 2)

byte node_key[3] = NONE;
byte node_slot[3];
byte link[PROCS]; /* 1 + the node whose version I hold, or 0 */

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
