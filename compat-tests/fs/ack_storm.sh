#!/bin/bash
# Readers through the mount, their commands, mv and mqxfs, killed at any moment, ACK_ROUNDS times: no
# message is lost, none that was acknowledged comes again, and none is in two queues but those
# whose mv mqxfs died of.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../acknowledged.sh"

rounds=${ACK_ROUNDS:-40}

write_workers() {
    # Of .ack: what "work" does, and then the acknowledgement.
    cat >reader <<'EOF'
exec 3<>"$1" || exit
while read -r id <&3; do
    echo "b $id $WORKER" >>log
    case $((id % 2)) in 0) sleep 0.004 3<&- ;; esac
    echo "e $id $WORKER" >>log
    echo ok >&3 || exit
done
EOF
    cat >command <<'EOF'
read -r id
echo "b $id $WORKER" >>log
case $((id % 2)) in 0) sleep 0.004 ;; esac
echo "e $id $WORKER" >>log
EOF
}

start() { # index of a worker: the last one is another user's mqx each, the others use .ack
    number=$((number + 1))
    if [ "$1" = 2 ] && [ "$(id -u)" = 0 ]; then
        WORKER=$number MQX_MOUNT=$m setpriv --reuid=1502 --regid=1502 --clear-groups \
            mqx each q -- sh ./command &
    else
        WORKER=$number sh ./reader "$m/.ack/q" &
    fi
    pid[$1]=$!
}

is_dead() { # pid
    ! grep -q '^State:.[^ZX]' "/proc/$1/status"
}

# Its mount is left, and the next one removes it.
kill_mqxfs() {
    kill -KILL $fs
    wait $fs
    mount_it
}

kill_one() {
    local victim=${pid[RANDOM % 3]} child
    case $((RANDOM % 6)) in
    0)
        kill_mqxfs
        return
        ;;
    1 | 2)
        read -r child _ <"/proc/$victim/task/$victim/children"
        [ -n "$child" ] && victim=$child
        ;;
    esac
    kill -KILL "$victim"
}

messages() { # queue
    mqx stat "$1" | sed -n 's/^messages: //p'
}

# Is nothing left?  Else somebody shall be at it.
test_or_start() {
    is_dead "${pid[0]}" && start 0
    [ "$(messages q)" = 0 ]
}

readers() {
    local round i sent=0 number=0 pid=()
    RANDOM=$((SEED % 32768))
    write_workers
    touch log && chmod 777 . && chmod 666 log
    mqx create --maxmsg 1000 --mode=0644 q
    for i in 0 1 2; do start $i; done
    for ((round = 0; round < rounds; round++)); do
        if [ "$(messages q)" -lt 50 ]; then # so that they have something to do all the time
            sent=$((sent + 200))
            seq $((sent - 199)) $sent | while read -r i; do echo "$i"; done \
                >"$m/.prio/$((RANDOM % 3))/q" || no "cannot send"
        fi
        sleep "0.00$((RANDOM % 10))"
        kill_one
        for i in 0 1 2; do
            is_dead "${pid[i]}" && wait "${pid[i]}"
            is_dead "${pid[i]}" && start $i
        done
    done
    await "all to be done" test_or_start
    for i in 0 1 2; do kill -KILL "${pid[i]}"; done
    check_log $sent
    rm -f mqxfs.err
    cat summary
}

# A mv whose xargs was killed may still be moving.
drain_both() {
    cat "$m/.drain/.lines/a" "$m/.drain/.lines/b" >>all
    [ "$(messages a)$(messages b)" = 00 ]
}

movers() {
    local round from=a to=b file deaths=0 mover one
    RANDOM=$((SEED % 32768))
    for one in a b; do mqx create --maxmsg 500 $one; done
    for ((one = 1; one <= 60; one++)); do mqx send -p $((one % 5)) a $one; done
    for ((round = 0; round < rounds; round++)); do
        ls "$m/.messages/$from" | shuf -n 30 --random-source=<(yes $RANDOM) >names
        (cd "$m/.messages/$from" && exec xargs mv -t ../$to) <names 2>mv.err &
        mover=$!
        sleep "0.00$((RANDOM % 8 + 1))"
        case $((RANDOM % 3)) in
        0) kill -KILL $mover ;;
        1) read -r one _ <"/proc/$mover/task/$mover/children" && kill -KILL "$one" ;;
        2)
            kill_mqxfs
            deaths=$((deaths + 1))
            ;;
        esac
        wait $mover
        one=$from from=$to to=$one
    done
    await "both to be empty" drain_both
    is "lost" "" "$(seq 60 | grep -vxf all | xargs)"
    doubled=$(($(wc -l <all) - 60))
    [ $doubled -le $deaths ] || no "$doubled are there twice, and mqxfs died $deaths times"
    [ $deaths -gt 0 ] || no "mqxfs was never killed"
    rm -f mqxfs.err
    echo "mqxfs killed $deaths times in a move, $doubled messages doubled"
}

# The shell tells of each that was killed.
readers_quietly() {
    readers 2>noise
}

movers_quietly() {
    movers 2>noise
}

try "readers and mqxfs killed $rounds times" readers_quietly
try "movers and mqxfs killed $rounds times" movers_quietly
finish
