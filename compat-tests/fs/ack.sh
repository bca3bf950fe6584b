#!/bin/bash
# Messages that come back unless they are acknowledged: .ack/QUEUE; and mqx each, through the mount.
. "$(dirname "$0")/lib.sh"

left() { # what is there for others
    cat "$m/.drain/q" | paste -sd ' '
}

send() { # text...
    for text; do echo "$text" >"$m/q"; done
}

consumes_what_was_acknowledged() {
    touch "$m/q"
    send one two three
    exec 3<>"$m/.ack/q"
    is "first" one "$(cat <&3)"
    echo done >&3 || no "it could not be acknowledged"
    is "the next" two "$(cat <&3)"
    exec 3<&-
    await "two to be back" eval '[ "$(cat "$m/.peek/.drain/q" | xargs)" = "two three" ]'
    is "the others" "two three" "$(left)"
}

in_every_shell() {
    local shell
    for shell in bash dash zsh "busybox sh"; do
        command -v ${shell%% *} >/dev/null || continue
        touch "$m/q"
        send one two three stop four
        # shellcheck disable=SC2016
        $shell -c 'exec 3<>"$1/.ack/q"
            while read -r job <&3; do
                [ "$job" != stop ] || exit
                echo "did $job" && echo ok >&3
            done' sh "$m" >out
        is "$shell: done" "did one did two did three" "$(xargs <out)"
        await "$shell: the one that was not done" eval '[ "$(cat "$m/.peek/q")" = stop ]'
        is "$shell: left" "stop four" "$(left)"
    done
}

# Without a newline, too; only a part of it was read; nothing was read.
by_its_own_rules() {
    touch "$m/q"
    printf 'long message' >"$m/q"
    send two
    exec 3<>"$m/.ack/q"
    fails "No data available" bash -c 'echo ok >&3'
    is "a part" long "$(dd bs=4 count=1 <&3 2>/dev/null)"
    echo ok >&3 || no "it could not be acknowledged"
    fails "No data available" bash -c 'echo ok >&3'
    is "the next" two "$(cat <&3)"
    is "and no more" "" "$(cat <&3)"
    is "held" "" "$(left)"
    exec 3<&-
    await "it to be back" test -n "$(cat "$m/.peek/q")"
    mqx recv q >/dev/null
    mqx send q ''
    send three
    exec 3<>"$m/.ack/.nonblock/q"
    is "an empty one" "" "$(cat <&3)"
    echo ok >&3 || no "an empty one could not be acknowledged"
    is "the next" three "$(cat <&3)"
    echo ok >&3
    fails "Resource temporarily unavailable" cat <&3
    exec 3<&-
    echo low >"$m/q" && echo high >"$m/.prio/5/q"
    exec 3<>"$m/.ack/.prio/0/q"
    is "of a priority" low "$(cat <&3)"
    exec 3<>"$m/.ack/.json/q"
    is "in a form" '"priority": 5' "$(grep -o '"priority": 5' <&3)"
    exec 3<&-
    fails "Read-only file system" chmod 600 "$m/.ack/q"
}

wakes_who_waits() {
    local pid
    touch "$m/q"
    send 1 2 3 4 5 6 7 8 9 10
    exec 3<>"$m/.ack/q"
    cat <&3 >/dev/null
    background bash -c "echo 11 >$m/q"
    pid=$!
    blocked $pid
    echo ok >&3
    wait $pid || no "who waited for room failed"
    exec 3<&-
    left >/dev/null
    send back
    exec 3<>"$m/.ack/q"
    cat <&3 >/dev/null
    background cat "$m/q" >got 3<&- # which would keep it open, too
    pid=$!
    blocked $pid
    exec 3<&-
    wait $pid
    is "it goes to who waits" back "$(cat got)"
}

