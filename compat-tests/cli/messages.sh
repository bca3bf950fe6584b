#!/bin/bash
# mqx send and recv.
. "$(dirname "$0")/lib.sh"

bytes() {
    head -c 8192 /dev/urandom >in
    status 0 mqx create jobs
    status 0 mqx send jobs <in
    status 0 mqx recv jobs
    cmp -s in out || no "the bytes differ"
    status 0 mqx send jobs '' # as an argument
    status 0 mqx send jobs </dev/null
    is "empty messages count" "messages: 2" "$(mqx stat jobs | grep ^messages)"
    status 0 mqx recv --count 2 --line jobs
    is "two empty messages" 2 "$(wc -l <out)"
    status 0 mqx send -- jobs --nonblock
    status 0 mqx recv jobs
    is "an argument behind --" --nonblock "$(cat out)"
}

order() {
    status 0 mqx create jobs
    status 0 mqx send jobs low1
    status 0 mqx send -p 32767 jobs high
    status 0 mqx send --priority=5 jobs mid
    status 0 mqx send jobs low2
    status 0 mqx recv --count 4 --priority --line jobs
    is order "$(printf '32767\thigh\n5\tmid\n0\tlow1\n0\tlow2')" "$(cat out)"
    status 2 mqx send -p 32768 jobs x
}

too_large() {
    status 0 mqx create --msgsize 4 jobs
    status 1 mqx send jobs 12345
    says "larger than the 4 bytes"
    status 1 mqx send jobs < <(yes 2>/dev/null) # endless: must not be read to its end
    says "larger than the 4 bytes"
    is "nothing was sent" "messages: 0" "$(mqx stat jobs | grep ^messages)"
}

not_now() {
    status 0 mqx create --maxmsg 1 jobs
    status 3 mqx recv --nonblock jobs
    says "it is empty"
    status 3 mqx recv --timeout 0.1 jobs
    says "it stayed empty"
    status 0 mqx send --nonblock jobs one
    status 3 mqx send --nonblock jobs two
    says "it is full"
    status 3 mqx send --timeout 0.1 jobs two
    says "it stayed full"
    status 3 mqx recv --nonblock --count 5 --line jobs
    says "after 1 messages"
    is "what was there" one "$(cat out)"
    status 2 mqx recv --timeout soon jobs
    status 2 mqx recv --timeout=-1 jobs
    status 1 mqx recv nowhere
    says "mqx create nowhere"
    status 1 mqx send nowhere x
    says "mqx create nowhere"
}

asleep() { # process: is it asleep in the kernel?
    [ "$(awk '{print $3}' "/proc/$1/stat")" = S ]
}

waits() {
    local receiver sender
    status 0 mqx create --maxmsg 1 jobs
    mqx recv jobs >got &
    receiver=$!
    await "the receiver to sleep" asleep $receiver
    status 0 mqx send jobs late
    wait $receiver || no "the receiver failed"
    is "it received" late "$(cat got)"
    status 0 mqx send jobs first
    mqx send jobs second &
    sender=$!
    await "the sender to sleep" asleep $sender
    status 0 mqx recv jobs
    wait $sender || no "the sender failed"
    status 0 mqx recv jobs
    is "it sent" second "$(cat out)"
}

interrupted() {
    local receiver
    status 0 mqx create jobs
    mqx recv jobs &
    receiver=$!
    await "the receiver to sleep" asleep $receiver
    kill -TERM $receiver
    wait $receiver 2>/dev/null
    is "ended by the signal" 143 $?
    status 0 mqx send jobs kept
    status 0 mqx recv --nonblock jobs
    is "the message is not lost" kept "$(cat out)"
}

cannot_write() {
    local rest
    status 0 mqx create jobs
    status 0 mqx send -p 4 jobs precious
    mqx recv jobs >/dev/full 2>err && no "a full disk was not noticed"
    says "back in the queue"
    status 0 mqx recv --priority jobs
    is "the message is still there" "$(printf '4\tprecious')" "$(cat out)"
    for rest in 1 2 3; do
        status 0 mqx send jobs $rest
    done
    mkfifo pipe
    exec 4<>pipe 5>pipe 4<&- # a pipe whose reader has left
    mqx recv --count 3 --line jobs >&5 2>err && no "a broken pipe was not noticed"
    is "nothing is lost" "messages: 3" "$(mqx stat jobs | grep ^messages)"
    status 0 mqx recv --count 3 jobs
    is "nor is their order" 123 "$(cat out)"
}

killed_writing() {
    local receiver
    status 0 mqx create --msgsize 1000000 jobs
    head -c 1000000 /dev/zero | mqx send jobs || no "cannot send"
    mkfifo pipe
    exec 4<>pipe # nobody empties it: the message does not fit
    mqx recv jobs >&4 &
    receiver=$!
    timeout 20 dd bs=1 count=1 <&4 >out 2>err || no "nothing was written"
    kill -KILL $receiver
    wait $receiver 2>/dev/null
    status 0 mqx recv --nonblock jobs
    is "the message is still there" 1000000 "$(wc -c <out)"
}

workers() {
    local i one two
    status 0 mqx create jobs
    worker.sh jobs >one &
    one=$!
    worker.sh jobs >two &
    two=$!
    for i in $(seq 1 20); do
        status 0 mqx send --timeout 20 jobs "job $i"
    done
    status 0 mqx send --timeout 20 jobs stop
    status 0 mqx send --timeout 20 jobs stop
    wait $one || no "a worker failed"
    wait $two || no "a worker failed"
    seq 1 20 | sed "s/.*/worker: doing 'job &'/" | sort >wanted
    cat one two | sort | cmp -s - wanted || no "not each job once: $(cat one two)"
}

PATH=$PWD/examples:$(cd "$(dirname "$0")/../../examples" && pwd):$PATH
try "send, recv: bytes as they are, empty messages" bytes
try "send, recv: priorities" order
try "send: too large" too_large
try "send, recv: full, empty, time-outs, no such queue" not_now
try "send, recv: wait" waits
try "recv: interrupted" interrupted
try "recv: what cannot be written is not lost" cannot_write
try "recv: killed while it writes" killed_writing
try "examples/worker.sh: each job goes to one worker" workers
finish
