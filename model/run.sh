#!/bin/sh
# Check the models with spin: the good ones must pass, the broken ones must be caught.
#
#   model/run.sh quick  the smallest ones: seconds
#   model/run.sh        the usual round: a few minutes on one core, up to 4 GB of memory
#   model/run.sh full   the large ones as well: a quarter of an hour, up to 8 GB
#
# One line a model.  A broken one that passes is a failure: the model has lost its teeth.
# The counterexample of a failure stays in the folder that its line names.
set -u

here=$(cd "$(dirname "$0")" && pwd)
if ! command -v spin >/dev/null; then
    if [ "${1:-}" = quick ]; then
        echo 'skip - models: spin is not installed'
        exit 0
    fi
    echo "model/run.sh: spin is missing: apt-get install spin" >&2
    exit 1
fi
case "${1:-}" in
'' | quick | full) ;;
*)
    echo "usage: $0 [quick | full]" >&2
    exit 2
    ;;
esac

work=$(mktemp -d "${TMPDIR:-/tmp}/mqx-model-XXXXXX") || exit 1
passed=0 failed=0
optimize=-O2 table=25

# check pass|error NAME MODEL COMPILE "OPTIONS": generate, compile, run one checker.
check()
{
    expect=$1 name=$2 model=$3 compile=$4 options=$5 run=
    dir=$work/$(printf %s "$name" | tr -cs '[:alnum:]' -)
    case $compile in *-DNP*) run=-l ;; esac

    mkdir -p "$dir" && cd "$dir" || exit 1
    # shellcheck disable=SC2086 # options are words
    if ! spin -a $options "$here/$model.pml" >log 2>&1 || ! ${CC:-cc} $optimize $compile -o pan pan.c >>log 2>&1; then
        verdict='the model does not compile'
    else
        ./pan -m100000 -w$table -n $run >log 2>&1
        states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' log)
        # Complete or not at all: out of memory or of depth is no result.
        if grep -Eq 'reached -DMEMLIM|out of memory|max search depth' log; then
            verdict='did not finish'
        elif grep -q 'errors: 0$' log; then
            verdict=pass
        elif grep -Eq 'assertion violated|non-progress cycle|invalid end state' log; then
            verdict=error
        else
            verdict='did not finish'
        fi
    fi
    if [ "$verdict" = "$expect" ]; then
        passed=$((passed + 1))
        [ "$expect" = pass ] && what='no error' || what='caught, as it must be'
        echo "ok - $model: $name: $what ($states states)"
        cd "$work" && rm -r "$dir"
    else
        failed=$((failed + 1))
        echo "not ok - $model: $name: expected $expect, got: $verdict; see $dir/log"
    fi
}

# Every state kept; only a hash of every state kept (for the larger ones); does every
# execution end (hashes alone mislead spin here).
exact='-DSAFETY -DCOLLAPSE -DMEMLIM=3000'
hashed='-DSAFETY -DHC4 -DMEMLIM=3000'
large='-DSAFETY -DHC4 -DMEMLIM=4500'
cycles='-DNP -DCOLLAPSE -DMEMLIM=3000'

# From one message to the next: one sender of one message, one of three, a receiver of three; and
# three messages, of which one is given back.
next='-DFRONT=2 -DTREE=0 -DFIXED -DFIRST_SENDS=1 -DSENDS=3 -DRECEIVERS=1 -DRECEIVES=3 -DORDER'
back='-DFRONT=2 -DTREE=0 -DSENDERS=1 -DSENDS=3 -DRECEIVES=2 -DFIRST_RECEIVES=1 -DORDER -DONE_PRIORITY'

good() { check pass "$@"; }
broken() { check error "$@"; }

if [ "${1:-}" = quick ]; then
    optimize=-O0 table=22 # compiling takes longer than checking
    good 'two and two' sleep "$exact" '-DSENDERS=2 -DRECEIVERS=2 -DCANCEL'
    broken 'bit cleared first' sleep "$exact" '-DBREAK_CLEAR_FIRST'
    good 'two and one' notify "$exact" '-DSENDERS=2'
    broken 'handed without a promise' notify "$exact" '-DSENDERS=2 -DBREAK_NO_PROMISE'
    good 'one sender, two receivers' engine "$hashed" '-DFRONT=0 -DTREE=2 -DSENDERS=1 -DSENDS=2'
    good 'one death' engine "$hashed" \
        '-DFRONT=0 -DTREE=2 -DSENDERS=1 -DRECEIVERS=1 -DDEATHS=1'
    broken 'insert without a bump' engine "$hashed" '-DFRONT=0 -DTREE=3 -DFIXED -DBREAK_NO_BUMP'
    broken 'no sweep' engine "$hashed" \
        '-DFRONT=0 -DTREE=2 -DRECEIVERS=1 -DFIXED -DDEATHS=1 -DBREAK_NO_SWEEP'
    broken 'late, not said' engine "$hashed" "$next -DONE_PRIORITY -DBREAK_LATE"