comes_back_from_the_dead() {
    local pid signal
    touch "$m/q"
    for signal in TERM KILL; do
        send precious
        rm -f ready
        # shellcheck disable=SC2016
        background bash -c 'exec 3<>"$1"; read -r job <&3; echo "$job" >ready; exec sleep 600' \
            bash "$m/.ack/q"
        pid=$!
        await "it to be read" test -s ready
        is "held" "" "$(left)"
        kill -$signal $pid
        wait $pid
        await "it to be back" test -n "$(cat "$m/.peek/q")"
        is "back" precious "$(left)"
    done
    send precious
    rm ready
    # shellcheck disable=SC2016
    background bash -c 'exec 3<>"$1"; read -r job <&3; echo "$job" >ready; exec sleep 600' \
        bash "$m/.ack/q"
    await "it to be read" test -s ready
    kill -KILL $fs
    wait $fs
    rm -f mqxfs.err
    mount_it
    rm -f mqxfs.err
    is "mqxfs died" precious "$(left)"
}

for_other_users() {
    touch "$m/q" "$m/his" "$m/drop"
    send one two
    chmod 644 "$m/q"
    chmod 600 "$m/his"
    chmod 622 "$m/drop"
    # shellcheck disable=SC2016
    is "who may read may acknowledge" one \
        "$(as 1502 bash -c 'exec 3<>"$1"; read -r job <&3; echo ok >&3; echo "$job"' bash "$m/.ack/q")"
    is "consumed" two "$(left)"
    fails "Permission denied" as 1502 cat "$m/.ack/his"
    fails "Permission denied" as 1502 cat "$m/.ack/drop"
    fails "Permission denied" as 1502 bash -c "echo ok >$m/.ack/drop"
    fails "No data available" as 1502 bash -c "echo ok >$m/.ack/q"
    fails "Inappropriate ioctl" as 1502 perl -e 'open(F, "+<", $ARGV[0]) || die "$!";
        $m = pack("L4a4", 0, 4, 0, 0, "fake");
        ioctl(F, 1 << 30 | length($m) << 16 | 0x7103, $m) || die "$!"' "$m/.ack/q"
    is "nothing came of it" "" "$(left)"
}

# A user's mqx each, on another's queue.
each_of_another_user() {
    local worker
    chmod 777 .
    touch "$m/q"
    chmod 644 "$m/q"
    send one two three
    export MQX_MOUNT=$m
    is "in order" "0 one 0 two 0 three" \
        "$(as 1502 mqx each --drain q -- sh -c 'echo $MQX_PRIORITY $(cat)' | xargs)"
    is "consumed" "" "$(left)"
    send one two
    as 1502 mqx each q false 2>err && no "a failure was not noticed"
    is "it goes back" "one two" "$(cat "$m/.peek/.drain/q" | xargs)"
    as 1502 mqx each --keep-going --drain q -- sh -c 'read -r n; [ "$n" = two ]' 2>err &&
        no "a failure was not noticed"
    is "one is done" one "$(cat "$m/.peek/.drain/q" | xargs)"
    send three
    # shellcheck disable=SC2016
    background setpriv --reuid=1502 --regid=1502 --clear-groups mqx each --keep-going=1 q -- \
        sh -c 'read -r n; echo "$n" >>log; [ "$n" = three ]' 2>err
    worker=$!
    await "it to be tried again" eval '[ "$(grep -c one log)" = 2 ]'
    is "by the user" 1502 "$(stat -c %u log)"
    kill -KILL $worker
    wait $worker
    await "it to be back" eval '[ "$(cat "$m/.peek/.drain/q" | xargs)" = one ]'
    chmod 600 "$m/q"
    as 1502 mqx each q true 2>err && no "it read what it may not"
    grep -q "you may not" err || no "it said: $(cat err)"
}

try "consumed is what was acknowledged" consumes_what_was_acknowledged
try "workers in all shells" in_every_shell
try "parts, forms, and nothing" by_its_own_rules
try "who waits for room, or for what comes back" wakes_who_waits
try "readers and mqxfs that die" comes_back_from_the_dead
try_as_root "who may acknowledge" for_other_users
try_as_root "mqx each on another user's queue" each_of_another_user
finish
