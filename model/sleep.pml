/*
 * Sleeping and waking (libmqx/wait.c): is a receiver ever left asleep while a
 * message is there and nothing else moves?
 *
 * One event word: a counter, and bit 0, "somebody may be asleep".  The queue
 * is reduced to the number of published messages; that a receive finds what
 * was published before it looked is engine.pml's matter.  Senders that wait
 * for a free slot are the same with the parts exchanged.
 *
 * Sizes:    -DSENDERS=n (each sends once, or not at all) -DRECEIVERS=n (each takes once)
 * Options:  -DWAKE_ALL  signal wakes everybody
 *           -DLEAVE     a sleeper may return by itself (deadline, signal) for good
 *           -DCANCEL    one that was woken may be cancelled, and then wakes another in its stead
 *           -DKILL      one process may die, at any step
 *           -DRECHECK   a sleeper looks again when nothing else moves (in the code: every second)
 * Breakages, all of which must be found:
 *           -DBREAK_CLEAR_FIRST  the waker clears the bit, wakes one, and sets the bit again
 *           -DBREAK_ONE_WAKE     the waker that woke nobody clears the bit and leaves it at that
 *           -DBREAK_LATE_WORD    a receiver looks first, and reads the word to sleep on after that
 *           -DBREAK_NO_LOOK      a sleeper that was woken may return without having looked again
 *           -DKILL without -DRECHECK
 */
#ifndef SENDERS
#define SENDERS 3
#endif
#ifndef RECEIVERS
#define RECEIVERS 3
#endif
#define ALL 255

byte count;             /* the word: the counter ... */
bit sleepers;           /* ... and bit 0 */
byte messages;          /* published and not taken */
bool asleep[RECEIVERS]; /* the kernel's wait queue */
byte gone;              /* receivers that returned or died */
bool killed;            /* somebody died */

#ifdef KILL
#define MAY_DIE :: atomic { !killed -> killed = true; goto dead }
#else
#define MAY_DIE
#endif
/* One step of a program; in its stead the process may die. */
#define STEP(x)                                                                                    \
    if                                                                                             \
    :: x                                                                                           \
    MAY_DIE                                                                                        \
    fi

/* FUTEX_WAKE: one (any of them: more than the kernel's order allows) or all; n: how many. */
inline futex_wake(limit, n)
{
    n = 0;
    i = 0;
    do
    :: i < RECEIVERS && asleep[i] && n < limit ->
        asleep[i] = false;
        n++;
        i++
    :: i < RECEIVERS && limit == 1 -> i++ /* may pass over a sleeper ... */
    :: i < RECEIVERS && limit != 1 && !asleep[i] -> i++
    :: i == RECEIVERS -> break
    od;
    if
    :: limit == 1 && n == 0 -> /* ... but not over all of them */
        i = 0;
        do
        :: i < RECEIVERS && asleep[i] ->
            asleep[i] = false;
            n = 1;
            break
        :: i < RECEIVERS && !asleep[i] -> i++
        :: i == RECEIVERS -> break
        od
    :: else
    fi;
    i = 0
}

/* mqxi_event_wake(event, one). */
inline event_wake()
{
#ifdef BREAK_CLEAR_FIRST
    STEP(atomic { sleepers = 0 });
    STEP(atomic { futex_wake(1, n) });
    if
    :: n > 0 -> STEP(atomic { sleepers = 1 })
    :: else
    fi;
#else
#ifndef WAKE_ALL
    /* wake(event, 1); the bit stays: there may be more sleepers */
    STEP(atomic { futex_wake(1, n) });
    if
    :: n > 0 -> goto done
    :: else
    fi;
#endif
    /* fetch_and(event, ~1) */
    STEP(atomic { sleepers = 0 });
#ifndef BREAK_ONE_WAKE
    /* wake(event, all): somebody may have fallen asleep before the bit was cleared */
    STEP(atomic { futex_wake(ALL, n) });
#endif
#endif
}

/* mqxi_put's end: publish, then mqxi_event_signal(recv_event, one). */
proctype sender()
{
    byte i, n;
    bit had;

    if
    :: goto done
    :: STEP(atomic { messages++ }) /* publish */
    fi;
    /* old = fetch_add(event, 2) */
    STEP(atomic { count++; had = sleepers });
    if
    :: !had -> goto done
    :: else
    fi;
    event_wake();
done:
dead:
    atomic { n = 0; had = 0 }
}

/* A receive that waits: mqxi_take, mqxi_event_sleep, again. */
proctype receiver(byte me)
{
    byte seen;
    bit had;
#ifdef CANCEL
    byte i, n;
#endif

again:
#ifndef BREAK_LATE_WORD
    STEP(atomic { seen = count });
#endif
    /* mqxi_take.  What it needs of the engine: a message published before seen was read is
     * found, if nobody else takes it. */
    if
    :: atomic { messages > 0 -> messages--; goto done }
    :: atomic { messages == 0 }
    MAY_DIE
    fi;
#ifdef BREAK_LATE_WORD
    STEP(atomic { seen = count });
#endif
    /* mqxi_event_sleep: word = load(event), return if the count moved */
    if
    :: atomic { count != seen -> goto again }
    :: atomic { count == seen -> had = sleepers }
    MAY_DIE
    fi;
    /* unless word & 1: CAS(event, word, word | 1); if it failed and not because another sleeper
     * set the bit, look again */
    if
    :: atomic { had }
    :: atomic { !had && count == seen -> sleepers = 1 }
    :: atomic { !had && count != seen -> goto again }
    MAY_DIE
    fi;
    had = 0;
    /* FUTEX_WAIT(event, word | 1): asleep only if the word is still that */
    if
    :: atomic { count == seen && sleepers -> asleep[me] = true }
    :: atomic { (count != seen || !sleepers) -> goto again }
    MAY_DIE
    fi;
end_asleep:
    if
    :: atomic { !asleep[me] -> goto again } /* woken */
#ifdef BREAK_NO_LOOK
    :: atomic { !asleep[me] -> goto done }
#endif
#ifdef CANCEL
    :: atomic { !asleep[me] -> goto abandon }
#endif
#ifdef LEAVE
    :: atomic { asleep[me] -> asleep[me] = false; goto done } /* deadline, signal */
#endif
#ifdef KILL
    :: atomic { !killed -> killed = true; asleep[me] = false; goto dead }
#endif
#ifdef RECHECK
    :: atomic { timeout && messages > 0 && asleep[me] -> asleep[me] = false; goto again }
#endif
    fi;
#ifdef CANCEL
abandon: /* block.c: it may have been the one that a signal woke */
    event_wake();
    n = 0;
#endif
done:
dead:
    atomic { seen = 0; had = 0; gone++ }
}

/* When nothing moves any more: nobody sleeps beside a message. */
proctype judge()
{
#ifdef RECHECK
    timeout && (messages == 0 || gone == RECEIVERS)
#else
    timeout;
    assert(messages == 0 || gone == RECEIVERS)
#endif
}

init
{
    byte k;

    atomic {
        k = 0;
        do
        :: k < SENDERS -> run sender(); k++
        :: else -> break
        od;
        k = 0;
        do
        :: k < RECEIVERS -> run receiver(k); k++
        :: else -> break
        od;
        run judge();
        k = 0
    }
}
