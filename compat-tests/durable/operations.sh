#!/bin/bash
# mqxd as a service: what systemd is told, its log, and its counters.
. "$(dirname "$0")/lib.sh"

says() { # text
    grep -qF -- "$1" err || no "stderr lacks '$1': $(cat err)"
}

# As systemd does: each datagram is lines in the file `told`.
cat >"$scratch/listen.py" <<'END'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
s.bind('\0' + name[1:] if name[0] == '@' else name)
told = os.open('told', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
open('listening', 'w').close()
while True:
    text = s.recv(4096).decode()
    os.write(told, (text + '\n').encode())
END

listen() { # socket
    : >told
    background python3 "$scratch/listen.py" "$1"
    await "somebody who listens" test -e listening
    export NOTIFY_SOCKET=$1
}

told() { # line...: all of them, in this order?
    local lines
    lines=$(grep -v '^MONOTONIC_USEC=' told | paste -sd ' ')
    case $lines in *"$*"*) ;; *) return 1 ;; esac
}

service_states() { # socket
    listen "$1"
    printf '[q]\ndurable = sync\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    start_mqxd
    await "the news that it serves" told "STATUS=Serving READY=1"
    status 0 mqx create q # at once
    kill -HUP "$mqxd"
    await "the news that it has read it" told "READY=1 RELOADING=1 READY=1"
    grep -A 1 'RELOADING=1' told | grep -qE '^MONOTONIC_USEC=[0-9]+$' || no "no time: $(cat told)"
    grep -q WATCHDOG told && no "nobody asked for a watchdog"
    stop_mqxd
    await "the news that it ends" told "READY=1 STOPPING=1"
    is "times that it was ready" 2 "$(grep -c READY told)"
}

in_a_directory() {
    service_states "$PWD/socket"
}

abstract() {
    service_states "@mqx-test-$$-$RANDOM"
}

# What is to be restored is there before that is said.
ready_when_restored() {
    listen "$PWD/socket"
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=2000 q
    for i in 1 2 3; do status 0 mqx send q "$i"; done
    kill_mqxd
    lose_memory
    : >told
    cat >look.sh <<'END'
until grep -q READY told; do sleep 0.001; done
mqx recv --line --nonblock --count 3 q >seen 2>&1
END
    background bash look.sh
    looker=$!
    start_mqxd
    wait $looker
    is "when it was ready" "1 2 3" "$(paste -sd ' ' seen)"
    # One that cannot start is never ready.
    stop_mqxd
    : >told
    echo damaged >"$MQX_STORE/data.mdb"
    status 1 mqxd
    grep -q READY told && no "it said that it is ready"
    true
}

watchdog_says() { # more than so many
    [ "$(grep -c WATCHDOG=1 told)" -gt "$1" ]
}

# A disk on which fdatasync hangs while the file `hang` is there.
hanging_disk() {
    cat >hang.c <<'END'
#include <unistd.h>
#include <sys/syscall.h>
int fdatasync(int fd)
{
    while (access(HANG, F_OK) == 0)
        usleep(1000);
    return (int)syscall(SYS_fdatasync, fd);
}
END
    "${CC:-cc}" -shared -fPIC -DHANG="\"$PWD/hang\"" -o hang.so hang.c || no "cannot be compiled"
}

watchdog() {
    local n
    listen "$PWD/socket"
    hanging_disk
    export WATCHDOG_USEC=200000 LD_PRELOAD=$PWD/hang.so
    begun=$(date +%s%N)
    start_mqxd
    unset LD_PRELOAD
    await "it to live" watchdog_says 3
    n=$(grep -c WATCHDOG=1 told)
    most=$((($(date +%s%N) - begun) / 100000000 + 2))
    [ "$n" -le $most ] || no "it said so $n times, and $most are enough" # half of its time apart
    status 0 mqx create --durable=sync q
    touch hang
    background mqx send q message
    sender=$!
    await "mqxd to be silent" is_silent
    kill -0 "$mqxd" || no "it ended"
    n=$(grep -c WATCHDOG=1 told)
    rm hang
    wait $sender || no "the sender ended with $?"
    await "it to live again" watchdog_says "$n"
    # Not ours.
    stop_mqxd
    : >told
    WATCHDOG_PID=1 start_mqxd
    status 0 mqx create --durable=sync r
    sleep 0.5
    is "watchdog of another" 0 "$(grep -c WATCHDOG told)"
    stop_mqxd
    unset WATCHDOG_USEC
    NOTIFY_SOCKET=nonsense status 1 mqxd
    says "NOTIFY_SOCKET=nonsense: must be a path"
}

# For five times as long as it may take.
is_silent() {
    local before
    before=$(grep -c WATCHDOG told)
    sleep 1
    [ "$(grep -c WATCHDOG told)" = "$before" ]
}

if command -v python3 >/dev/null; then
    try "systemd is told: ready, reloading, stopping" in_a_directory
    try "... also through an abstract socket" abstract
    try "ready is said when all is restored" ready_when_restored
    if command -v "${CC:-cc}" >/dev/null; then
        try "the watchdog hears of it while it gets on, not while the disk hangs" watchdog
    else
        skip "the watchdog" "needs a C compiler"
    fi
else
    skip "what systemd is told" "needs python3"
fi
finish
