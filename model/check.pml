/*
 * What must hold, part of engine.pml: who holds which message, what each call
 * may and may not find, and the books at the end.  Nothing here is a step of
 * the engine's, and nothing here is shared memory.
 */

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

#ifdef LIN
#define RETURNED(op) over = over | (1 << (op))
#else
#define RETURNED(op) skip
#endif

/* A send, or a giving back, returns: from now on message m must not be overlooked, unless it was
 * claimed since (for the nth time) and may be on its way back by somebody else. */
#define IS_THERE(m, n)                                                                             \
    there = (claims[m] == n -> there | (1 << m) : there)

/* The moment of a successful claim of the first message: what may not be. */
inline check_claim(m)
{
    /* nothing smaller is there that was there when this receive, or that message's send, began */
    EACH(1, MESSAGES + 1,
         assert(!((must[me] | before[m]) & there & (1 << x)) || key_of[x] >= key_of[m]));
    note_claim(m)
}

/* And of one that was chosen. */
inline note_claim(m)
{
    /* nobody has it already */
    assert(!(taken & (1 << m)));
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

/* When nothing moves any more. */
inline check_books()
{
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
