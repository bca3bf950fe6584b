#!/bin/bash
# mqxd goes on mirroring a healthy queue while another durable one, its doorbell
# or the registry is scribbled on; and what it stored of the healthy one is restored.
# SCRIBBLE_SECONDS: how long each case does so.
. "$(dirname "$0")/lib.sh"

seconds=${SCRIBBLE_SECONDS:-1}
seed=${SCRIBBLE_SEED:-$RANDOM}
echo "# SCRIBBLE_SEED=$seed"

# Sends fail, or wait for a disk that nobody writes to: they end when they are told to.
may_fail() { # command...
    timeout --kill-after=30 0.2 "$@"
    case $? in
    [0-3] | 124) ;;
    *) echo "'$*' ended with $?: $(tail -n 1 "sick.err")" >>wrong ;;
    esac
}

use_sick() {
    while [ ! -e stop ]; do
        may_fail $as_sick mqx send --nonblock sick "$(head -c 300 /dev/zero | tr '\0' x)"
        may_fail $as_sick mqx recv --nonblock sick
        may_fail $as_sick mqx stat sick || { may_fail $as_sick mqx unlink sick; }
        may_fail $as_sick mqx create --durable=sync --maxmsg=80 --msgsize=3000 sick
    done >sick.out 2>sick.err
}

# Numbers; those whose send returned 0 are on disk.
send_well() {
    local i=0
    while [ ! -e stop ]; do
        i=$((i + 1))
        $as_well timeout 60 mqx send well $i || echo "message $i: status $?" >>wrong
    done
    echo $i >sent
}

ended() { # pid
    ! kill -0 "$1" 2>/dev/null
}

beside() { # KINDS [file]: scribble on it, the sick queue's segment if not said
    local enemy hammer pid pids=()
    local file=${2:-$MQX_DIR/queues/sick}
    cp "$BUILD/test/scribble" "$BUILD/test/hammer" . # where other users can run them
    # What hammer makes is async: it does not wait for the disk.
    printf 'window = 1\n[sick]\ndurable = async\nmaxmsg = 80\nmsgsize = 3000\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    export MQX_STORE=$MQX_DIR.store # in memory: it is not the disk that is to be kept busy
    start_mqxd
    $as_sick mqx create --durable=async --maxmsg=80 --msgsize=3000 sick || no "cannot create a queue"
    $as_well mqx create --durable=sync --maxmsg=100000 well || no "cannot create a queue"
    # shellcheck disable=SC2086 # words
    background $as_sick "$PWD/scribble" --seed "$seed" --kinds "$1" "$file" >scribbled
    enemy=$!
    # shellcheck disable=SC2086 # words
    background env LD_PRELOAD="$preload" $as_sick "$PWD/hammer" /sick >hammered 2>>wrong
    hammer=$!
    for part in use_sick use_sick send_well; do
        $part &
        echo $! >"$case_dir/$!.pid"
        pids+=($!)
    done
    sleep "$seconds" # no condition: the time it is exposed to this
    touch stop
    for pid in "${pids[@]}"; do
        await "a user of the queues to end" ended "$pid"
    done
    ended "$enemy" && no "scribble did not last"
    kill -TERM "$enemy"
    wait "$enemy"
    kill -TERM "$hammer"
    await "the fastest user of the queue to end" ended "$hammer"
    wait "$hammer" || no "hammer ended with $?: $(cat wrong)"
    grep -q "[1-9][0-9]* times" scribbled || no "nothing was scribbled: $(cat scribbled)"
    grep -q "[1-9][0-9]* calls succeeded" hammered || no "nothing was done: $(cat hammered)"
    [ ! -s wrong ] || no "$(sort wrong | uniq -c | head -5)"
    ended "$mqxd" && no "mqxd ended: $(tail -n 5 mqxd.log)"
    [ "$(cat sent)" -gt 0 ] || no "nothing was sent to the healthy queue"
    echo "# $(cat sent) healthy messages, $(cat scribbled hammered | paste -sd ' '), mqxd said: $(sort -u mqxd.log |
        grep -c .) different things, such as: $(tail -n 1 mqxd.log)"
    kill_mqxd
    lose_memory
    start_mqxd # whatever it has stored of the sick queue
    mqx recv --nonblock --line --count "$(cat sent)" well >got || no "the healthy queue lacks messages"
    seq "$(cat sent)" | cmp -s - got || no "restored: $(head -c 100 got)"
    stop_mqxd
}

words() { beside bytes,words,flips,heal; }
sizes() { beside sizes,words,heal; }
# Of the doorbell, root's is everybody's to scribble on.
doorbell() {
    as_sick=$others as_well=$others
    beside bytes,sizes "$MQX_DIR/clients/bell-$(id -u)"
}
anothers() {
    as_sick=$others as_well="setpriv --reuid=1502 --regid=1502 --clear-groups"
    beside bytes,words,sizes,flips,heal
}

as_sick='' as_well='' others=''
preload=$scratch/lib/libmqx_preload.so
case $BUILD in
*asan*) preload="$(${CC:-cc} -print-file-name=libasan.so) $preload" ;;
esac
[ "$(id -u)" != 0 ] || others="setpriv --reuid=1501 --regid=1501 --clear-groups"
try "a healthy queue beside one that is scribbled on" words
try "a healthy queue beside one that is cut off" sizes
try "while the doorbell is scribbled on and cut off" doorbell
try_as_root "another user's queue beside one that its user scribbles on" anothers
finish
