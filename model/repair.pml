/*
 * What dead processes left behind (libmqx/repair.c), part of engine.pml: any
 * time after the first death, beside those who work on, and once more when
 * nothing else moves.
 */

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
           /* give_back */
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
#ifdef URGENT
               STEP(BUMP_URGENT);
#endif
#if defined(ORDER) && !defined(BREAK_BACK)
               disturb();
#endif
               STEP(
                   BUMP;
                   IS_THERE(SEQ(key), claim);
                   key = 0; claim = 0
               )
           :: else
           fi
       :: c >= FILLING(0) && c < TAKING(0) ->
           /* free_slot */
#ifdef OVERFLOW
           /* mine, while I trim it */
           STEP(
               if
               :: ctl[slot] == c -> ctl[slot] = FILLING(me); c = FILLING(me)
               :: else -> c = 0
               fi
           );
#endif
           STEP(
               if
               :: c && ctl[slot] == c -> ctl[slot] = FREE
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
    ORDER_LOCALS

    if
    :: deaths
    :: finished == SENDERS + RECEIVERS -> goto end
    fi;
    repair();
end:
    atomic { slot = 0; c = 0; key = 0; claim = 0; n = 0; node = 0; min = 0; min_slot = 0;
             link[me] = 0; finished++ }
}
