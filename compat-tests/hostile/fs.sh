#!/bin/bash
# mqxfs with damaged queues in its mount: it lives on, and serves the others.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../fs/lib.sh"
PATH=$BUILD/test:$PATH

well_is_served() { # number
    echo "$1" >"$m/well" || no "the healthy queue takes nothing"
    is "from the healthy queue" "$1" "$(timeout 20 cat "$m/well")"
}

# Through the mount, while a reader of the healthy queue waits.
use_mount() { # input
    local reader
    damage_queue q "$1" 2>err || no "damage_queue: $(cat err)"
    timeout 60 cat "$m/well" >later &
    reader=$!
    ends ls -l "$m"
    ends stat "$m/q"
    ends find "$m" -type f
    ends df "$m"
    ends chmod 600 "$m/q"
    for _ in 1 2 3; do
        ends_or_waits dd if="$m/q" of=/dev/null bs=64k count=1 iflag=nonblock
        ends_or_waits dd if=/dev/zero of="$m/q" bs=1 count=1 oflag=nonblock conv=notrunc
    done
    ends_or_waits cat "$m/q"
    ends_or_waits cp /etc/hostname "$m/q"
    ends_or_waits head -c 1 "$m/q"
    damage_queue --live q "$1" 2>err # it was read from: again, while mqxfs has it mapped
    ends_or_waits cat "$m/q"
    ends rm -f "$m/q"
    ends ls -l "$m"
    grep -q ' q$' out && no "it is still there: $(cat out)"
    echo woken >"$m/well" || no "the healthy queue takes nothing"
    wait $reader || no "the reader of the healthy queue ended with $?"
    is "what the waiting reader got" woken "$(cat later)"
}

damaged_queues() {
    local input
    mqx create --maxmsg=10 --msgsize=64 well || no "cannot create the healthy queue"
    for input in $(inputs); do
        (use_mount "$input") || no "$(basename "$input"): $(cat why)"
        well_is_served "$(basename "$input")"
        rm -f "$MQX_DIR"/gone/* "$MQX_DIR"/fifos/*
    done
    kill -0 $fs || no "mqxfs ended: $(cat mqxfs.err)"
    unmount_it
}

# Who waits for a message is told within a second or so, whatever is missing.
truncated_under_it() {
    local size reader
    mqx create --maxmsg=10 --msgsize=64 well || no "cannot create the healthy queue"
    for size in 0 1 1024 4096 8192; do
        mqx create --maxmsg=300 --msgsize=4000 q || no "cannot create"
        mqx send q message || no "cannot send"
        cat "$m/q" >out || no "cannot read"
        cat "$m/q" >out 2>err &
        reader=$!
        blocked $reader
        truncate -s $size "$MQX_DIR/queues/q"
        ends ls -l "$m"
        ends_or_waits dd if="$m/q" of=/dev/null iflag=nonblock
        ends_or_waits dd if=/dev/zero of="$m/q" bs=1 count=1 oflag=nonblock conv=notrunc
        await "the reader to end" sh -c "! kill -0 $reader"
        ends rm -f "$m/q"
        well_is_served $size
    done
    unmount_it
}

try "a healthy queue beside damaged ones in the mount" damaged_queues
try "segments truncated while they are read" truncated_under_it
finish
