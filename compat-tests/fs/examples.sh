#!/bin/bash
# examples/file_*: producers and workers in other languages, each with each.
. "$(dirname "$0")/lib.sh"

examples=$(cd "$(dirname "$0")/../../examples" && pwd)

declare -A worker producer
runs() { # language command...: a trial
    "${@:2}" >/dev/null 2>&1 || { skip "the examples in $1" "there is no $2 that runs" && false; }
}
worker[c]=$BUILD/examples/file_worker
producer[c]=$BUILD/examples/file_producer
if runs Python python3 -c pass; then
    worker[python]="python3 $examples/file_worker.py"
    producer[python]="python3 $examples/file_producer.py"
fi
if runs JavaScript node -e 0; then
    worker[js]="node $examples/file_worker.js"
    producer[js]="node $examples/file_producer.js"
fi

is_static() {
    [ -z "$SANITIZE" ] || return # whose runtime is a library
    ! readelf -l "$BUILD/examples/file_$1" 2>/dev/null | grep -q INTERP || no "file_$1 is not static"
}

# More jobs than the queue has room for, to two workers of each language.
share_the_work() {
    local p w pids="" jobs="" done_by
    is_static worker
    is_static producer
    touch "$m/jobs"
    for w in "${!worker[@]}"; do
        for i in 1 2; do
            # shellcheck disable=SC2086 # a command and its arguments
            background ${worker[$w]} "$m/jobs" >"done.$w.$i"
            pids="$pids $!"
        done
    done
    for p in $pids; do
        blocked "$p"
    done
    for p in "${!producer[@]}"; do
        # shellcheck disable=SC2086
        ${producer[$p]} "$m/jobs" $(seq -f "$p-%g" 30) "gr$(printf '\303\274\303\237')e $p" || no "the producer in $p failed"
    done
    for p in $pids; do
        ${producer[c]} "$m/jobs" stop
    done
    for p in $pids; do
        wait "$p" || no "a worker ended with $?"
    done
    for p in "${!producer[@]}"; do
        jobs=$jobs$(seq -f "worker: doing $p-%g" 30)$'\n'"worker: doing gr$(printf '\303\274\303\237')e $p"$'\n'
    done
    is "each job once" "$(printf %s "$jobs" | sort)" "$(sort done.*)"
    for w in "${!worker[@]}"; do
        done_by=$(cat "done.$w".* | wc -l)
        [ "$done_by" -gt 0 ] || no "the workers in $w did nothing"
    done
}

# One of each, alone.
one_of_each() {
    local w
    touch "$m/q"
    for w in "${!worker[@]}"; do
        # shellcheck disable=SC2086
        ${producer[$w]} "$m/q" one "two words" stop
        # shellcheck disable=SC2086
        is "$w" "worker: doing one
worker: doing two words" "$(${worker[$w]} "$m/q")"
    done
}

try "one producer and one worker: ${!worker[*]}" one_of_each
try "they share the work" share_the_work
finish
