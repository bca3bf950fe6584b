#!/bin/bash
# Every command of mqx with damaged queues: it ends, and says what is wrong.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../cli/lib.sh"
PATH=$BUILD/test:$PATH

commands() { # input
    damage_queue q "$1" 2>err || no "damage_queue: $(cat err)"
    ends mqx ls
    ends mqx ls -l
    ends mqx ls --json
    ends mqx stat q
    ends mqx stat --json q
    # A send to a sync queue waits for mqxd, which these cases do not have.
    if ! mqx stat q 2>err | grep -qx 'durable: sync'; then
        ends mqx send --nonblock q x
        ends mqx send --timeout=0.01 -p 5 q ''
        ends_or_waits mqx run producer /q 3:x
    fi
    ends mqx recv --nonblock q
    ends mqx recv --timeout=0.01 --count=9 -p q
    ends_or_waits mqx run consumer /q 2
    ends mqx create q
    ends mqx unlink q
    status 0 mqx ls
    is "queues left" "" "$(cat out)"
    rm -rf "${MQX_DIR:?}"/*
}

every_command() {
    local input
    for input in $(inputs); do
        (commands "$input") || no "$(basename "$input"): $(cat why)"
    done
}

try "every command with a damaged queue" every_command
finish
