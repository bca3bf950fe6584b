#!/bin/bash
# mqxfs serves a healthy queue while another one, which it has mapped and serves
# too, is scribbled on, cut off, or has its memory taken.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../scribble.sh"

# The sick queue, in every way, until there is a file "stop".
use_sick() {
    while [ ! -e stop ]; do
        may_fail 0.1 cat "$m/sick"
        may_fail 0.1 dd of="$m/sick" status=none <"$case_dir/message"
        may_fail 0.1 dd if="$m/sick" iflag=nonblock count=1 bs=64k status=none
        may_fail 0.1 dd of="$m/sick" oflag=nonblock status=none <"$case_dir/message"
        may_fail 0.1 ls -l "$m"
        may_fail 0.1 stat "$m/sick"
        may_fail 0.1 mqx send --nonblock sick direct
        may_fail 0.1 mqx recv --nonblock sick
        may_fail 0.1 mqx ls -l
        # What cannot be opened can be removed, and made anew.
        : <"$m/sick" || may_fail 0.1 rm -f "$m/sick"
        may_fail 0.1 touch "$m/sick"
    done >sick.out 2>sick.err
}

# COMMAND..., again and again while its failure is excused.
insist() { # file for its errors, command...
    local err=$1
    shift
    until $as_well timeout 60 "$@" 2>"$err"; do
        grep -q "$excused" "$err" || return 1
    done
}

# The healthy one: numbers in, until there is a file "stop", and out.
send_well() {
    local i=0
    while [ ! -e stop ]; do
        i=$((i + 1))
        insist send.err bash -c "echo $i >'$m/well'" ||
            echo "message $i was refused: $(cat send.err)" >>wrong
    done
    insist send.err bash -c "echo end >'$m/well'"
}

receive_well() {
    local i=0 got
    while got=$(insist receive.err cat "$m/well") && [ "$got" != end ]; do
        i=$((i + 1))
        [ "$got" = $i ] || echo "message $got came as number $i" >>wrong
    done
    [ "$got" = end ] || echo "nothing came after message $i: $(cat receive.err)" >>wrong
    echo $i >received
}

beside() { # KINDS [file]: scribble on it, the sick queue's segment if not said
    printf '%2000s' message >message
    $as_sick mqx create --maxmsg=80 --msgsize=3000 sick || no "cannot create a queue"
    $as_well mqx create --maxmsg=80 --msgsize=3000 well || no "cannot create a queue"
    expose "$1" "$2" "$m/sick" use_sick use_sick send_well receive_well
    echo "# $(cat scribbled hammered | paste -sd ' '); $(cat received) healthy messages"
    [ "$(cat received)" -gt 0 ] || no "nothing passed through the healthy queue"
    mounted || no "mqxfs does not serve any more"
    rm -f "$m/sick" && touch "$m/sick" && echo again >"$m/sick"
    is "the queue, made anew" again "$(timeout 60 cat "$m/sick")"
    unmount_it
}

words() { beside bytes,words,flips,heal; }
sizes() { beside sizes,words,heal; }

# On a file system of its own, which is full every now and then.
full() {
    unmount_it
    mkdir "$case_dir/small"
    mount -t tmpfs -o size=4m small "$case_dir/small" || no "mount failed"
    export MQX_DIR=$case_dir/small
    mount_it
    excused="No space left"
    beside fill,sizes,heal
}

# Root serves all users; what belongs to one of them is scribbled on by himself.
another_user() {
    as_sick="setpriv --reuid=1501 --regid=1501 --clear-groups"
    as_well="setpriv --reuid=1502 --regid=1502 --clear-groups"
    beside "$@"
}
anothers_queue() { another_user bytes,words,sizes,flips,heal; }
anothers_registry() { another_user bytes,sizes,locks "$MQX_DIR/clients/1501"; }

excused='nothing is'
try "a healthy queue beside one that is scribbled on" words
try "a healthy queue beside one that is cut off" sizes
try_as_root "two queues on a file system that is filled" full
try_as_root "another user's queue beside one that its user scribbles on" anothers_queue
try_as_root "another user's queue beside one whose user scribbles on his registry" anothers_registry
finish
