#!/bin/bash
# Every command of mqx with damaged queues: it ends, and says what is wrong.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../cli/lib.sh"
PATH=$BUILD/test:$PATH

commands() { # input
    damage_queue q "$1" 2>err || no "damage_queue: $(cat err)"
    ends mqx ls
    ends mqx ls -l
    ends mqx ls --json
    ends mqx stat q
    ends mqx stat --json q
    # A send to a sync queue waits for mqxd, which these cases do not have.
    if ! mqx stat q 2>err | grep -qx 'durable: sync'; then
        ends mqx send --nonblock q x
        ends mqx send --timeout=0.01 -p 5 q ''
        ends_or_waits mqx run producer /q 3:x
    fi
    ends mqx recv --nonblock q
    ends mqx recv --timeout=0.01 --count=9 -p q
    ends_or_waits mqx run consumer /q 2
    ends mqx create q
    ends mqx unlink q
    status 0 mqx ls
    is "queues left" "" "$(cat out)"
    rm -rf "${MQX_DIR:?}"/*
}

every_command() {
    local input
    for input in $(inputs); do
        (commands "$input") || no "$(basename "$input"): $(cat why)"
    done
}

asleep() { # pid
    grep -q futex "/proc/$1/wchan"
}

waiter() { # number command...: it sleeps in a call of its queue
    local number=$1
    shift
    timeout 60 "$@" >"out.$number" 2>"err.$number" &
    waiting="$waiting $!"
}

# Who sleeps is told within a second or so, whatever is missing of the file.
cut_while_they_sleep() {
    local size max number=0 waiting=
    for size in 0 1 4096 8192 40000; do
        for max in 8 300; do # scanned, with a tree
            for kind in recv consumer send; do
                mqx create --maxmsg=$max --msgsize=4000 $kind$size-$max
            done
            while mqx send --nonblock send$size-$max x 2>err; do :; done
            waiter $((++number)) mqx recv recv$size-$max
            waiter $((++number)) mqx run consumer /consumer$size-$max 1
            waiter $((++number)) mqx send send$size-$max x
        done
    done
    for pid in $waiting; do
        await "process $pid to sleep" asleep "$(pgrep -P "$pid")"
    done
    for size in 0 1 4096 8192 40000; do
        truncate -s $size "$MQX_DIR"/queues/*[a-z]$size-*
    done
    number=0
    for pid in $waiting; do
        wait "$pid"
        is "status of waiter $((++number))" 1 $?
        [ -s "err.$number" ] || no "waiter $number did not say why"
    done
}

try "every command with a damaged queue" every_command
try "who sleeps at a queue that is cut is told" cut_while_they_sleep
finish
