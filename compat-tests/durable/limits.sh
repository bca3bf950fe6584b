#!/bin/bash
# store_max in mqx.conf: as much is kept on disk, and no more; who sends beyond that sees a full queue.
. "$(dirname "$0")/lib.sh"

conf() { # line...
    printf '%s\n' "$@" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
}

large() { # number: a message of 10,000 bytes
    printf '%010000d' "$1"
}

# Send to the queue until it is full; `sent` of them were.
fill() { # queue
    sent=0
    while mqx send --nonblock "$1" "$(large $((sent + 1)))" >out 2>err; do
        sent=$((sent + 1))
        [ $sent -lt 200 ] || no "$1 is never full"
    done
    grep -q 'full' err || no "it failed otherwise: $(cat err)"
}

stored() { # queue
    mqx store dump "$1" | grep -c '"slot"'
}

stores() { # queue count
    [ "$(stored "$1")" = "$2" ]
}

received() { # queue from to
    status 0 mqx recv --nonblock --line --count $(($3 - $2 + 1)) "$1"
    is "messages of $1" "$(seq "$2" "$3" | paste -sd ' ')" "$(sed 's/^0*//' out | paste -sd ' ')"
}

logs() { # text
    grep -qF -- "$1" mqxd.log
}

is_sent() { # by the sender that waits
    await "the sender to be done" ended "$sender"
    wait "$sender" || no "the sender ended with $?"
}

one_queue() {
    conf '[*]' 'durable = sync' 'maxmsg = 1000' 'msgsize = 20000' '[q]' 'store_max = 100K'
    start_mqxd
    status 0 mqx create q
    status 0 mqx create other
    fill q
    is "messages that fit" 10 $sent # of 10052 bytes into 102400
    is "of them stored" 10 "$(stored q)"
    is "in the queue" "messages: 10" "$(mqx stat q | grep ^messages)" # what was not sent is not there
    logs "queue /q: the store has 100520 bytes of it, and store_max is 102400" || no "not said: $(cat mqxd.log)"
    for i in $(seq 15); do status 0 mqx send other "$(large "$i")"; done # is nobody else's
    status 3 mqx send --timeout 0.3 q "$(large 11)"
    background mqx send q "$(large 11)"
    sender=$!
    await "the sender to wait" is_asleep $sender
    received q 1 1
    is_sent
    kill_mqxd
    lose_memory
    start_mqxd
    status 3 mqx send --nonblock q "$(large 12)"
    received q 2 11
    fill q
    is "messages that fit again" 10 $sent
    received q 1 10
}

all_queues() {
    conf 'store_max = 200K' '[*]' 'durable = sync' 'maxmsg = 1000' 'msgsize = 20000'
    start_mqxd
    status 0 mqx create a
    status 0 mqx create b
    for i in $(seq 12); do status 0 mqx send a "$(large "$i")"; done
    fill b
    is "messages that fit" 8 $sent
    background mqx send b "$(large 9)"
    sender=$!
    await "the sender to wait" is_asleep $sender
    received a 1 1 # room for the other's
    is_sent
    background mqx send b "$(large 10)"
    sender=$!
    await "the sender to wait" is_asleep $sender
    status 0 mqx unlink a
    is_sent
    fill b
    is "messages that fit without a" 10 $sent
}

raised() {
    conf '[q]' 'durable = sync' 'maxmsg = 1000' 'msgsize = 20000' 'store_max = 50K'
    start_mqxd
    status 0 mqx create q
    fill q
    is "messages that fit" 5 $sent
    background mqx send q "$(large 6)"
    sender=$!
    await "the sender to wait" is_asleep $sender
    conf '[q]' 'durable = sync' 'store_max = 1M'
    kill -HUP "$mqxd"
    is_sent
    conf '[q]' 'durable = sync' 'store_max = 20K' # less than there is
    kill -HUP "$mqxd"
    await "mqxd to read it" read_again 2
    status 3 mqx send --nonblock q "$(large 7)"
    is "what is kept" 6 "$(stored q)"
    received q 1 6
}

read_again() { # times
    [ "$(grep -c 'the configuration was read again' mqxd.log)" = "$1" ]
}

# Senders of async queues go on until mqxd has seen it; then they wait, too.
async() {
    conf 'window = 20ms' '[q]' 'durable = async' 'maxmsg = 1000' 'msgsize = 20000' 'store_max = 50K'
    start_mqxd
    status 0 mqx create q
    await "the queue to be full" is_refused
    is "messages that are kept" 5 "$(stored q)"
    messages=$(mqx stat q | sed -n 's/^messages: //p')
    [ "$messages" -lt 1000 ] || no "only maxmsg ended it"
    received q 1 1
    status 0 mqx recv --count $((messages - 1)) q
    status 0 mqx send --timeout 60 q last
    await "it to be stored" stores q 1
}

is_refused() {
    [ -n "$n" ] || n=0
    mqx send --nonblock q "$(large $((n + 1)))"
    case $? in
    0) n=$((n + 1)) && false ;;
    3) true ;;
    *) no "it failed" ;;
    esac
}

# One message is taken in any case: it would wait for ever.
less_than_a_message() {
    conf '[q]' 'durable = sync' 'maxmsg = 1000' 'msgsize = 20000' 'store_max = 1K'
    start_mqxd
    status 0 mqx create q
    fill q
    is "messages that fit" 1 $sent
    received q 1 1
    fill q
    is "messages that fit again" 1 $sent
}

try "a queue's limit" one_queue
try "that of all queues" all_queues
try "a limit that is changed" raised
try "senders of an async queue" async
try "a limit that is less than a message" less_than_a_message
finish
