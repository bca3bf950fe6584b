/*
 * From one message to the next (libmqx/order.h, order.c), part of engine.pml: a receive looks first
 * where the message is whose key follows on that of one that was the first and was taken.
 *
 * In which slot of the front it looks is a hint, and now and then it does not: so here it may find
 * the message in whichever slot it is, or not look for it.  MQXI_ORDER_AHEAD is 0 here.
 */
#ifdef ORDER
byte disturbed;
#ifdef THREADS
byte the_taken; /* q->taken */
#define TAKEN the_taken
#define NOTE_TAKEN_AT_ONCE(key) skip
#define ORDER_LOCALS byte said, latest;
#define ORDER_END said = 0; latest = 0
#else
#define TAKEN last
/* Not needed after the last receive: fewer states. */
#define NOTE_TAKEN_AT_ONCE(key) last = (received + 1 == MY_RECEIVES -> 0 : key)
#define ORDER_LOCALS byte said, latest, last;
#define ORDER_END said = 0; latest = 0; last = 0
#endif
#define AT_ONCE(then) skip /* more comes before that */

/* mqxi_order_disturb. */
inline disturb()
{
#ifdef BREAK_SAID_ONCE
    STEP(latest = sequence);
    STEP(disturbed = (disturbed < latest -> latest : disturbed); latest = 0);
#else
    STEP(said = disturbed);
    do
    :: STEP(latest = sequence);
       if
       :: atomic { latest <= said -> said = 0; latest = 0; break }
       :: atomic { latest > said }
       fi;
       STEP(
           if
           :: disturbed == said -> disturbed = latest; said = latest
           :: else -> said = disturbed
           fi;
           latest = 0
       )
    od;
#endif
}

/* mqxi_order_sent. */
inline order_sent(key)
{
    STEP(latest = sequence);
    if
    :: atomic { latest != SEQ(key) -> latest = 0 }
#ifndef BREAK_LATE
       disturb()
#endif
    :: atomic { latest == SEQ(key) -> latest = 0 }
       STEP(latest = lowest);
       if
       :: atomic { RANK(key) < latest -> latest = 0 }
#ifndef BREAK_PRIORITY
          disturb()
#endif
       :: atomic { RANK(key) >= latest -> latest = 0 }
       fi
    fi
}

/* mqxi_order_next: to claim_it with it, or on. */
inline order_next()
{
    STEP(
        if
        :: ctl[0] == TAKEN + 1 && FRONT > 0 -> slot = 0
#if FRONT > 1
        :: ctl[1] == TAKEN + 1 -> slot = 1
#endif
#if FRONT > 2
        :: ctl[2] == TAKEN + 1 -> slot = 2
#endif
        :: goto look_again
        fi;
        key = ctl[slot]
    );
    STEP(
        if
#if defined(BREAK_UNSAID)
        :: goto claim_it
#elif defined(BREAK_OFF_BY_ONE)
        :: SEQ(key) - 1 >= disturbed -> goto claim_it
#else
        :: SEQ(key) - 1 > disturbed -> goto claim_it
#endif
        :: else -> key = 0; slot = 0
        fi
    );
}

/* mqxi_choose: of what is there, any. */
inline choose()
{
    STEP(
        if
        :: READY(ctl[0]) -> slot = 0
        :: READY(ctl[1]) -> slot = 1
#if SLOTS > 2
        :: READY(ctl[2]) -> slot = 2
#endif
        fi;
        key = ctl[slot];
        note_claim(SEQ(key));
        ctl[slot] = TAKING(me);
#ifdef BREAK_NOTED
        NOTE_TAKEN_AT_ONCE(key);
#endif
        won = true
    )
}
#else
#define ORDER_LOCALS
#define ORDER_END skip
#define NOTE_TAKEN_AT_ONCE(key) skip
#define AT_ONCE(then) then
#endif
