/*
 * Sleeping and waking (libmqx/wait.c): is a receiver ever left asleep while a
 * message is there, nothing else moves, and nobody died?
 *
 * One event word: a counter and bit 0, "somebody may be asleep".  The queue
 * itself is reduced to the number of published messages.  Senders and
 * receivers are symmetrical (the other event word counts freed slots).
 *
 * Sizes:    -DSENDERS=n (each sends once) -DRECEIVERS=n (each wants one message)
 * Waker:    -DWAKER=0  clear the bit, wake one, set the bit if one was woken
 *           -DWAKER=1  the same, then wake all if the counter moved meanwhile
 *           -DWAKER=2  wake one; if there was none: clear the bit, wake all
 *           -DWAKER=3  clear the bit, wake all
 *           -DWAKER=4  wake one; if there was none: clear the bit (wrong)
 * Options:  -DLEAVE    a sleeper may return by itself (deadline, signal) and not come back
 *           -DKILL     one process may die at any step
 *           -DRECHECK  a sleeper looks again when nothing else moves (about every second)
 *           -DBREAK_LATE_WORD  the word to sleep on is read after the look
 */
#ifndef SENDERS
#define SENDERS 3
#endif
#ifndef RECEIVERS
#define RECEIVERS 3
#endif
#ifndef WAKER
#define WAKER 1
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

/* mqxi_put's end: publish, then mqxi_event_signal(recv_event, one). */
proctype sender()
{
    byte i, n, seen;
    bit had;

    STEP(atomic { messages++ }); /* publish */
    /* old = fetch_add(event, 2) */
    STEP(atomic { count++; had = sleepers });
    if
    :: !had -> goto done
    :: had /* mqxi_event_wake */
    fi;
#if WAKER == 0 || WAKER == 1
    /* old = fetch_and(event, ~1) */
    STEP(atomic { sleepers = 0; seen = count });
    STEP(atomic { futex_wake(1, n) });
    if
    :: n >= 1 ->
        /* now = fetch_or(event, 1): there may be others */
        STEP(atomic { sleepers = 1; n = (count != seen) });
#if WAKER == 1
        /* Who bumped in between saw no bit and woke nobody: do it for them. */
        if
        :: n -> STEP(atomic { futex_wake(ALL, n) })
        :: else
        fi
#endif
    :: else
    fi;
#elif WAKER == 2
    STEP(atomic { futex_wake(1, n) });
    if
    :: n == 0 ->
        STEP(atomic { sleepers = 0 });
        STEP(atomic { futex_wake(ALL, n) })
    :: else
    fi;
#elif WAKER == 3
    STEP(atomic { sleepers = 0 });
    STEP(atomic { futex_wake(ALL, n) });
#elif WAKER == 4
    STEP(atomic { futex_wake(1, n) });
    if
    :: n == 0 -> STEP(atomic { sleepers = 0 })
    :: else
    fi;
#endif
done:
    n = 0; seen = 0; had = 0;
    goto end;
dead:
    n = 0; seen = 0; had = 0;
end:
    skip
}

/* A receive that waits: mqxi_take, mqxi_event_sleep, again. */
proctype receiver(byte me)
{
    byte seen;
    bit had;

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
    /* unless word & 1: CAS(event, word, word | 1), look again if it failed */
    if
    :: atomic { !had && (count != seen || sleepers) -> had = 0; goto again }
    :: atomic { !had && count == seen && !sleepers -> sleepers = 1 }
    :: atomic { had }
    MAY_DIE
    fi;
    had = 0;
    /* FUTEX_WAIT(event, word | 1): asleep only if the word is still that */
    if
    :: atomic { count == seen && sleepers -> asleep[me] = true }
    :: atomic { (count != seen || !sleepers) -> goto again }
    MAY_DIE
    fi;
asleep_here:
end_asleep:
    if
    :: atomic { !asleep[me] -> goto again } /* woken: always looks again */
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
done:
dead:
    atomic { seen = 0; had = 0; gone++ }
}

/* When nothing moves any more: nobody sleeps beside a message. */
proctype judge()
{
    timeout;
    assert(!(messages > 0 && gone < RECEIVERS))
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
