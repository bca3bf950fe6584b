#!/bin/bash
# A store whose files were damaged: mqxd refuses it and says so, or serves; it does
# not crash, hang, or touch what it refuses.
# DAMAGES: how many.
. "$(dirname "$0")/lib.sh"

damages=${DAMAGES:-14}
seed=${SCRIBBLE_SEED:-$RANDOM}
echo "# SCRIBBLE_SEED=$seed"

# A store as it is after some use, in "good": small and large messages, priorities, deleted ones.
make_store() {
    local i
    MQX_STORE=$PWD/good
    start_mqxd
    for queue in a b c; do
        status 0 mqx create --durable=sync --maxmsg=400 --msgsize=9000 $queue
    done
    for i in $(seq 25); do
        head -c $((i * i * 14)) /dev/zero | mqx send -p $((i % 3)) a || no "cannot send"
        mqx send b "message $i" || no "cannot send"
    done
    status 0 mqx recv --count 9 a
    status 0 mqx unlink c
    stop_mqxd
}

ended() { # pid
    ! kill -0 "$1" 2>/dev/null
}

ready_or_ended() {
    grep -qx 'mqxd: ready' mqxd.log || ended "$mqxd"
}

# Some work on whatever queues there are: their messages may be damaged, too.
use_queues() {
    local i
    for i in 1 2 3; do
        timeout 20 mqx send --timeout 3 b "$i"
        timeout 20 mqx recv --nonblock --count 9 a
        head -c 6000 /dev/zero | timeout 20 mqx send --timeout 3 a
        timeout 20 mqx recv --nonblock b
    done >out 2>err
}

# mqxd with the store "bad": counts in $refused and $served.
try_store() { # what was done to it
    local result
    lose_memory
    cp bad/data.mdb before
    : >mqxd.log
    MQX_STORE=$PWD/bad background mqxd 2>mqxd.log
    mqxd=$!
    await "mqxd to be ready or to end ($1)" ready_or_ended
    if grep -qx 'mqxd: ready' mqxd.log; then
        served=$((served + 1))
        use_queues
        kill -TERM "$mqxd" 2>/dev/null
        await "mqxd to end ($1)" ended "$mqxd"
        wait "$mqxd"
        result=$?
    else
        refused=$((refused + 1))
        wait "$mqxd"
        result=$?
        [ $result = 1 ] || no "$1: mqxd ended with $result: $(tail -n 2 mqxd.log)"
        cmp -s before bad/data.mdb || ! grep -q "it was not touched" mqxd.log || no "$1: it was touched"
    fi
    [ $result = 0 ] || { [ $result = 1 ] && grep -q "store" mqxd.log; } ||
        no "$1: mqxd ended with $result: $(tail -n 2 mqxd.log)"
}

damaged_bytes() {
    local i n served=0 refused=0
    make_store
    for i in $(seq "$damages"); do
        rm -rf bad
        cp -r good bad
        n=$((i == 1 ? 3000 : 1 + i % 30)) # the first for certain
        status 0 "$BUILD/test/scribble" --seed $((seed + i)) --writes $n --kinds bytes bad/data.mdb
        try_store "seed $((seed + i)), $n damages"
    done
    echo "# of $damages damaged stores, $served were served, $refused refused"
    [ $refused -gt 0 ] || no "no store was damaged"
}

# Cut off, with a block of zeros, with blocks exchanged.
damaged_blocks() {
    local i at size served=0 refused=0
    make_store
    size=$(stat -c %s good/data.mdb)
    for i in $(seq $((damages / 2))); do
        rm -rf bad
        cp -r good bad
        at=$(((seed + i * 7919) % (size / 4096)))
        case $((i % 3)) in
        0) truncate -s $((at * 4096 + (i % 2) * 100)) bad/data.mdb ;;
        1) dd if=/dev/zero of=bad/data.mdb bs=4096 seek=$at count=1 conv=notrunc status=none ;;
        2) dd if=good/data.mdb of=bad/data.mdb bs=4096 skip=$((at / 2)) seek=$at count=1 \
            conv=notrunc status=none ;;
        esac
        try_store "kind $((i % 3)) at page $at"
    done
    echo "# $served were served, $refused refused"
}

no_database() {
    local kind
    mkdir store
    for kind in mkfifo mkdir 'cp /bin/sh'; do
        rm -rf store/data.mdb
        $kind store/data.mdb
        status 1 timeout 60 mqxd
        grep -q "mqxd: store $MQX_STORE" err || no "$kind: it said: $(cat err)"
    done
}

# It may crash, which LMDB cannot be kept from: then it says what that may be.
damaged_in_use() {
    local result
    make_store
    lose_memory
    cp -r good bad
    MQX_STORE=$PWD/bad
    start_mqxd
    status 0 "$BUILD/test/scribble" --seed "$seed" --writes 300 --kinds bytes bad/data.mdb
    use_queues
    kill -TERM "$mqxd" 2>/dev/null
    for _ in $(seq 100); do # one that runs in circles must be killed
        ended "$mqxd" && break
        sleep 0.1
    done
    kill -KILL "$mqxd" 2>/dev/null
    wait "$mqxd"
    result=$?
    echo "# damaged in use: mqxd ended with $result: $(tail -n 1 mqxd.log)"
    case $result in
    0 | 1 | 137) ;;
    *) grep -q "mqxd: crashed\|Sanitizer" mqxd.log || no "mqxd ended with $result: $(tail -n 2 mqxd.log)" ;;
    esac
    try_store "damaged in use"
}

# LMDB's other file says nothing that is needed after a start.
damaged_lock() {
    local size
    start_mqxd
    status 0 mqx create --durable=sync q
    status 0 timeout 60 mqx send q one
    stop_mqxd
    for size in 0 1 4096 8191 100000; do
        head -c $size /dev/urandom >"$MQX_STORE/lock.mdb"
        lose_memory
        start_mqxd
        status 0 mqx recv --nonblock q
        is "what was stored" one "$(cat out)"
        status 0 timeout 60 mqx send q one
        stop_mqxd
    done
}

try "a damaged store is refused, or served" damaged_bytes
try "a damaged lock.mdb is made anew" damaged_lock
try "so is one with a damaged block" damaged_blocks
try "and what is no database" no_database
try "a store that is damaged while it is used" damaged_in_use
finish
