#!/bin/bash
# System V queues on the command line: ls, stat, send, recv, unlink.
. "$(dirname "$0")/lib.sh"

make_queue() { # ipcmk's options: $id is its id, $q its name
    id=$(mqx run ipcmk -Q "$@" | grep -o '[0-9]*$') && [ -n "$id" ] || no "ipcmk failed"
    q=.sysv/$id
}

field() { # name of a line of the last `mqx stat`
    sed -n "s/^$1: //p" out
}

lists() {
    mqx create posix
    make_queue -p 0640
    is "names" "$q posix" "$(mqx ls | paste -sd ' ')"
    mqx send "$q" four && mqx send "$q" more
    is "long" "rw-r----- 2 8 65536 16777216 off $q" \
        "$(mqx ls -l | grep sysv | awk '{print $1, $4, $5, $6, $7, $8, $11}')"
    mqx run ipcrm -q "$id" || no "ipcrm failed"
    is "removed by others" posix "$(mqx ls)"
}

shows() {
    make_queue -p 0604
    status 0 mqx stat "$q"
    is "type, mode, id" "sysv 0604 $id" "$(field type) $(field mode) $(field id)"
    is "never sent to" - "$(field 'last send')"
    is "nobody's" "0 0" "$(field lspid) $(field lrpid)"
    is "qbytes" 1073741824 "$(field qbytes)"
    is "owner, creator" "$(id -u) $(id -g) $(id -u) $(id -g)" \
        "$(field uid) $(field gid) $(field cuid) $(field cgid)"
    key=$(field key)
    env mqx send "$q" 12345 &
    sender=$!
    wait $sender
    mqx send "$q" 678
    mqx recv "$q" >/dev/null
    status 0 mqx stat ".sysv/$key"
    is "by its key" "$id" "$(field id)"
    is "messages, bytes" "1 3" "$(field messages) $(field bytes)"
    [ "$(field lspid)" -gt 0 ] && [ "$(field lrpid)" -gt 0 ] || no "no pids: $(cat out)"
    [ "$(field 'last send')" != - ] || no "no time of the send"
    status 0 mqx stat --json "$q"
    grep -qF "\"id\": $id, \"key\": \"$key\"" out || no "json: $(cat out)"
    grep -qF '"type": "sysv"' out || no "json: $(cat out)"
}

sends_and_receives_types() {
    make_queue
    mqx send --type=5 "$q" five && mqx send "$q" one && mqx send --type 7 "$q" seven &&
        printf 'nine\n' | mqx send --type=9 "$q" || no "send failed"
    is "by type" "7	seven" "$(mqx recv -p --type 7 "$q")"
    is "the lowest" "1	one" "$(mqx recv -p --type=-6 "$q")"
    is "the first" five "$(mqx recv "$q")"
    status 3 mqx recv --nonblock --type=-8 "$q"
    status 3 mqx recv --timeout=0.1 --type=8 "$q"
    status 0 mqx recv "$q"
    printf 'nine\n' | cmp - out || no "not its bytes: $(od -c out)"
    mqx send "$q" one && mqx send "$q.7" seven || no "send failed"
    is "a type's name" "7	seven" "$(mqx recv -p "$q.7")"
    status 3 mqx recv --nonblock "$q.7"
    is "the lowest, by its name" "1	one" "$(mqx recv -p --nonblock "$q.-7")"
    status 2 mqx send "$q.-7" none
    status 2 mqx recv --type=7 "$q.7"
    mqx send "$q" "" && status 0 mqx recv -p --line "$q"
    is "an empty one" "1	" "$(cat out)"
}

waits() {
    make_queue
    mqx recv --type=3 "$q" >got &
    receiver=$!
    mqx send --type=2 "$q" other && mqx send --type=3 "$q" "for him"
    wait $receiver || no "recv failed"
    is "what he waited for" "for him" "$(cat got)"
    is "the other one" other "$(mqx recv "$q")"
    mqx recv --count=2 "$q" >got 2>err &
    receiver=$!
    mqx send "$q" last
    await "the message to be received" grep -q last got
    mqx unlink "$q" || no "unlink failed"
    wait $receiver
    is "status when the queue is removed" 1 $?
    says "no such System V queue"
}

full() {
    printf '[.sysv/*]\nmaxmsg = 2\nmsgsize = 10\n' >mqx.conf
    MQX_CONF=$PWD/mqx.conf make_queue
    mqx send "$q" 1 && mqx send "$q" 2
    status 3 mqx send --nonblock "$q" 3
    says "it is full"
    status 3 mqx send --timeout=0.1 "$q" 3
    says "it stayed full"
    mqx send --timeout=60 "$q" 3 &
    sender=$!
    is "first" 1 "$(mqx recv "$q")"
    wait $sender || no "send failed when there was room"
    is "the rest" "2 3" "$(mqx recv --count=2 --line "$q" | paste -sd ' ')"
    status 1 mqx send "$q" 12345678901
    says "larger than the 10 bytes"
}

gives_back_what_cannot_be_written() {
    make_queue
    mqx send --type=4 "$q" keep && mqx send --type=4 "$q" next
    mqx recv --type=4 "$q" >/dev/full 2>err && no "a full disk was not noticed"
    says "is back in the queue"
    is "still the first" "4	keep" "$(mqx recv -p "$q")"
}

refuses() {
    local bad
    make_queue
    mqx create posix
    for bad in "" x 0x 0x123456789 -1 "0$id" "+$id" "$id." "$id.0" "$id.x" 99999999999 "$id/1"; do
        status 1 mqx stat ".sysv/$bad"
        says "no such System V queue"
    done
    status 1 mqx stat .sysv/0x0000002a
    says "no such System V queue"
    status 1 mqx unlink "$q.1"
    status 1 mqx create "$q"
    says "ipcmk"
    status 2 mqx send --priority=1 "$q" x
    status 2 mqx send --type=0 "$q" x
    status 2 mqx send --type=1 posix x
    status 2 mqx recv --type=1 posix
    is "nothing was sent" "messages: 0" "$(mqx stat "$q" | grep ^messages)"
}

# Of the library's examples.
polls() {
    mkfifo lines
    poller 0x4d51 5 6 <lines >got &
    poller=$!
    exec 3>lines
    await "the queue" mqx stat .sysv/0x4d51
    mqx send --type=5 .sysv/0x4d51 first
    await "the first message" grep -qx "received with type 5: first" got
    echo "a line" >&3
    is "sent by it" "6	a line" "$(mqx recv --timeout 20 -p --type=6 .sysv/0x4d51)"
    mqx send --type=5 .sysv/0x4d51 second
    await "the second message" grep -qx "received with type 5: second" got
    exec 3>&-
    wait $poller || no "it ended with $?"
}

of_others() {
    local nobody
    nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
    for_all "$BUILD/bin/mqx"
    make_queue -p 0666
    status 0 $nobody mqx ls -l
    grep -q -- "- *- .*$q\$" out || no "it said: $(cat out)"
    status 1 $nobody mqx stat "$q"
    says "mqxfs"
}

if ! command -v ipcmk >/dev/null; then
    skip "mqx and System V queues" "there is no ipcmk (util-linux)"
    finish
    exit
fi
try "ls: beside the others" lists
try "stat: all of it, by id and by key" shows
try "send, recv: types" sends_and_receives_types
try "recv waits for its type, and ends when the queue is removed" waits
try "send waits for room, or not" full
try "recv: a message that cannot be written is back" gives_back_what_cannot_be_written
try "examples/poller: a queue and standard input at once" polls
try "bad names, and what is for the other kind" refuses
try_as_root "another user's queue is seen, no more" of_others
finish
