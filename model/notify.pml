/*
 * mq_notify (libmqx/notify.c): does a registrant ever wait beside a message?
 *
 * One registration at a time: its word, and header->notify, which says where to
 * look.  The registrant registers, empties the queue, waits to be told, and
 * registers again.  Senders send one message each, in a slot of their own; which
 * one a receiver finds first is anybody's guess (priorities).  Blocked receivers
 * take one message each; sleeping and waking are sleep.pml's, with wake-ups in one
 * step.
 *
 * What is to hold: when nothing moves any more and the registrant waits, the
 * queue is empty.  (That nobody is notified needlessly is the tests' business.)
 *
 * Sizes:    -DSENDERS=n -DRECEIVERS=n -DREGISTRATIONS=n
 * Options:  -DLEAVE   a receiver may give up in its sleep (deadline, signal)
 * Breakages, all of which must be found:
 *           -DBREAK_NO_PROMISE  a message whose receiver was woken counts until it is taken
 *           -DBREAK_LATE        the promise is made after the wake-up
 *           -DBREAK_COVERED     an earlier message counts as promised with a later one
 *           -DBREAK_UNPROMISED  somebody was woken: no notification, promise or not
 *           -DBREAK_ANY         any other message counts, not only earlier ones
 *           -DBREAK_GONE        a promised message that is gone does not notify
 *           -DBREAK_UNTOLD      put_tells is set after the look at the queue
 *           -DBREAK_LATE_REGISTRATION  empty the queue, then register
 */
#ifndef SENDERS
#define SENDERS 3
#endif
#ifndef RECEIVERS
#define RECEIVERS 1
#endif
#ifndef REGISTRATIONS
#define REGISTRATIONS 2
#endif
#define NONE  0
#define SET   1
#define FIRED 2

byte sequence;       /* the last one taken */
byte ready[SENDERS]; /* the sequence of the message in this slot, 0: none */
byte handed;         /* notify_handed */
byte count;          /* recv_event ... */
bit sleepers;        /* ... and its bit 0 */
#if RECEIVERS > 0
bool asleep[RECEIVERS];
#endif
bit tells;           /* put_tells: there ever was a registration */
byte notify;         /* number of the registration that holds, 0: none */
byte number, word;   /* of the registrant's entry: SET for this number, FIRED, NONE */
bool waiting;        /* the registrant has registered, seen the queue empty, and waits */

#if SENDERS == 2
#define EMPTY (ready[0] == 0 && ready[1] == 0)
#else
#define EMPTY (ready[0] == 0 && ready[1] == 0 && ready[2] == 0)
#endif

/* Take a message, any. */
inline take_any(slot)
{
    if
    :: ready[0] -> slot = 0
    :: ready[1] -> slot = 1
#if SENDERS > 2
    :: ready[2] -> slot = 2
#endif
    fi;
    ready[slot] = 0;
    slot = 0
}

#ifdef BREAK_ANY
#define EARLIER(i) (i != me && ready[i] != 0)
#else
#define EARLIER(i) (ready[i] != 0 && ready[i] < mine)
#endif

