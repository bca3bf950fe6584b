#!/bin/bash
# What holds while mqxd is not there, stands still, or does its work.  disks.sh: while its disk is full, or fails.
. "$(dirname "$0")/lib.sh"

# --- no mqxd -------------------------------------------------------------------------------------

who_does_not_wait() {
    made q
    status 0 mqx send q kept
    kill_mqxd
    status 3 mqx send --nonblock q "not wanted any more"
    status 3 mqx send --timeout=0.2 q "nor this"
    is "messages" 1 "$(messages q)"
    is "received without mqxd" kept "$(mqx recv --nonblock q)"
    start_mqxd
    status 0 mqx send --nonblock q more # a commit is waited for
    kill_mqxd
    lose_memory
    start_mqxd
    is "what is there" more "$(mqx recv --nonblock q)"
    status 3 mqx recv --nonblock q
}

who_waits() {
    configure '[q]' 'wait = 300ms'
    made q
    kill_mqxd
    status 1 mqx send q withdrawn
    grep -q "not sent" err || no "it said: $(cat err)"
    is "messages" 0 "$(messages q)"
    start_mqxd
    status 0 mqx send q kept
    kill_mqxd
    lose_memory
    configure '' # a queue that is restored waits as it did
    start_mqxd
    kill_mqxd
    status 1 timeout 25 mqx send q withdrawn
    is "messages" 1 "$(messages q)"
}

# On a queue that is there; what no line says stays.
waits_otherwise() {
    configure '[q]' 'wait = 24h' 'receive = commit'
    made q
    status 0 mqx send q kept
    configure '[q]' 'wait = 200ms'
    kill -HUP "$mqxd"
    await "mqxd to read it" grep -q 'was read again' mqxd.log
    kill_mqxd
    status 1 mqx send q withdrawn
    status 1 mqx recv q
    is "messages" 1 "$(messages q)"
}

# It lives, and does nothing.
stands_still() {
    configure '[short]' 'wait = 0s'
    made q
    status 0 mqx create --durable=sync short
    kill -STOP "$mqxd"
    status 3 mqx send --nonblock q 1
    status 3 mqx send --timeout=0.1 q 2
    status 1 mqx send short 3
    is "messages" "0 0" "$(messages q) $(messages short)"
    kill -CONT "$mqxd"
    status 0 mqx send --nonblock q 4
    status 0 mqx send short 5
    kill_mqxd
    lose_memory
    start_mqxd
    is "messages" "4 5" "$(mqx recv q) $(mqx recv short)"
    is "messages" "0 0" "$(messages q) $(messages short)"
}

send_some() { # name: what was sent into NAME.sent, what was taken back into NAME.back
    local i how
    for ((i = 1; i <= 120; i++)); do
        how=$([ $((i % 2)) -eq 0 ] && echo --nonblock)
        # shellcheck disable=SC2086 # it is one word or none
        if mqx send $how q "$1$i" 2>/dev/null; then
            echo "$1$i" >>"$1.sent"
        else
            echo "$1$i" >>"$1.back"
        fi
    done
}

receive_some() { # until there is a file "over"
    until [ -e over ]; do
        mqx recv --timeout=0.5 --line q 2>/dev/null
    done >received
}

tried() { # so many
    [ "$(cat ./*.sent ./*.back 2>/dev/null | wc -l)" -ge "$1" ]
}