fi

usual()
{
    good 'three and three' sleep "$exact" ''
    good 'wake all' sleep "$exact" '-DWAKE_ALL'
    good 'sleepers leave' sleep "$exact" '-DLEAVE'
    good 'a death, with re-check' sleep "$exact" '-DSENDERS=2 -DKILL -DRECHECK'
    good 'woken and cancelled' sleep "$exact" '-DCANCEL'
    broken 'a death, without re-check' sleep "$exact" '-DKILL'
    broken 'bit cleared first' sleep "$exact" '-DBREAK_CLEAR_FIRST'
    broken 'one wake only' sleep "$exact" '-DBREAK_ONE_WAKE'
    broken 'word read late' sleep "$exact" '-DBREAK_LATE_WORD'
    broken 'no look after waking' sleep "$exact" '-DBREAK_NO_LOOK'

    good 'two and one' notify "$exact" '-DSENDERS=2'
    good 'two and two, who may leave' notify "$exact" '-DSENDERS=2 -DRECEIVERS=2 -DLEAVE'
    good 'nobody blocked' notify "$exact" '-DRECEIVERS=0'
    broken 'handed without a promise' notify "$exact" '-DSENDERS=2 -DBREAK_NO_PROMISE'
    broken 'promised too late' notify "$exact" '-DSENDERS=2 -DBREAK_LATE'
    broken 'promised by another' notify "$exact" '-DBREAK_COVERED'
    broken 'woken without a promise' notify "$exact" '-DSENDERS=2 -DBREAK_UNPROMISED'
    broken 'gone, and all is well' notify "$hashed" '-DBREAK_GONE'
    broken 'later messages count' notify "$exact" '-DSENDERS=2 -DBREAK_ANY'
    broken 'told too late' notify "$exact" '-DSENDERS=2 -DBREAK_UNTOLD'
    broken 'registered after the look' notify "$exact" '-DSENDERS=2 -DBREAK_LATE_REGISTRATION'

    good 'any slot' engine "$hashed" '-DTREE=2'
    good 'any of three slots, two leaf nodes' engine "$large" '-DFRONT=0 -DTREE=3'
    good 'a slot used again' engine "$hashed" '-DFRONT=0 -DTREE=2 -DSENDERS=1 -DSENDS=3'
    good 'linearizable' engine "$hashed" '-DTREE=2 -DFIXED -DLIN'
    good 'three senders' engine "$hashed" '-DFRONT=0 -DTREE=3 -DSENDERS=3 -DRECEIVERS=1 -DFIXED'
    good 'receivers wait' engine "$hashed" '-DTREE=2 -DFIXED -DWAIT'
    good 'given back' engine "$hashed" '-DTREE=2 -DFIXED -DABORT'
    good 'one death' engine "$hashed" '-DFRONT=0 -DTREE=3 -DRECEIVERS=1 -DFIXED -DDEATHS=1'
    good 'one death, trimming' engine "$hashed" \
        '-DFRONT=0 -DTREE=2 -DRECEIVERS=1 -DFIXED -DDEATHS=1 -DOVERFLOW'
    good 'every execution ends' engine "$cycles" \
        '-DFRONT=0 -DTREE=3 -DSENDERS=3 -DRECEIVERS=1 -DFIXED -DONE_PRIORITY'
    good 'from one to the next' engine "$hashed" "$next"
    good 'from one to the next, others chosen' engine "$hashed" "$next -DONE_PRIORITY -DCHOOSE"
    good 'from one to the next, before a tree' engine "$hashed" \
        '-DFRONT=1 -DTREE=2 -DFIXED -DFIRST_SENDS=1 -DSENDS=2 -DRECEIVERS=1 -DRECEIVES=2 -DORDER'
    good 'from one to the next, linearizable' engine "$hashed" \
        '-DFRONT=2 -DTREE=0 -DFIXED -DFIRST_SENDS=1 -DSENDS=2 -DRECEIVERS=1 -DRECEIVES=2 -DORDER -DLIN'
    good 'given back, from one to the next' engine "$hashed" "$back -DABORT"
    broken 'given back, not said' engine "$hashed" "$back -DABORT -DBREAK_BACK"
    broken 'late, not said' engine "$hashed" "$next -DONE_PRIORITY -DBREAK_LATE"
    broken 'higher priority, not said' engine "$hashed" "$next -DBREAK_PRIORITY"
    broken 'said before it is published' engine "$hashed" "$next -DONE_PRIORITY -DBREAK_SAID_FIRST"
    broken 'said, and not looked again' engine "$hashed" "$next -DONE_PRIORITY -DBREAK_SAID_ONCE"
    broken 'said, and not listened to' engine "$hashed" "$next -DONE_PRIORITY -DBREAK_UNSAID"
    broken 'said by one too few' engine "$hashed" "$next -DONE_PRIORITY -DBREAK_OFF_BY_ONE"
    broken 'chosen, noted as the first' engine "$hashed" \
        "$next -DONE_PRIORITY -DCHOOSE -DBREAK_NOTED"
    broken 'insert without a bump' engine "$hashed" '-DFRONT=0 -DTREE=3 -DFIXED -DBREAK_NO_BUMP'
    broken 'insert gives up' engine "$hashed" \
        '-DFRONT=0 -DTREE=3 -DSENDERS=3 -DRECEIVERS=1 -DFIXED -DINSERT_CAS -DBREAK_TWO_TRIES'
    broken 'insert bumps for ever' engine "$cycles" \
        '-DFRONT=0 -DTREE=3 -DSENDERS=3 -DRECEIVERS=1 -DFIXED -DONE_PRIORITY -DBREAK_ADD_AGAIN'
    broken 'no second look before a claim' engine "$hashed" '-DTREE=2 -DBREAK_ACCEPT'
    broken 'urgent not looked at' engine "$hashed" \
        '-DFRONT=3 -DTREE=0 -DSENDERS=1 -DSENDS=3 -DURGENT -DLIN -DBREAK_NO_URGENT'
    broken 'slot without its key' engine "$hashed" \
        '-DFRONT=0 -DTREE=2 -DSENDERS=1 -DSENDS=3 -DBREAK_SLOT_ONLY'
    broken 'no second look before empty' engine "$hashed" '-DTREE=2 -DFIXED -DBREAK_EMPTY'
    broken 'ghost taken for empty' engine "$hashed" '-DFRONT=0 -DTREE=2 -DFIXED -DBREAK_SKIP_GHOST'
    broken 'event before insert' engine "$hashed" '-DTREE=2 -DFIXED -DWAIT -DBREAK_BUMP_FIRST'
    broken 'no sweep' engine "$hashed" \
        '-DFRONT=0 -DTREE=2 -DRECEIVERS=1 -DFIXED -DDEATHS=1 -DBREAK_NO_SWEEP'
    broken 'given back, not indexed' engine "$hashed" \
        '-DFRONT=0 -DTREE=2 -DSENDERS=1 -DFIXED -DDEATHS=1 -DBREAK_NO_PATH'
}

