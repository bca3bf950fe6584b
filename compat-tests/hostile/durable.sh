#!/bin/bash
# mqxd with damaged durable queues: it lives on, mirrors the others, and restores them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../durable/lib.sh"
cp "$BUILD/test/damage_queue" "$scratch/bin"

well_is_mirrored() { # text
    status 0 timeout 60 mqx send well "$1" # returns when it is on disk
    status 0 mqx recv --nonblock well
    is "from the healthy queue" "$1" "$(cat out)"
}

lives() {
    kill -0 "$mqxd" 2>/dev/null || no "mqxd ended: $(cat mqxd.log)"
    reported mqxd.log && no "mqxd: $(cat mqxd.log)"
    return 0
}

use_queue() {
    # Of a queue that mqxd cannot mirror, a sync send is never on disk.
    ends_or_waits mqx send --nonblock q "$1"
    ends mqx recv --nonblock q
    ends_or_waits mqx send --nonblock q "$1"
}

beside() { # input
    local name
    name=$(basename "$1")
    damage_queue q "$1" 2>err || no "damage_queue: $(cat err)" # damaged before mqxd sees it
    use_queue "$name"
    well_is_mirrored "$name"
    ends mqx unlink q
    damage_queue --sound q "$1" 2>err || no "damage_queue: $(cat err)" # while it mirrors it
    use_queue "$name"
    damage_queue --live q "$1" 2>err || no "damage_queue: $(cat err)"
    use_queue "$name"
    well_is_mirrored "$name"
    lives
    # Every other one stays, to be restored or not.
    [ $((++count % 2)) = 0 ] || ends mqx unlink q
    [ ! -e "$MQX_DIR/queues/q" ] || mv "$MQX_DIR/queues/q" "$MQX_DIR/queues/q$count"
}

damaged_queues() {
    local input count=0
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=10 --msgsize=200 well
    for input in $(inputs); do
        beside "$input"
        if [ $((count % 20)) = 10 ]; then # a reboot, now and then
            status 0 mqx send well "before the reboot"
            kill_mqxd
            reported mqxd.log && no "mqxd: $(cat mqxd.log)"
            lose_memory
            start_mqxd
            status 0 mqx recv --nonblock well
            is "restored" "before the reboot" "$(cat out)"
            rm -rf "$MQX_DIR"/queues/q*
        fi
    done
    lives
    stop_mqxd
}

# One slot's control word is in a state that does not exist: the record of an input (fuzz/damage.h).
refuses_to_wait() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=10 --msgsize=200 q
    status 0 timeout 60 mqx send q one
    stop_mqxd
    printf '\0\0\0\0\5\1\5\0\11\0\0\0\0\0\0\0' >input
    damage_queue --live q input 2>err || no "damage_queue: $(cat err)"
    start_mqxd
    for _ in 1 2; do
        status 1 timeout 60 mqx send q two
        grep -q "did not store it" err || no "mqx send says: $(cat err)"
    done
    await "mqxd to say it" grep -q "queue /q: it is damaged" mqxd.log
    stop_mqxd
}

try "who sends to a queue that cannot be mirrored is told" refuses_to_wait
try "healthy queues beside damaged ones, mirrored and restored" damaged_queues
finish
