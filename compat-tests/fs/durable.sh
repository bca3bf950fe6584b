#!/bin/bash
# Durable queues through the mount.
. "$(dirname "$0")/lib.sh"

# The mount again, with a configuration; and mqxd if asked for.
with_durable() { # policy
    umount "$m" && wait $fs
    printf '[*]\ndurable = %s\n' "$1" >mqx.conf
    MQX_CONF=mqx.conf mount_it
}

ended() { # pid: of a child of ours
    ! kill -0 "$1" || grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
}

drain() { # queue: what is in it, on one line
    while dd if="$1" iflag=nonblock 2>/dev/null; do :; done | xargs
}

sync_needs_mqxd() {
    with_durable sync
    fails "No such process" touch "$m/safe"
    is "not created" "" "$(ls "$m")"
}

# A write to a sync queue returns when mqxd has written it, or somebody received it.
sync_waits_for_disk() {
    with_durable sync
    start_mqxd
    echo one >"$m/safe" || no "write failed"
    kill -STOP $mqxd
    background bash -c "echo two >$m/safe"
    blocked $!
    is "meanwhile, mqxfs answers" safe "$(ls "$m")"
    kill -CONT $mqxd
    wait $!
    # Received counts, too.
    kill -STOP $mqxd
    background bash -c "echo three >$m/safe"
    blocked $!
    is "all of them" "one two three" "$(for i in 1 2 3; do cat "$m/safe"; done | xargs)"
    wait $! || no "the third write failed"
    kill -CONT $mqxd
}

# mq_send to another user's queue waits likewise; while mqxd stands still, no longer than it may,
# and then takes its message back.
sync_send_by_another_user() {
    with_durable sync
    export MQX_MOUNT=$m
    other="setpriv --reuid=1502 --regid=1502 --clear-groups"
    start_mqxd
    touch "$m/safe"
    chmod 666 "$m/safe"
    $other mqx send safe one || no "send failed"
    kill -STOP $mqxd
    background $other mqx send safe two
    await "its message" eval '[ "$(stat -c %s "$m/safe")" = 6 ]'
    await "it to wait for the disk" grep -q request_wait_answer "/proc/$!/wchan"
    kill -CONT $mqxd
    wait $! || no "the second send failed"
    kill -STOP $mqxd
    $other mqx send --timeout=0.1 safe three
    is "the status of who waits for a time" 3 $?
    $other mqx send --nonblock safe four
    is "the status of who does not wait" 3 $?
    kill -CONT $mqxd
    is "all of them" onetwo "$(drain "$m/safe")"
}

# One that waits for the disk can be stopped by a signal, and takes its message back.
sync_wait_is_interruptible() {
    local signal
    with_durable sync
    start_mqxd
    touch "$m/safe"
    kill -STOP $mqxd
    for signal in INT KILL; do
        background bash -c "echo $signal >$m/safe" 2>/dev/null
        blocked $!
        kill -$signal $!
        await "the echo to end by SIG$signal" ended $!
        wait $! 2>/dev/null && no "the echo succeeded in spite of SIG$signal"
    done
    kill -CONT $mqxd
    echo last >"$m/safe" || no "the last write failed"
    is "what is sent" last "$(drain "$m/safe")"
}

sync_wait_interrupted_by_a_handler() {
    with_durable sync
    start_mqxd
    touch "$m/safe"
    kill -STOP $mqxd
    background perl -MErrno=EINTR -e '$SIG{USR1} = sub { };
        open(F, ">", $ARGV[0]) or die;
        exit(defined(syswrite(F, "x\n")) ? 1 : $! == EINTR ? 0 : 2)' "$m/safe"
    blocked $!
    kill -USR1 $!
    await "the write to end" ended $!
    wait $! || no "it is no EINTR: $?"
    kill -CONT $mqxd
    is "what is sent" "" "$(drain "$m/safe")"
}

# The same where it waited for room before.
sync_wait_after_waiting_for_room() {
    local i
    with_durable sync
    start_mqxd
    for i in 1 2 3 4 5 6 7 8 9 10; do
        echo $i >"$m/safe"
    done
    background bash -c "echo 1234567 >$m/safe" 2>/dev/null
    blocked $!
    kill -STOP $mqxd
    is "makes room" 1 "$(cat "$m/safe")"
    # It is in the queue, and so waits for the disk.
    await "it to be sent" eval '[ "$(stat -c %s "$m/safe")" = 27 ]'
    is_blocked $! || no "it does not wait for the disk"
    kill -KILL $!
    await "the echo to end" ended $!
    wait $! 2>/dev/null && no "the echo succeeded in spite of SIGKILL"
    kill -CONT $mqxd
    is "what is sent" "$(seq 2 10 | xargs)" "$(drain "$m/safe")"
}

survives_the_loss_of_segments() {
    local i
    with_durable sync
    start_mqxd
    (umask 027 && touch "$m/safe")
    for i in $(seq 9); do
        echo $i >"$m/safe"
    done
    is "read one" 1 "$(cat "$m/safe")"
    kill -KILL $mqxd $fs
    wait $mqxd $fs 2>/dev/null
    rm -rf "${MQX_DIR:?}"/*
    rm mqxfs.err
    umount -l "$m"
    start_mqxd
    MQX_CONF=mqx.conf mount_it
    is "mode" -rw-r----- "$(stat -c %A "$m/safe")"
    # The removal of the first had no promise to be on disk before the kill.
    is "the rest, in order" "$(seq 2 9 | xargs)" \
        "$(drain "$m/safe" | sed 's/^1 //')"
}

try "a sync queue needs mqxd" sync_needs_mqxd
try "a sync write waits for the disk" sync_waits_for_disk
try_as_root "a send to another user's sync queue waits for the disk" sync_send_by_another_user
try "a wait for the disk ends by a signal" sync_wait_is_interruptible
try "... with EINTR where it is handled" sync_wait_interrupted_by_a_handler
try "... after a wait for room, too" sync_wait_after_waiting_for_room
try "durable messages outlive the segments" survives_the_loss_of_segments
finish
