#!/bin/bash
# mqx each: a command for each message, which decides whether it is consumed.
. "$(dirname "$0")/lib.sh"

send() { # message...
    local text
    for text; do
        mqx send jobs "$text" || no "cannot send"
    done
}

left() { # what is in the queue, in its order
    mqx recv --nonblock --count 100 --line jobs 2>/dev/null | xargs
}

count() { # messages in the queue, taken ones too
    mqx stat jobs | sed -n 's/^messages: //p'
}

runs_each() {
    status 0 mqx create jobs
    send one two
    mqx send -p 7 jobs three
    # shellcheck disable=SC2016 # the command's own
    status 0 mqx each --drain jobs -- sh -c 'echo "$MQX_QUEUE $MQX_PRIORITY $(cat)"'
    is "its input and environment" "$(printf 'jobs 7 three\njobs 0 one\njobs 0 two')" "$(cat out)"
    is "consumed" 0 "$(count)"
    status 0 mqx each --drain jobs false
    send one two three
    status 0 mqx each --count 2 jobs true
    is "counted" three "$(left)"
    head -c 8192 /dev/urandom >in
    mqx send jobs <in
    status 0 mqx each --drain jobs cat
    cmp -s in out || no "the bytes differ"
    mqx send jobs ''
    status 0 mqx each --drain jobs wc -c
    is "an empty one" 0 "$(cat out)"
}

as_an_argument() {
    status 0 mqx create jobs
    printf 'a  b\n' | mqx send jobs
    send '$x *'
    status 0 mqx each --argument --drain jobs -- printf '<%s>' -x
    is "each is one argument, without its newline" '<-x><a  b><-x><$x *>' "$(cat out)"
    printf 'a\0b' | mqx send jobs
    status 1 mqx each --argument --drain jobs echo
    says "zero byte"
    is "it is still there" 1 "$(count)"
}

options_and_their_places() {
    status 0 mqx create jobs
    send one
    status 0 mqx each jobs --drain -- cat
    is "behind the queue" one "$(cat out)"
    send one
    status 0 mqx each --drain -- jobs sh -c 'exit 0'
    is "those of the command" 0 "$(count)"
    status 2 mqx each jobs
    says "give a queue and a command"
    status 2 mqx each --count=0 jobs true
    status 2 mqx each --nonsense jobs true
    status 2 mqx each --type=3 jobs true
    status 1 mqx each nowhere true
    says "mqx create nowhere"
    status 0 mqx each --help
}

failures() {
    status 0 mqx create jobs
    send one two
    mqx send -p 5 jobs urgent
    status 7 mqx each --drain jobs sh -c 'exit 7'
    says "'sh' ended with status 7; the message is back in the queue"
    # shellcheck disable=SC2016
    status 137 mqx each --drain jobs sh -c 'kill -KILL $$'
    says "killed by signal 9"
    status 127 mqx each --drain --keep-going jobs ./nothing
    says "./nothing: No such file"
    status 126 mqx each --drain --keep-going jobs .
    is "all are where they were" "urgent one two" "$(left)"
}

keeps_going() {
    status 0 mqx create jobs
    send 1 2 3 4 5
    status 1 mqx each --drain --keep-going jobs sh -c 'read -r n || :; [ $((n % 2)) = 0 ]'
    says "kept back for 60 seconds"
    is "what failed is where it was" "1 3 5" "$(left)"
    # After its time it comes again, beside others.
    send again
    mqx each --keep-going=1 --count 3 jobs sh -c 'cat >>log; echo >>log; [ -e fine ]' 2>err
    is "tried again" "3 again" "$(grep -c again log) $(sort -u log | xargs)"
    is "it was left alone meanwhile" 1 "$(count)"
    touch fine
    status 0 mqx each --drain jobs sh -c '[ -e fine ]'
    is "and done in the end" 0 "$(count)"
}

# Start a worker whose command writes to `began` and waits until there is a file `go`; $worker.
start_worker() { # option...
    # shellcheck disable=SC2016
    env --default-signal=INT mqx each "$@" jobs -- sh -c \
        'trap "echo term >>traps; exit 9" TERM
         echo $$ >>began; cat >>seen; while [ ! -e go ]; do sleep 0.01; done' 2>err &
    worker=$!
    await "the command to begin" test -s began
}

goes_when_killed() { # pid
    kill -KILL "$1"
    await "the message to be back" eval '[ "$(mqx recv --nonblock jobs)" = one ]'
}

killed() {
    local command
    status 0 mqx create jobs
    send one two
    start_worker
    is "others get the next one" two "$(mqx recv jobs)"
    is "not this one" "" "$(left)"
    goes_when_killed $worker
    command=$(cat began)
    await "the command to be killed, too" eval "! kill -0 $command"
    rm began
    send one
    start_worker
    goes_when_killed "$(cat began)"
    wait $worker
    is "the status of a killed command" 137 $?
}

ends_by_signal() {
    status 0 mqx create jobs
    send one two
    start_worker
    kill -INT $worker
    sleep 0.1 # either way it must do the same
    kill -0 $worker || no "it has not waited for the command"
    touch go
    wait $worker
    is "the signal's status" 130 $?
    is "the command was let finish" two "$(left)"
    rm go began
    send three
    start_worker
    kill -TERM $worker
    wait $worker
    is "the signal's status" 143 $?
    is "the command got it" term "$(cat traps)"
    is "it is back" three "$(left)"
    mqx each jobs true &
    worker=$!
    await "it to sleep" eval '[ "$(awk "{print \$3}" /proc/'$worker'/stat)" = S ]'
    kill -TERM $worker
    wait $worker
    is "ended while it waited" 143 $?
}

several_share() {
    local i pids=()
    status 0 mqx create jobs
    for i in 1 2 3; do
        mqx each --keep-going=1 jobs -- sh -c 'read -r n || :; echo "$n" >>done' &
        pids+=($!)
    done
    for i in $(seq 60); do send "$i"; done
    await "all to be done" eval '[ "$(wc -l <done)" = 60 ] && [ "$(count)" = 0 ]'
    kill "${pids[@]}"
    is "each once" "$(seq 60)" "$(sort -n done)"
}

sysv() {
    local id
    id=$(mqx run ipcmk -Q | grep -o '[0-9]*$')
    mqx send --type 5 ".sysv/$id" five
    mqx send --type 2 ".sysv/$id" two
    mqx send --type 5 ".sysv/$id" five
    # shellcheck disable=SC2016
    status 0 mqx each --drain --type=5 ".sysv/$id" sh -c 'echo "$MQX_QUEUE $MQX_TYPE $(cat)"'
    is "those of the type" ".sysv/$id 5 five .sysv/$id 5 five" "$(xargs <out)"
    mqx send ".sysv/$id.7" seven
    status 0 mqx each --drain ".sysv/$id.7" cat
    is "of the type in the name" seven "$(cat out)"
    status 1 mqx each --drain ".sysv/$id" false
    is "it stays" "2	two" "$(mqx recv -p ".sysv/$id")"
}

try "each: input, environment, order, end" runs_each
try "each: the message as an argument" as_an_argument
try "each: options" options_and_their_places
try "each: a command that fails" failures
try "each: --keep-going" keeps_going
try "each: killed, and its command killed" killed
try "each: ended by a signal" ends_by_signal
try "each: several share the work" several_share
try "each: System V queues" sysv
finish
