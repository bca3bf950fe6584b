#!/bin/bash
# mqxd as a program: who may run it where, which queues it serves, and what it says.
. "$(dirname "$0")/lib.sh"

options() {
    status 0 mqxd --help
    grep -q '^usage: mqxd' out || no "no usage: $(cat out)"
    status 0 mqxd --version
    grep -q '^mqxd [0-9]' out || no "no version: $(cat out)"
    status 2 mqxd --nonsense
    status 2 mqxd something
    says something
    [ ! -e "$MQX_STORE" ] || no "a store was made"
}

second() {
    start_mqxd
    mkdir -m 1777 "$MQX_DIR.other"
    MQX_DIR=$MQX_DIR.other status 1 mqxd
    says "another mqxd is using it"
    status 1 mqxd --store "$PWD/store2"
    says "another mqxd of this user is running"
    status 0 mqx create --durable=sync q
    status 0 mqx send q "the first one still works"
    kill_mqxd
    start_mqxd # what a killed one leaves is in nobody's way
}

unlinked() {
    start_mqxd
    status 0 mqx create --durable=sync a
    status 0 mqx create --durable=async b
    status 0 mqx send a stored-in-a
    status 0 mqx send b stored-in-b
    await "the commit" is_stored stored-in-b
    status 0 mqx unlink a
    await "mqxd to forget it" nothing_gone
    kill_mqxd
    status 0 mqx unlink b # no mqxd
    start_mqxd
    kill_mqxd
    lose_memory
    start_mqxd
    is queues "" "$(mqx ls)"
}

nothing_gone() {
    [ -z "$(ls "$MQX_DIR/gone")" ]
}

# One that somebody has open, and waits in.
none_is_gone() {
    [ -z "$(ls "$MQX_DIR/gone")" ]
}

# One that mqxd has looked for among the unlinked, and then does not find among the others.
unlinked_while_it_starts() {
    local queues i
    queues=$(seq -f 'q%g' 1000)
    printf '%s\n' '[*]' 'durable = async' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    start_mqxd
    for i in $queues; do status 0 mqx create "$i"; done
    status 0 mqx create --durable=sync kept
    kill_mqxd
    : >mqxd.log
    background mqxd 2>mqxd.log
    mqxd=$!
    # shellcheck disable=SC2086 # they are many
    status 0 mqx unlink $queues
    await "mqxd to be ready" is_ready
    is "what is left" kept "$(mqx ls)"
    await "mqxd to forget the others" none_is_gone
    kill_mqxd
    lose_memory
    start_mqxd
    is "what comes back" kept "$(mqx ls)"
}

