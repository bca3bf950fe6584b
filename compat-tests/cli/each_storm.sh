#!/bin/bash
# mqx each and its commands, killed at any moment, EACH_ROUNDS times: no message is lost, and none that
# was acknowledged comes again.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../acknowledged.sh"

rounds=${EACH_ROUNDS:-60}

# A command: some take a moment, some fail.
write_command() {
    cat >work <<'EOF'
read -r id
echo "b $id $WORKER" >>log
case $(($$ % 8)) in
0) exit 1 ;;
1) sleep 0.005 ;;
esac
echo "e $id $WORKER" >>log
EOF
}

start() { # index of a worker
    number=$((number + 1))
    WORKER=$number env mqx each "${drain[@]}" jobs -- sh ./work &
    pid[$1]=$! name[$1]=$number
}

# It has ended; if well, it has acknowledged all that it had.
reap() { # index
    wait "${pid[$1]}" 2>/dev/null && echo "x ${name[$1]}" >>log
}

kill_one() { # index: the worker, or its command
    local victim=${pid[$1]} command
    read -r command _ 2>/dev/null <"/proc/$victim/task/$victim/children"
    [ $((RANDOM % 2)) = 0 ] && [ -n "$command" ] && victim=$command
    kill -KILL "$victim" 2>/dev/null && kills=$((kills + 1))
}

storm() {
    local round sent=0 number=0 kills=0 i pid=() name=() drain=()
    RANDOM=$((SEED % 32768))
    write_command
    mqx create --maxmsg 1000 jobs
    for i in 0 1 2; do start $i; done
    for ((round = 0; round < rounds; round++)); do
        for i in 1 2 3 4; do
            sent=$((sent + 1))
            mqx send --timeout 20 -p $((RANDOM % 3)) jobs $sent || no "cannot send"
        done
        sleep "0.0$((RANDOM % 20 + 10))"
        kill_one $((RANDOM % 3))
        for i in 0 1 2; do
            kill -0 "${pid[i]}" 2>/dev/null && ! grep -q '^State:.Z' "/proc/${pid[i]}/status" && continue
            reap $i
            start $i
        done
    done
    for i in 0 1 2; do
        kill -KILL "${pid[i]}" 2>/dev/null
        reap $i
    done
    drain=(--drain)
    until [ "$(mqx stat jobs | grep ^messages)" = "messages: 0" ]; do
        start 0
        reap 0
    done
    check_log $sent
    [ $kills -ge $((rounds / 2)) ] || no "only $kills of $rounds kills"
    echo "$kills kills; $(cat summary)"
}

# The shell tells of each that was killed.
storm_quietly() {
    storm 2>noise
}

try "each: $rounds kills of workers and commands" storm_quietly
finish
