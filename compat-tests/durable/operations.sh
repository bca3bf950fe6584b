#!/bin/bash
# mqxd as a service: what systemd is told, its log, and its counters.
. "$(dirname "$0")/lib.sh"

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


# --- the log ------------------------------------------------------------------------------------

log_lines() {
    background mqxd --log=logfmt 2>log
    mqxd=$!
    await "mqxd to be ready" grep -qx 'level=notice event=ready message="ready"' log
    name=$'a "queue\\"\nmqxd: ready'
    status 0 mqx create --durable=async -- "/$name"
    printf '[*]\ndurable = sync\n[x\n' >mqx.conf # a mistake
    kill -TERM $mqxd
    wait $mqxd
    lose_memory
    MQX_CONF=$PWD/mqx.conf status 1 mqxd --log=logfmt
    says "mqx: $PWD/mqx.conf:3: "
    background mqxd --log=logfmt 2>log
    mqxd=$!
    await "it to be restored" grep -q event=ready log
    grep -q '^level=info event=restored queue="/a \\"queue\\\\\\"?mqxd: ready" message="queue /a ' log ||
        no "it logged $(cat log)"
    grep -qvE '^level=(error|warning|notice|info) event=[a-z-]+( queue="([^"\\]|\\.)*")? message="([^"\\]|\\.)*"$' log &&
        no "not in its form: $(cat log)"
    kill -TERM $mqxd
    wait $mqxd
    status 2 mqxd --log=pretty
    says "--log=pretty: must be plain or logfmt"
}

# The journal is who has the file at the other end of stderr.
to_journal() {
    : >log
    export JOURNAL_STREAM
    JOURNAL_STREAM=$(stat -c %d:%i log)
    background mqxd 2>log
    mqxd=$!
    await "mqxd to be ready" grep -qx '<5>mqxd: ready' log
    status 1 mqxd --store "$PWD/other"
    grep '^<' err && no "stderr is another file, and no journal"
    kill -TERM $mqxd
    wait $mqxd
}

# --- counters -----------------------------------------------------------------------------------

counts() { # counter value
    [ "$(mqx stat | sed -n "s/^$1: //p")" = "$2" ]
}

counted() { # counter value
    await "$1: $2 ($(mqx stat 2>&1 | paste -sd ' '))" counts "$1" "$2"
}

counters() {
    status 1 mqx stat
    says "none runs"
    start_mqxd
    status 0 mqx stat
    grep -q last_problem out && no "there was none: $(cat out)"
    counted queues 0
    status 0 mqx create --durable=sync --maxmsg=100 q
    counted queues 1
    for i in 1 2 3 4 5; do status 0 mqx send q "12345"; done
    counted stored 5
    counted sent 5
    counted elided 0
    counted backlog_messages 5
    counted backlog_bytes 25
    counted commits 5
    counted changes_per_commit_most 1
    status 0 mqx recv --count 2 q
    counted backlog_messages 3
    counted changes 7
    mqx stat | grep '^commit_ms' | while IFS=': ' read -r name value; do
        case $value in *.[0-9][0-9][0-9]) ;; *) no "$name: $value" ;; esac
        [ "$value" != 0.000 ] || no "$name: $value: commits take longer"
    done || exit 1
    stop_mqxd
    status 1 mqx stat
    lose_memory
    start_mqxd
    counted backlog_messages 3
    counted sent 0 # since then
    counted stored 0
    # While mqxd stands still nothing is stored: what is gone by then never is.
    status 0 mqx create --durable=async --maxmsg=100 fast
    counted queues 2
    kill -STOP "$mqxd"
    for i in 1 2 3 4 5 6 7 8; do status 0 mqx send fast "$i" && status 0 mqx recv fast; done
    status 0 mqx send fast stays
    kill -CONT "$mqxd"
    counted elided 8
    counted stored 1
    counted sent 9
    status 0 mqx stat --json
    tail -c 3 out | grep -q '}' || no "no object: $(cat out)"
    grep -q '"elided": 8, ' out || no "it printed: $(cat out)"
    if command -v jq >/dev/null; then
        is "queues, by jq" 2 "$(jq .queues out)"
    fi
    status 2 mqx stat a b
}

problems() {
    printf '[q]\nstore_max = 100\ndurable = async\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    start_mqxd
    status 0 mqx create q
    for i in 1 2 3; do status 0 mqx send q "a longer message"; done
    await "the last problem" sh -c 'mqx stat | grep -q "^last_problem: queue /q: the store has "'
    mqx stat --json | grep -q '"last_problem": "queue /q: the store has ' || no "not in JSON"
}

# Every user has his own, and reads root's where he has none.
users() {
    local him="setpriv --reuid=65534 --regid=65534 --clear-groups"
    mkdir -m 777 his
    start_mqxd
    status 0 $him mqx stat
    grep -qx 'uid: 0' out || no "it is not root's: $(cat out)"
    stop_mqxd
    background $him mqxd --store "$PWD/his/store" 2>his.log
    his=$!
    await "his mqxd" grep -qx 'mqxd: ready' his.log
    status 0 $him mqx create --durable=sync his
    status 0 $him mqx send his message
    status 0 $him mqx stat
    grep -qx 'uid: 65534' out && grep -qx 'stored: 1' out || no "it is not his: $(cat out)"
    status 1 mqx stat # there is none of root's
    kill -TERM $his
    wait $his
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
try "log lines for programs" log_lines
try "log lines for the journal" to_journal
try "counters" counters
try "the last problem" problems
try_as_root "counters of several users" users
finish
