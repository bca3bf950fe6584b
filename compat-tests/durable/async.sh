#!/bin/bash
# Queues with durable = async, and queues without durability.
. "$(dirname "$0")/lib.sh"

after_the_window() {
    start_mqxd
    status 0 mqx create --durable=async q
    status 0 mqx send q first-message
    await "the commit" is_stored first-message
    kill_mqxd
    lose_memory
    start_mqxd
    is message first-message "$(mqx recv --nonblock q)"
}

# What is received within the window never reaches the disk, nor does anything before its end.
within_the_window() {
    echo 'window = 60s' >mqx.conf
    MQX_CONF=$PWD/mqx.conf start_mqxd
    status 0 mqx create --durable=async q
    await "mqxd to know it" mqx store dump q
    await "mqxd to be done with it" is_asleep "$mqxd"
    for i in $(seq 20); do
        status 0 mqx send q "a-message-$i"
        is message "a-message-$i" "$(mqx recv q)"
    done
    status 0 mqx send q left
    in_store a-message && no "stored within the window"
    stop_mqxd
    in_store left || no "what was left is not stored"
    in_store a-message && no "stored, though it was received within the window"
    true
}

after_the_end() {
    echo 'window = 60000' >mqx.conf # no commit but the last
    MQX_CONF=$PWD/mqx.conf start_mqxd
    status 0 mqx create --durable=async --maxmsg=100 q
    for i in $(seq 60); do
        status 0 mqx send -p $((i % 3)) q "$i"
    done
    status 0 mqx recv --line --count 5 q
    stop_mqxd
    lose_memory
    start_mqxd
    status 0 mqx recv --nonblock --line --count 55 q
    is "the rest, in order" "$( (seq 2 3 60 && seq 1 3 60 && seq 3 3 60) | sed 1,5d)" "$(cat out)"
}

without_mqxd() {
    status 0 mqx create --durable=async q # no mqxd ever ran here
    status 0 mqx send q 1
    start_mqxd
    status 0 mqx send q 2
    await "the commit" is_stored 2
    kill_mqxd
    is message 1 "$(mqx recv q)"
    status 0 mqx send q 3
    start_mqxd
    stop_mqxd
    lose_memory
    start_mqxd
    status 0 mqx recv --nonblock --line --count 2 q
    is messages "2 3" "$(paste -sd ' ' out)"
    status 3 mqx recv --nonblock q
}

volatile() {
    start_mqxd
    status 0 mqx create q
    status 0 mqx send q 1
    stop_mqxd
    lose_memory
    start_mqxd
    status 1 mqx stat q
}

try "stored when the window is over" after_the_window
try "not stored when it is received within the window" within_the_window
try "stored when mqxd ends, in order" after_the_end
try "goes on without mqxd, which finds its place again" without_mqxd
try "a queue that is not durable is gone" volatile
finish