[ "${1:-}" = quick ] || usual
if [ "${1:-}" = full ]; then
    hashed='-DSAFETY -DHC4 -DMEMLIM=8000'
    good 'three and three, a death' sleep "$exact" '-DKILL -DRECHECK'
    good 'three and one' notify "$hashed" '-DREGISTRATIONS=1'
    good 'three messages, linearizable' engine "$hashed" \
        '-DFRONT=3 -DTREE=0 -DSENDERS=1 -DSENDS=3 -DURGENT -DLIN'
    good 'any slot, two leaf nodes' engine "$hashed" '-DTREE=3'
    good 'any slot, linearizable' engine "$hashed" '-DTREE=2 -DLIN'
    good 'one death of four' engine "$hashed" '-DFRONT=0 -DTREE=3 -DFIXED -DDEATHS=1'
    good 'two deaths' engine "$hashed" '-DFRONT=0 -DTREE=2 -DRECEIVERS=1 -DFIXED -DDEATHS=2'
    good 'insert by compare-and-swap' engine "$hashed" '-DTREE=2 -DINSERT_CAS'
    good "insert the children's minimum" engine "$hashed" '-DTREE=2 -DINSERT_MIN'
    good 'freed before the refresh' engine "$hashed" '-DTREE=2 -DFREE_FIRST'
fi

cd / && rmdir "$work" 2>/dev/null
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
