#!/bin/bash
# Durable queues through the mount.
. "$(dirname "$0")/lib.sh"

# The mount again, with a configuration; and mqxd if asked for.
with_durable() { # policy
    umount "$m" && wait $fs
    printf '[*]\ndurable = %s\n' "$1" >mqx.conf
    MQX_CONF=mqx.conf mount_it
}

start_mqxd() {
    rm -f mqxd.err
    mqxd --store "$PWD/store" 2>mqxd.err &
    mqxd=$!
    echo $mqxd >mqxd.pid
    await "mqxd" grep -qs "mqxd: ready" mqxd.err
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
        "$(while dd if="$m/safe" iflag=nonblock 2>/dev/null; do :; done | grep -vx 1 | xargs)"
}

try "a sync queue needs mqxd" sync_needs_mqxd
try "a sync write waits for the disk" sync_waits_for_disk
try "durable messages outlive the segments" survives_the_loss_of_segments
finish
