#!/bin/bash
# What holds while the store's disk is full, or fails.
. "$(dirname "$0")/lib.sh"

# --- a full disk -----------------------------------------------------------------------------------

TEXT=$(printf '%08000d' 0)

small_disk() { # size
    mkdir small
    mount -t tmpfs -o size="$1" none small || no "no tmpfs"
    MQX_STORE=$PWD/small/store
}

fill_disk() {
    dd if=/dev/zero of=small/filler bs=4096 2>/dev/null
}

is_full() {
    grep -q 'disk of the store is full' mqxd.log
}

send_until_full() { # queue: their number in `sent`
    local got
    for ((sent = 0; sent < 1000; sent++)); do
        mqx send --nonblock "$1" "$sent.$TEXT" 2>err
        got=$?
        [ $got -eq 0 ] || break
    done
    is "status when the disk is full" 3 $got
    is_full || no "mqxd said: $(cat mqxd.log)"
}

full_disk() {
    local before
    small_disk 4m
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=1000 q
    status 0 mqx create --durable=async --maxmsg=1000 a
    status 0 mqx create --durable=sync never
    status 0 mqx send q "first.$TEXT"
    fill_disk
    send_until_full q
    [ "$sent" -gt 0 ] || no "there was no room at all"
    is "messages" $((sent + 1)) "$(messages q)"
    # As a full queue, async ones too.
    status 3 mqx send --timeout=0.1 q "$TEXT"
    status 3 mqx send --nonblock a "$TEXT"
    status 0 mqx stat a
    is "messages" "$((sent + 1)) 0" "$(messages q) $(messages a)"
    # What is received makes room.
    is "message" first "$(mqx recv q | sed 's/[.].*//')"
    is "message" 0 "$(mqx recv q | sed 's/[.].*//')"
    status 0 mqx send --timeout=60 q "again.$TEXT"
    # A new queue cannot be stored, and its senders wait as well.
    background mqx send never "$TEXT"
    never=$!
    # Received all the same, and that is committed.
    before=$(transactions)
    for i in 1 2 3 4 5; do
        is "message" $i "$(mqx recv q | sed 's/[.].*//')"
    done
    await "the removals" has_changed "$before"
    kill_mqxd
    kill -KILL $never 2>/dev/null
    lose_memory
    start_mqxd # on a full disk
    is "what is left" "$(seq -s ' ' 6 $((sent - 1))) again" "$(numbers q)"
    # All that was taken out makes room again.
    status 0 mqx send --timeout=60 q "back.$TEXT"
    send_until_full q
    is "how often it was said" 1 "$(grep -c 'store is full' mqxd.log)"
    background mqx send q "last.$TEXT"
    sender=$! # he waits, unless a little was left
    rm small/filler
    wait $sender || no "the sender ended with $?"
    await "mqxd to say so" grep -q 'there is room' mqxd.log
    status 0 mqx send --timeout=60 a "async"
    stop_mqxd
    lose_memory
    start_mqxd
    is "what is there" "back $(seq -s ' ' 0 $((sent - 1))) last" "$(numbers q)"
    is "async" async "$(numbers a)"
    kill_mqxd
    umount small
}

# Time and again: what removals needed does not go to messages.
full_disk_again() {
    local round size
    small_disk 2m
    configure 'window = 10ms' '[*]' 'durable = async' 'maxmsg = 4000' 'msgsize = 4096'
    start_mqxd
    for round in 1 2 3 4 5; do
        kill -STOP "$mqxd"
        for size in 1500 3500; do
            # shellcheck disable=SC2046 # many words
            LD_PRELOAD=$scratch/lib/libmqx_preload.so producer /q \
                $(yes "0:$(printf "%0${size}d" 0)" | head -n $((1500000 / size))) >sent ||
                no "round $round: the producer ended with $?"
        done
        kill -CONT "$mqxd"
        await "the disk to be full" is_full
        await "a full store" stores_some
        while mqx recv --nonblock --count 50 q >out 2>err; do :; done
        await "round $round: the removals" stores_nothing
    done
    kill_mqxd
    umount small
}

stores_some() {
    ! stores_nothing
}

stores_nothing() {
    mqx store check | grep -q 'messages: 0,'
}

# Where a removal needs more room than the store has free: there are messages in many of its pages.
full_disk_deep() {
    local before count=12000 text
    text=$(printf '0:%0100d' 0)
    small_disk 4m
    configure 'window = 50ms' '[*]' 'durable = async' 'maxmsg = 100000' 'msgsize = 4096'
    start_mqxd
    before=$(transactions)
    kill -STOP "$mqxd"
    # shellcheck disable=SC2046 # many words
    LD_PRELOAD=$scratch/lib/libmqx_preload.so producer /q $(yes "$text" | head -n $count) >sent ||
        no "the producer ended with $?"
    kill -CONT "$mqxd"
    await "all to be stored" has_changed "$before"
    fill_disk
    while mqx send --nonblock q "$(printf '%03000d' 0)" 2>err; do
        count=$((count + 1))
    done
    is_full || no "mqxd said: $(cat mqxd.log)"
    before=$(transactions)
    kill -STOP "$mqxd"
    status 0 mqx recv --count 900 q
    kill -CONT "$mqxd"
    await "the removals" has_changed "$before"
    kill_mqxd
    lose_memory
    start_mqxd
    [ "$(messages q)" -le $((count - 900)) ] ||
        no "there are $(messages q) messages, of $count less 900"
    kill_mqxd
    umount small
}

# --- a broken disk ---------------------------------------------------------------------------------

# From now on, this system call of mqxd's fails so.
break_disk() { # call error
    background strace -f -qq -o trace -e trace="$1" -e inject="$1:error=$2" -p "$mqxd" 2>strace.log
    await "strace" traced
}

traced() {
    ! grep -q '^TracerPid:[[:space:]]*0$' "/proc/$mqxd/status"
}

# With each, mqxd ends, the sender is told, what was acknowledged stays, and nothing else.
broken_disk() {
    local call error
    for call in fdatasync:EIO pwrite64:EIO; do
        rm -rf "$MQX_STORE" && lose_memory
        error=${call#*:} call=${call%:*}
        configure '[q]' 'wait = 24h' # nobody waits for a mqxd that has given up
        made q
        status 0 mqx create --durable=async a
        for i in 1 2 3 4 5; do
            status 0 mqx send q $i
        done
        is "message" 1 "$(mqx recv q)"
        status 0 mqx send q 6
        break_disk $call $error
        status 1 timeout 60 mqx send q "$call failed"
        grep -q "not sent" err || no "it said: $(cat err)"
        await "mqxd to end" ended "$mqxd"
        wait "$mqxd"
        is "mqxd's status" 1 $?
        grep -q "stopping: Input/output error" mqxd.log || no "it said: $(cat mqxd.log)"
        is "async" 0 "$(status 0 mqx send --nonblock a x && echo 0)"
        is "messages" 5 "$(messages q)"
        lose_memory
        start_mqxd
        is "what is there after '$call'" "2 3 4 5 6" "$(numbers q)"
        stop_mqxd
    done
}

try_with_mount "a full disk is as a full queue, removals go on" full_disk
try_with_mount "... however many pages they need" full_disk_deep
try_with_mount "... and time and again" full_disk_again
if strace -qq -o /dev/null -e trace=getpid -e inject=getpid:error=EIO true 2>/dev/null; then
    try "a broken disk ends mqxd, and nothing acknowledged is forgotten" broken_disk
else
    skip "a broken disk" "strace cannot inject errors here"
fi
finish