# mqxd is killed and stopped while others send and receive: what was sent is received, once; what was
# taken back never.
come_and_go() {
    local round a b receiver
    configure '[q]' 'wait = 0s'
    made q
    background send_some a
    a=$!
    background send_some b
    b=$!
    background receive_some
    receiver=$!
    for round in 1 2 3 4 5 6 7 8; do
        await "round $round" tried $((round * 20))
        case $((round % 4)) in
        0) kill -STOP "$mqxd" ;;
        1) kill -CONT "$mqxd" ;;
        2) kill_mqxd ;;
        3) start_mqxd ;;
        esac
    done
    kill -CONT "$mqxd"
    wait $a && wait $b || no "a sender failed"
    touch over
    wait $receiver
    numbers q | tr ' ' '\n' >>received
    sed '/^$/d' received | sort >all
    sort ./*.sent | diff - all >differs || no "sent and received differ: $(head -5 differs)"
    echo "# sent $(cat ./*.sent | wc -l), taken back $(cat ./*.back | wc -l)"
    [ -s a.back ] || [ -s b.back ] || no "nothing was taken back"
}

others_go_on() {
    made q
    status 0 mqx create --durable=async a
    status 0 mqx create v
    for how in gone still; do
        case $how in
        gone) kill_mqxd ;;
        still) start_mqxd && kill -STOP "$mqxd" ;;
        esac
        for queue in a v; do
            status 0 mqx send --nonblock -p 1 $queue $how
            is "message" $how "$(mqx recv --nonblock $queue)"
            status 0 mqx send --nonblock $queue "left $how"
        done
    done
    kill -CONT "$mqxd"
    stop_mqxd
    lose_memory
    start_mqxd
    status 0 mqx recv --nonblock --line --count 2 a
    is "async messages" "left gone left still" "$(paste -sd ' ' out)"
    status 1 mqx stat v
}

# Some segments are gone, others were used meanwhile.
finds_its_place() {
    made kept
    status 0 mqx create --durable=sync lost
    status 0 mqx create --durable=async busy
    status 0 mqx create --durable=async empty
    for queue in kept lost busy empty; do
        status 0 mqx send $queue "1 $queue"
        status 0 mqx send $queue "2 $queue"
    done
    stop_mqxd
    is "message" "1 busy" "$(mqx recv busy)"
    status 0 mqx send busy "3 busy"
    is "message" "1 kept" "$(mqx recv kept)"
    status 0 mqx recv --count 2 empty
    rm "$MQX_DIR/queues/lost"
    start_mqxd
    is "restored" 1 "$(grep -c restored mqxd.log)"
    stop_mqxd
    lose_memory
    start_mqxd
    is "kept" "2 kept" "$(mqx recv kept)"
    is "lost" "1 lost 2 lost" "$(mqx recv lost) $(mqx recv lost)"
    is "busy" "2 busy 3 busy" "$(mqx recv busy) $(mqx recv busy)"
    is "left" "0 0 0 0" "$(messages kept) $(messages lost) $(messages busy) $(messages empty)"
}

# --- receive = commit ----------------------------------------------------------------------------

# A receive that returned is on disk; where nobody commits it, the message is back.
received_for_good() {
    configure '[q]' 'receive = commit' 'wait = 300ms'
    made q
    for i in 1 2 3 4 5 6; do
        status 0 mqx send q $i
    done
    for i in 1 2 3; do
        is "message" $i "$(mqx recv q)"
    done
    kill_mqxd
    status 3 mqx recv --nonblock q
    status 3 mqx recv --timeout=0.1 q
    status 1 mqx recv q
    is "messages" 3 "$(messages q)"
    lose_memory
    start_mqxd
    is "what is there" "4 5 6" "$(numbers q)"
    stop_mqxd
    lose_memory
    start_mqxd
    is "messages" 0 "$(messages q)"
}

# A receiver that waits for that is killed: nobody has received it.
receiver_killed() {
    configure '[q]' 'receive = commit'
    made q
    status 0 mqx send q 1
    rests
    kill -STOP "$mqxd"
    background mqx recv q
    receiver=$!
    await "the receiver to wait" is_asleep $receiver
    status 3 mqx recv --nonblock q
    kill -KILL $receiver
    wait $receiver 2>/dev/null
    kill -CONT "$mqxd"
    is "message" 1 "$(mqx recv --timeout=60 q)"
    status 0 mqx send q 2
    kill_mqxd
    lose_memory
    start_mqxd
    is "what is there" 2 "$(numbers q)"
}

# Killed when its message is gone from the disk: then it goes there again.
kill_later() { # number of messages that have room
    configure '[q]' 'receive = commit'
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg="$1" q
    status 0 mqx send q 1
    rests
    before=$(transactions)
    kill -STOP "$mqxd"
    background mqx recv q
    receiver=$!
    await "the receiver to wait" is_asleep $receiver
    kill -STOP $receiver
    kill -CONT "$mqxd"
    await "the removal" has_changed "$before"
    before=$(transactions)
}

is_back() {
    kill_mqxd
    lose_memory
    start_mqxd
    is "what is there" 1 "$(numbers q)"
}

receiver_killed_later() {
    kill_later 1
    kill -KILL $receiver
    wait $receiver 2>/dev/null
    status 3 mqx send --nonblock q 2 # which finds out
    await "it to be stored" has_changed "$before"
    is_back
}

# By mqxd, since nobody else comes to use the queue.
receiver_killed_unseen() {
    kill_later 10
    kill -KILL $receiver
    wait $receiver 2>/dev/null
    await "it to be stored" has_changed "$before"
    is_back
}

receiver_and_mqxd_killed() {
    kill_later 10
    kill_mqxd
    kill -KILL $receiver
    wait $receiver 2>/dev/null
    start_mqxd
    await "it to be stored" has_changed "$before"
    is_back
}

receiver_killed_and_mqxd_stopped() {
    kill_later 10
    kill -KILL $receiver
    wait $receiver 2>/dev/null
    stop_mqxd
    lose_memory
    start_mqxd
    is "what is there" 1 "$(numbers q)"
}

# By programs that know nothing of mqx.
received_by_others() {
    local call
    configure '[*]' 'receive = commit' '[.sysv/*]' 'durable = sync' 'receive = commit'
    made q
    status 0 mqx run perl -e 'msgsnd(msgget(42, 01600), pack("l! a*", 1, "x"), 0) or die'
    status 0 mqx send q 1
    for call in posix sysv; do
        rests
        kill -STOP "$mqxd"
        case $call in
        posix) background env LD_PRELOAD="$scratch/lib/libmqx_preload.so" consumer /q 1 >out ;;
        sysv) background mqx run perl -e 'msgrcv(msgget(42, 0), $m, 10, 0, 0) or die' ;;
        esac
        receiver=$!
        await "the $call receiver to wait" is_asleep $receiver
        kill -CONT "$mqxd"
        wait $receiver || no "the $call receiver ended with $?"
    done
    kill_mqxd
    lose_memory
    start_mqxd
    is "messages" "0 0" "$(messages q) $(messages .sysv/0x0000002a)"
}

# --- group commit --------------------------------------------------------------------------------

all_in_one() {
    local i before senders=()
    start_mqxd
    for i in 1 2 3; do
        status 0 mqx create --durable=sync --maxmsg=20 q$i
    done
    status 0 mqx send q1 first
    status 0 mqx send q1 second # makes the journal
    rests
    before=$(transactions)
    kill -STOP "$mqxd"
    for i in $(seq 12); do
        background mqx send q$((i % 3 + 1)) "$i"
        senders+=($!)
        await "sender $i to wait" is_asleep $!
    done
    kill -CONT "$mqxd"
    for i in "${senders[@]}"; do
        wait "$i" || no "a sender ended with $?"
    done
    is "transactions for 12 senders" 1 $(($(transactions) - before))
    before=$(transactions)
    for i in 1 2 3 4 5; do
        status 0 mqx send q1 $i
    done
    is "transactions for 5 sends, one after the other" 5 $(($(transactions) - before))
}

passing_through() {
    local before i
    configure 'window = 60000'
    start_mqxd
    status 0 mqx create --durable=async q
    status 0 mqx send q stays
    stop_mqxd
    start_mqxd
    before=$(transactions)
    for i in $(seq 20); do
        status 0 mqx send -p 1 q "passes $i"
        is "message" "passes $i" "$(mqx recv q)"
    done
    stop_mqxd
    is "transactions" 0 $(($(transactions) - before))
    ! in_store passes || no "it reached the disk"
}

# --- rest -----------------------------------------------------------------------------------------

# How often its threads have slept so far.
sleeps() {
    cat /proc/"$mqxd"/task/*/status |
        awk '/^(non)?voluntary_ctxt_switches/ { n += $2 } END { print n }'
}

