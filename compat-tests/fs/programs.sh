#!/bin/bash
# Programs that use queues as files, file_calls.c and file_ready.c, by root and two ordinary users.
. "$(dirname "$0")/lib.sh"

cp "$BUILD"/test/file_{calls,ready} "$scratch/bin" || exit 1
USERS=mine
[ "$(id -u)" = 0 ] && USERS="mine 1501 1502" ||
    skip "programs of other users" "only root can act as others"

# 1501 on his own queue, 1502 on that of 1501.
owner_of_queue_for() { # user
    case $1 in mine) echo mine ;; *) echo 1501 ;; esac
}

program=file_calls
prepared() { # user case size: with a new queue
    local owner said
    owner=$(owner_of_queue_for "$1")
    rm -f "$m/$2"
    as "$owner" mqx create --msgsize "$3" "$2" && as "$owner" chmod 666 "$m/$2" || no "no queue"
    said=$(as "$1" ${4:+env} $4 timeout 120 "$program" "$m" "$2" 2>&1) ||
        no "$1, case $2: ${said:-it ended with $?}"
}

calls() { # case...: each by each user
    local i user
    for i; do
        for user in $USERS; do
            prepared "$user" "$i" 8192
        done
    done
}

readiness() { program=file_ready && calls poll poll-wakes poll-reader epoll epoll-edges; }
o_nonblock() { calls nonblock; }
one_descriptor() { calls both-threads both-readers both-processes both-in-turn; }
requests() { calls priorities refused requests-wait; }

largest() {
    local user
    for user in $USERS; do
        prepared "$user" sizes 2000000
    done
}

beside_mq() {
    local i user
    for i in mq mq-blocked; do
        for user in $USERS; do
            prepared "$user" "$i" 8192 "LD_PRELOAD=$scratch/lib/libmqx_preload.so"
        done
    done
}

try "poll, select and epoll show the queue's state" readiness
try "O_NONBLOCK at open and by fcntl" o_nonblock
try "one descriptor for both, blocked in one" one_descriptor
try "priorities by ioctl, and calls that wait" requests
try "the largest messages" largest
try "write and read beside mq_send and mq_receive" beside_mq
finish
