#!/bin/bash
# Queues with durable = sync: a message that was sent is there, whatever happened.
. "$(dirname "$0")/lib.sh"

# Messages of several sizes and priorities into the queue; what recv shall print in `wanted`.
send_many() { # queue from to
    local i priority text
    for ((i = $2; i <= $3; i++)); do
        priority=$((i * 7 % 5))
        text=$(printf "%0$((i * 61 % 700 + 4))d" "$i")
        status 0 mqx send -p $priority "$1" "$text"
        printf '%d\t%s\n' $priority "$text" >>sent
    done
    sort -s -k1,1nr sent >wanted # stable: by priority, then as sent
}

check_all() { # queue
    status 0 mqx recv --nonblock --priority --line --count "$(wc -l <wanted)" "$1"
    cmp -s wanted out || no "other messages than were sent: $(diff wanted out | head -5)"
    status 3 mqx recv --nonblock "$1"
}

restored() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=200 --msgsize=900 --mode=640 q
    mqx stat q | grep -v '^last' >before
    send_many q 1 120
    kill_mqxd # nothing is written after this
    lose_memory
    start_mqxd
    mqx stat q | grep -v '^last\|^messages\|^bytes\|^sent' >after
    grep -v '^messages\|^bytes\|^sent' before | diff - after >differs ||
        no "other attributes: $(cat differs)"
    check_all q
}

removed() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=100 --msgsize=900 q
    send_many q 1 50
    status 0 mqx recv --priority --line --count 20 q
    cat out >first
    stop_mqxd
    lose_memory
    start_mqxd
    sed 1,20d wanted >rest
    head -20 wanted | cmp -s - first || no "wrong order before"
    mv rest wanted
    check_all q
    stop_mqxd
    lose_memory
    start_mqxd
    is "messages that came back" "messages: 0" "$(mqx stat q | grep ^messages)"
}

twice() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=200 --msgsize=900 q
    send_many q 1 40
    kill_mqxd
    lose_memory
    start_mqxd
    send_many q 41 80 # behind the ones from before
    kill_mqxd
    lose_memory
    start_mqxd
    check_all q
}

# A sender that waits for the commit, while mqxd stands still.
blocked_sender() { # text
    kill -STOP "$mqxd"
    background mqx send q "$1"
    sender=$!
    await "the sender to wait" is_asleep $sender
}

sender_survives_mqxd() {
    start_mqxd
    status 0 mqx create --durable=sync q
    blocked_sender waiting
    kill_mqxd
    kill -0 $sender || no "the sender did not wait for a new mqxd"
    start_mqxd
    wait $sender || no "the sender ended with $?"
    kill_mqxd
    lose_memory
    start_mqxd
    is message waiting "$(mqx recv --nonblock q)"
}

received_is_enough() {
    start_mqxd
    status 0 mqx create --durable=sync q
    blocked_sender passing
    is message passing "$(mqx recv --nonblock q)"
    wait $sender || no "the sender ended with $?"
}

needs_mqxd() {
    status 1 mqx create --durable=sync q
    printf '[/q*]\ndurable = sync\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    # An unmodified program: opens the queue, and says what errno was.
    LC_ALL=C LD_PRELOAD=$scratch/lib/libmqx_preload.so producer /q1 1:x 2>err &&
        no "it could be opened"
    grep -q 'No such process' err || no "not ESRCH: $(cat err)"
    is "lines about mqxd" 1 "$(grep -c 'mqxd is not running' err)"
    status 1 mqx stat q1
    start_mqxd
    status 0 env LD_PRELOAD="$scratch/lib/libmqx_preload.so" producer /q1 1:x
    is policy "durable: sync" "$(mqx stat q1 | grep ^durable)"
    kill_mqxd
    lose_memory
    start_mqxd
    is message x "$(mqx recv --nonblock q1)"
}

# Two senders note what was sent; mqxd is killed again and again meanwhile.
send_and_note() { # name count
    local i
    for ((i = 1; i <= $2; i++)); do
        # Refused while there is no mqxd; nothing was sent then.
        until mqx send q "$1$i" 2>/dev/null; do
            sleep 0.005
        done
        echo "$1$i" >>"$1.sent"
    done
}

killed_again_and_again() {
    local a b round
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=1000 q
    background send_and_note a 250
    a=$!
    background send_and_note b 250
    b=$!
    for round in 1 2 3 4 5 6 7 8; do
        await "round $round" enough_sent $((round * 40))
        kill_mqxd
        start_mqxd
    done
    wait $a && wait $b || no "a sender failed"
    kill_mqxd
    lose_memory
    start_mqxd
    status 0 mqx recv --nonblock --line --count 500 q
    grep ^a out | cmp -s - a.sent || no "one sender's messages differ"
    grep ^b out | cmp -s - b.sent || no "the other sender's messages differ"
}

enough_sent() { # lines
    [ "$(cat a.sent b.sent 2>/dev/null | wc -l)" -ge "$1" ]
}

try "what was sent is restored, in order, with its attributes" restored
try "what was received stays away once that is stored" removed
try "a restored queue goes on, and is restored again" twice
try "a sender waits for a new mqxd" sender_survives_mqxd
try "a sender does not wait for what was received" received_is_enough
try "without mqxd no queue is made: ESRCH, one line" needs_mqxd
try "mqxd is killed while others send" killed_again_and_again
finish