unchanged() { # file: what is counted in it is the same now
    local now
    now=$(sleeps)
    [ "$(cat "$1")" = "$now" ] && return
    echo "$now" >"$1"
    return 1
}

# However slow the machine is: no wake-up in five seconds in a row.
idle() {
    start_mqxd
    status 0 mqx create --durable=sync q
    status 0 mqx create --durable=async a
    status 0 mqx send q 1
    status 0 mqx send a 1
    await "the commit" is_stored 1
    echo 0 >seen
    for _ in $(seq 12); do
        sleep 5
        unchanged seen && return
    done
    no "its threads still wake up"
}

# Seen by itself: who creates a queue may be killed before he can say so.
created_silently() {
    start_mqxd
    status 0 mqx create --durable=async q
    status 0 mqx send q committed
    await "the commit" is_stored committed
    mv "$MQX_DIR/queues/q" "$MQX_DIR/elsewhere"
    await "mqxd to see that" grep -q 'has vanished' mqxd.log
    mv "$MQX_DIR/elsewhere" "$MQX_DIR/queues/q"
    status 0 mqx send q again
    await "the commit" is_stored again
}

try "no mqxd: who does not wait, does not, and nothing was sent" who_does_not_wait
try "no mqxd: a sender waits so long, and nothing was sent" who_waits
try "no mqxd: a sender waits as long as the configuration says now" waits_otherwise
try "mqxd stands still: the same" stands_still
try "mqxd comes and goes: what was sent is received once, the rest never" come_and_go
try "no mqxd, or one that stands still: other queues go on" others_go_on
try "a new mqxd finds its place, some segments lost, others used" finds_its_place
try "receive = commit: what was received does not come back" received_for_good
try "receive = commit: ... and the disk does not have its message any more" receiver_killed_later
try "... and nobody else looks at the queue" receiver_killed_unseen
try "... and mqxd is killed, too" receiver_and_mqxd_killed
try "... and mqxd is stopped, too" receiver_killed_and_mqxd_stopped
try "receive = commit: with mq_receive and msgrcv" received_by_others
try "receive = commit: a receiver is killed while it waits" receiver_killed
try "one transaction for all senders of all queues" all_in_one
try "what passes through within the window never reaches the disk" passing_through
try "mqxd sleeps while nothing happens" idle
try "mqxd notices what nobody tells" created_silently
finish