proctype sender(byte me)
{
    byte mine, before, c, i, woken;
    bit made, had;

    atomic { sequence++; mine = sequence };
#if !defined BREAK_NO_PROMISE && !defined BREAK_LATE
    /* mqxi_notify_promise, if put_tells says so */
    if
    :: atomic { !tells -> goto publish }
    :: atomic { tells }
    fi;
    if
    :: atomic { !sleepers -> goto publish }
    :: atomic { sleepers -> before = handed }
    fi;
again:
    if
    :: atomic { before < mine && handed == before -> handed = mine; made = 1 }
    :: atomic { before < mine && handed != before -> before = handed; goto again }
#ifdef BREAK_COVERED
    :: atomic { before >= mine -> made = 1 }
#else
    :: atomic { before >= mine }
#endif
    fi;
publish:
#endif
    atomic { ready[me] = mine };
    /* mqxi_event_signal: wakes one, if there is one; else the bit goes. */
    atomic {
        count++;
        had = sleepers;
#if RECEIVERS > 0
        if
        :: had && asleep[0] -> asleep[0] = false; woken = 1
#if RECEIVERS > 1
        :: had && asleep[1] -> asleep[1] = false; woken = 1
        :: had && !asleep[0] && !asleep[1] -> sleepers = 0
#else
        :: had && !asleep[0] -> sleepers = 0
#endif
        :: !had
        fi;
#else
        sleepers = 0;
#endif
        had = 0
    };
#if defined BREAK_NO_PROMISE || defined BREAK_UNPROMISED
    if
    :: woken -> goto done
    :: else
    fi;
#endif
#ifdef BREAK_LATE
    if
    :: atomic { woken && handed < mine -> handed = mine; goto done }
    :: atomic { woken && handed >= mine -> goto done }
    :: else
    fi;
#endif
    /* put_tells once more, after the bump */
    if
    :: atomic { !tells -> goto done }
    :: atomic { tells }
    fi;
    /* keep_promise */
    if
    :: made && woken -> goto done
    :: made && !woken ->
        if
        :: atomic { ready[me] != mine } /* gone, and if nothing else is there: to its receiver */
#ifdef BREAK_GONE
            goto done;
#endif
            i = 0;
            do
            :: atomic { i == SENDERS -> goto done }
            :: atomic { i < SENDERS && ready[i] == 0 -> i++ }
            :: atomic { i < SENDERS && ready[i] != 0 -> break }
            od
        :: atomic { ready[me] == mine }
        fi;
        if
        :: atomic { handed == mine -> handed = before }
        :: atomic { handed != mine }
        fi
    :: else
    fi;
    /* mqxi_notify_fire */
    atomic { c = notify; before = 0 };
    if
    :: c == 0 -> goto done
    :: else
    fi;
    i = 0;
    do
    :: atomic { i == SENDERS -> break }
    :: atomic { i < SENDERS && !EARLIER(i) -> i++ }
    :: atomic { i < SENDERS && EARLIER(i) -> before = ready[i] };
        /* handed is read after the message was seen: it was promised before that */
        if
        :: atomic { before > handed -> goto done }
        :: atomic { before <= handed -> i++ }
        fi
    od;
    if
    :: atomic { word == SET && number == c -> word = FIRED }
    :: atomic { !(word == SET && number == c) }
    fi;
    if
    :: atomic { notify == c -> notify = 0 }
    :: atomic { notify != c }
    fi;
done:
    atomic { mine = 0; before = 0; c = 0; i = 0; woken = 0; made = 0; had = 0 }
}

#if RECEIVERS > 0
/* A receive that blocks. */
proctype receiver(byte me)
{
    byte seen, slot;

again:
    if
    :: atomic { !EMPTY -> take_any(slot); goto done }
    :: atomic { EMPTY -> seen = count }
    fi;
    if
    :: atomic { count == seen -> sleepers = 1 }
    :: atomic { count != seen -> goto again }
    fi;
    if
    :: atomic { count == seen && sleepers -> asleep[me] = true }
    :: atomic { (count != seen || !sleepers) -> goto again }
    fi;
end_asleep:
    if
    :: atomic { !asleep[me] -> goto again }
#ifdef LEAVE
    :: atomic { asleep[me] -> asleep[me] = false }
#endif
    fi;
done:
    atomic { seen = 0 }
}
#endif

proctype registrant()
{
    byte slot, n;

    do
    :: atomic { n == REGISTRATIONS -> break }
    :: n < REGISTRATIONS ->
#ifdef BREAK_LATE_REGISTRATION
        do
        :: atomic { !EMPTY -> take_any(slot) }
        :: atomic { EMPTY -> break }
        od;
#endif
        atomic { number++; word = SET; n++ };
#ifndef BREAK_UNTOLD
        atomic { tells = 1 };
#endif
        /* hold: what fired is cleared away by who finds it */
        atomic { notify = number };
#ifndef BREAK_LATE_REGISTRATION
        do
        :: atomic { !EMPTY -> take_any(slot) }
        :: atomic { EMPTY -> waiting = true; break }
        od;
#ifdef BREAK_UNTOLD
        atomic { tells = 1 };
#endif
#else
        waiting = true;
#endif
end_waiting:
        atomic { word == FIRED -> word = NONE; waiting = false }
    od
}

/* When nothing moves any more: nobody waits beside a message. */
proctype judge()
{
    timeout;
    assert(!waiting || EMPTY)
}

init
{
    byte k;

    atomic {
        k = 0;
        do
        :: k < SENDERS -> run sender(k); k++
        :: else -> break
        od;
#if RECEIVERS > 0
        k = 0;
        do
        :: k < RECEIVERS -> run receiver(k); k++
        :: else -> break
        od;
#endif
        run registrant();
        run judge();
        k = 0
    }
}