# One kind of them after the other, each as many as fit; and the store has to grow.
no_address_space() {
    local size i
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=100 --msgsize=1000000 q
    status 0 mqx send q first
    for size in 1048576x16777216 65536x16777216 4096x16777216 256x16777216 16x16777216 \
        1x16777216 1x4194304 1x1048576 1x262144; do
        for i in $(seq 32); do
            status 0 mqx create --durable=async --maxmsg=${size%x*} --msgsize=${size#*x} "$size-$i"
        done
    done
    await "mqxd to be full" grep -q 'cannot be mirrored: Cannot allocate memory' mqxd.log
    await "mqxd to have looked at all" is_asleep "$mqxd"
    head -c 1000000 /dev/zero | tr '\0' x >text
    for i in $(seq 60); do
        status 0 mqx send q <text
    done
    stop_mqxd
}

unlinked_in_use() {
    start_mqxd
    status 0 mqx create --durable=sync q
    kill -STOP "$mqxd"
    background mqx send q waiting
    sender=$!
    await "the sender to wait" is_asleep $sender
    status 0 mqx unlink q
    kill -CONT "$mqxd"
    wait $sender || no "the sender ended with $?"
    await "mqxd to forget it" nothing_gone
}

# A name is part of a line, whatever is in it.
forged_lines() {
    start_mqxd
    status 0 mqx create --durable=async $'q\nmqxd: forged\033[2J'
    await "the commit" is_stored forged
    kill_mqxd
    lose_memory
    start_mqxd # and says that it is restored
    ! grep -q '^mqxd: forged' mqxd.log || no "the name made a line of its own: $(od -c mqxd.log)"
    grep -qF 'q?mqxd: forged?[2J: restored' mqxd.log || no "it said: $(cat mqxd.log)"
}

policies() {
    printf '[*]\ndurable = async\nmaxmsg = 20\n[tmp-*]\ndurable = off\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    start_mqxd
    status 0 mqx create jobs
    status 0 mqx create tmp-1
    is jobs "maxmsg: 20 durable: async" "$(mqx stat jobs | grep '^maxmsg\|^durable' | paste -sd ' ')"
    is tmp-1 "durable: off" "$(mqx stat tmp-1 | grep ^durable)"
    stop_mqxd
    printf '[*]\ndurable = always\n' >mqx.conf
    status 1 mqxd
    says "mqx.conf:2: durable = always: must be off, async or sync"
    status 1 mqx create other
    says "mqx.conf:2:"
}

conflict() {
    start_mqxd
    status 0 mqx create --durable=sync q
    status 0 mqx send q old
    kill_mqxd
    lose_memory
    status 0 mqx create q # before mqxd was started
    status 0 mqx send q new
    start_mqxd
    grep -q "another queue has its name" mqxd.log || no "not said: $(cat mqxd.log)"
    is message new "$(mqx recv --nonblock q)"
    status 0 mqx unlink q
    kill_mqxd
    start_mqxd
    is message old "$(mqx recv --nonblock q)"
}

# --- other users ---------------------------------------------------------------------------------

other='setpriv --reuid=65534 --regid=65534 --clear-groups'

as_other() { # command...
    $other "$@"
}

roots_serves_all() {
    start_mqxd
    status 0 as_other mqx create --durable=sync --mode=604 q
    status 0 as_other mqx send q his
    kill_mqxd
    lose_memory
    start_mqxd
    status 0 as_other mqx stat q
    is attributes "mode: 0604 uid: 65534 gid: 65534" \
        "$(grep '^mode\|^uid\|^gid' out | paste -sd ' ')"
    is "the segment's mode" 600 "$(stat -c %a "$MQX_DIR/queues/q")"
    status 0 as_other mqx send q more
    is messages "his more" "$(as_other mqx recv --line --count 2 q | paste -sd ' ')"
    # He has none of his own beside root's.
    mkdir -m 777 his
    status 1 as_other mqxd --store "$PWD/his/store"
    says "root's mqxd serves"
}

his_own() {
    mkdir -m 777 his
    background $other mqxd --store "$PWD/his/store" 2>his.log
    his=$!
    await "his mqxd" grep -qx 'mqxd: ready' his.log
    status 0 as_other mqx create --durable=sync q
    status 0 as_other mqx send q his
    start_mqxd # root's leaves his queues to his
    status 0 mqx create --durable=sync roots
    status 0 mqx send roots text
    status 0 as_other mqx send q again
    kill_mqxd
    kill -KILL $his
    wait $his 2>/dev/null
    lose_memory
    start_mqxd
    is queues roots "$(mqx ls)"
    kill_mqxd
    background $other mqxd --store "$PWD/his/store" 2>his.log
    await "his mqxd" grep -qx 'mqxd: ready' his.log
    is messages "his again" "$(as_other mqx recv --line --count 2 q | paste -sd ' ')"
}

# Everybody may write to root's doorbell; nobody is to gain by it.
hostile_doorbell() {
    start_mqxd
    status 0 mqx create --durable=sync q
    truncate -s 0 "$MQX_DIR/clients/bell-0"
    status 0 mqx send q one
    as_other truncate -s 0 "$MQX_DIR/clients/bell-0" || no "it is not everybody's"
    status 0 mqx send q two
    kill -0 "$mqxd" || no "mqxd has ended"
    kill_mqxd
    lose_memory
    start_mqxd
    is messages "one two" "$(mqx recv --line --count 2 q | paste -sd ' ')"
}

# --- a full disk ---------------------------------------------------------------------------------

is_full() {
    grep -q 'disk of the store is full' mqxd.log
}

send_all() {
    local i
    for i in $(seq 40); do
        mqx send q "$(printf "%08000d" "$i")" || return 1
    done
}

disk_full() {
    mkdir small
    mount -t tmpfs -o size=200k none small || no "no tmpfs"
    start_mqxd --store "$PWD/small/store"
    status 0 mqx create --durable=sync --maxmsg=100 q
    background send_all
    sender=$!
    await "the disk to be full" is_full
    kill -0 "$mqxd" || no "mqxd has ended"
    mount -o remount,size=5m small || no "no remount"
    wait $sender || no "a sender ended with $?"
    grep -q 'there is room' mqxd.log || no "not said: $(cat mqxd.log)"
    kill_mqxd
    lose_memory
    start_mqxd --store "$PWD/small/store"
    status 0 mqx recv --line --count 40 q
    is numbers "$(seq 40)" "$(sed 's/^0*//' out)"
    kill_mqxd
    umount small
}

try "options" options
try "a second mqxd is refused" second
try "what was unlinked does not come back" unlinked
try "... nor while mqxd starts" unlinked_while_it_starts
try "unlinked while a sender waits" unlinked_in_use
try "queues that take all address space" no_address_space
try "policies from mqx.conf" policies
try "another queue has the name" conflict
try_as_root "root's mqxd serves all users" roots_serves_all
try_as_root "a user's own mqxd" his_own
try_as_root "others at root's doorbell" hostile_doorbell
try_with_mount "a full disk is waited for" disk_full
try "names of queues do not forge lines of the log" forged_lines
finish
