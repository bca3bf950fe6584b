#!/bin/bash
# Many messages come back after a reboot, and who looks on sees how far that is.
. "$(dirname "$0")/lib.sh"

MANY=50000

filled() { # mqxd is stopped; queue q has MANY messages, of two priorities
    start_mqxd
    status 0 mqx create --durable=async --maxmsg=$MANY --msgsize=128 q
    seq $MANY | awk '{ printf "%d:message-%d\n", $1 % 2, $1 }' | xargs mqx run producer /q >/dev/null ||
        no "cannot send"
    stop_mqxd
    lose_memory
}

all_are_there() {
    status 0 mqx recv --nonblock --line --count $MANY q
    { seq -f message-%.0f 1 2 $MANY && seq -f message-%.0f 2 2 $MANY; } >wanted
    cmp -s wanted out || no "not all $MANY messages are back, or not in order"
}

restored() {
    filled
    start_mqxd
    ! grep -q restoring mqxd.log || no "it shows its progress in a file: $(cat mqxd.log)"
    all_are_there
}

is_ready_there() {
    grep -q 'mqxd: ready' screen
}

shown() {
    filled
    background script -qefc "exec mqxd" screen >/dev/null 2>&1 </dev/null
    await "mqxd to be ready" is_ready_there
    grep -qP '\rmqxd: restoring, messages: [0-9]*' screen || no "no progress: $(cat -v screen)"
    grep -qP '\r\x1b\[Kmqxd: queue /q: restored, messages: '$MANY screen ||
        no "what follows is not on a line of its own: $(cat -v screen)"
    all_are_there
}

try "$MANY messages are restored, each in its place" restored
if command -v script >/dev/null; then
    try "... and a terminal shows how far that is" shown
else
    skip "... and a terminal shows how far that is" "script is not installed (bsdutils)"
fi
finish
