#!/bin/bash
# mqx.conf when it changes, and the queues that are there already.
. "$(dirname "$0")/lib.sh"

conf() { # line...
    printf '%s\n' "$@" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
}

logs() { # text count: so many lines have it
    [ "$(grep -cF -- "$1" mqxd.log)" -ge "$2" ]
}

reload() {
    local before
    before=$(grep -c 'the configuration ' mqxd.log)
    kill -HUP "$mqxd"
    await "mqxd to read its configuration" logs "the configuration " $((before + 1))
}

is_durable() { # queue policy
    is "the policy of $1" "durable: $2" "$(mqx stat "$1" | grep ^durable)"
}

restarts() { # as after a power cut
    kill_mqxd
    lose_memory
    start_mqxd
}

received() { # queue messages...
    local queue=$1
    shift
    status 0 mqx recv --nonblock --line --count $# "$queue"
    is messages "$*" "$(paste -sd ' ' out)"
    status 3 mqx recv --nonblock "$queue"
}

# Has the store this many messages of the queue?
stores() { # queue count
    [ "$(mqx store dump "$1" | grep -c '"slot"')" = "$2" ]
}

forgotten() { # queue
    ! mqx store dump "$1" >out 2>err
}

off_async_sync_off() {
    conf '[q*]' 'durable = off'
    start_mqxd
    status 0 mqx create --maxmsg=100 q
    for text in low-1 low-2; do status 0 mqx send q $text; done
    status 0 mqx send -p 9 q high
    conf '[q*]' 'durable = async'
    is_durable q off # nobody has read that yet
    reload
    is_durable q async
    logs "queue /q: durable is now async, and was off ($MQX_CONF:2)" 1 || no "said: $(cat mqxd.log)"
    await "what was there to be stored" stores q 3
    restarts
    is_durable q async
    status 0 mqx send q low-3
    conf '[other]' 'durable = off' '[q*]' 'durable = sync'
    reload
    is_durable q sync
    status 0 mqx send q low-4 # returns when it is stored
    stores q 5 || no "not stored: $(mqx store dump q)"
    restarts
    is_durable q sync
    is "the first" high "$(mqx recv --nonblock q)"
    conf '[q*]' 'durable = off'
    reload
    is_durable q off
    await "the store to forget it" forgotten q
    received q low-1 low-2 low-3 low-4
    status 0 mqx send q lost
    restarts
    status 1 mqx stat q
}

# Who waits for the disk waits no longer.
off_while_a_sender_waits() {
    conf '[q]' 'durable = sync'
    start_mqxd
    status 0 mqx create q
    kill -STOP "$mqxd"
    background mqx send q waiting
    sender=$!
    await "the sender to wait" is_asleep $sender
    conf '[q]' 'durable = off'
    kill -HUP "$mqxd"
    kill -CONT "$mqxd"
    wait $sender || no "the sender ended with $?"
    await "mqxd to be done" logs "the configuration was read again" 1
    is_durable q off
    received q waiting
}

# mqxd finds at its start what was edited meanwhile.
edited_while_it_was_down() {
    conf '[q]' 'durable = async'
    start_mqxd
    status 0 mqx create q
    status 0 mqx send q one
    await "the commit" stores q 1
    stop_mqxd
    conf '[q]' 'durable = off'
    start_mqxd
    is_durable q off
    forgotten q || no "it is still stored"
    received q one
}

mistakes() {
    conf 'window = 50' '[q]' 'durable = async'
    start_mqxd
    status 0 mqx create q
    conf '[q]' 'durable = never'
    reload
    logs "$MQX_CONF:2: durable = never: must be off, async or sync" 1 || no "said: $(cat mqxd.log)"
    logs "the configuration stays as it was" 1 || no "said: $(cat mqxd.log)"
    is_durable q async
    rm mqx.conf
    reload
    logs "$MQX_CONF: No such file" 1 || no "said: $(cat mqxd.log)"
    status 0 mqx send q one
    await "the commit" stores q 1
    conf '[q]' 'durable = sync'
    reload
    is_durable q sync
    status 0 timeout 60 mqx send q two
    stop_mqxd
}

said_of_it_alone() {
    conf '[*]' 'durable = async'
    start_mqxd
    status 0 mqx create --durable=sync q
    status 0 mqx create plain
    reload
    is_durable q sync
    status 0 mqx send q one
    restarts
    is_durable q sync
    conf '[*]' 'durable = off'
    reload
    is_durable q sync
    is_durable plain off
    status 0 mqx conf q
    grep -qx '; this queue is sync, as was said of it alone' out || no "it printed: $(cat out)"
    status 0 mqx conf --durable=async q
    is_durable q async
    status 0 mqx conf --durable=conf q
    is_durable q off
    await "the store to forget it" forgotten q
    received q one
    status 0 mqx send q two
    status 0 mqx conf --durable=sync q
    status 0 mqx send q three
    restarts
    received q two three
    status 1 mqx conf --durable=sync other
    says "no such queue"
    status 2 mqx conf --durable=always q
    stop_mqxd
    status 0 mqx conf --durable=off q
    status 1 mqx conf --durable=sync q
    says "start mqxd"
    start_mqxd
    forgotten q || no "it is still stored"
}

# What changed while it was not durable is stored, though mqxd never saw that it was not.
off_and_on_again() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=100 q
    status 0 mqx send q taken
    kill -STOP "$mqxd"
    status 0 mqx conf --durable=off q
    is "the message" taken "$(mqx recv q)"
    status 0 mqx send q one
    status 0 mqx send q two
    status 0 mqx conf --durable=sync q
    kill -CONT "$mqxd"
    status 0 mqx send q three
    await "what was there to be stored" stores q 3
    restarts
    received q one two three
}

# What it was sent before may wait for the window, and who sends to it now does not.
sync_within_the_window() {
    conf 'window = 60s' '[q]' 'durable = async'
    start_mqxd
    status 0 mqx create q
    await "mqxd to know it" mqx store dump q
    await "mqxd to be done with it" is_asleep "$mqxd"
    status 0 mqx send q one
    stores q 0 || no "it was not in a window"
    conf 'window = 60s' '[q]' 'durable = sync'
    reload
    status 0 mqx send q two # or EIO, after 30 seconds
    restarts
    received q one two
}

# A line that is gone makes no queue less durable.
no_line() {
    conf '[q]' 'durable = sync'
    start_mqxd
    status 0 mqx create q
    conf ''
    reload
    is_durable q sync
    status 0 mqx conf q
    grep -qx '; this queue is sync, and stays so: no line says otherwise' out ||
        no "it printed: $(cat out)"
}

# How long a sender waits for mqxd.
waits_as_it_says() {
    conf '[q]' 'durable = sync' 'wait = 24h'
    start_mqxd
    status 0 mqx create q
    conf '[q]' 'durable = sync' 'wait = 100ms'
    reload
    kill -STOP "$mqxd"
    background mqx send q withdrawn
    sender=$!
    await "the sender to wait" is_asleep $sender
    kill_mqxd
    await "the sender to give up" ended $sender
    wait $sender && no "it was sent"
    start_mqxd
    status 3 mqx recv --nonblock q
}

other_kinds() {
    conf '[*]' 'durable = off'
    start_mqxd
    id=$(mqx run ipcmk -Q | grep -o '[0-9]*$') || no "no System V queue"
    status 0 mqx send --type=5 ".sysv/$id" text
    key=$(mqx stat ".sysv/$id" | sed -n 's/^key: //p')
    if [ "$(id -u)" -eq 0 ]; then
        status 0 setpriv --reuid=65534 --regid=65534 --clear-groups mqx create his
    else
        status 0 mqx create his
    fi
    conf '[his]' 'durable = async' "[.sysv/$key]" 'durable = sync'
    reload
    is_durable his async
    is_durable ".sysv/$id" sync
    await "what was there to be stored" stores ".sysv/$id" 1
    restarts
    is message text "$(mqx recv --nonblock --type=5 ".sysv/$key")"
    status 0 mqx unlink ".sysv/$id"
    reload
    status 0 mqx conf ".sysv/$key"
    grep -qx "durable = sync ; $MQX_CONF:4 \\[.sysv/$key\\]" out || no "it printed: $(cat out)"
}

# Whatever it is just then, nothing is lost.
send_all() {
    local i
    for ((i = 1; i <= 200; i++)); do mqx send q $i || return 1; done
}

at_work() {
    conf '[q]' 'durable = off'
    start_mqxd
    status 0 mqx create --maxmsg=1000 q
    background send_all
    sender=$!
    while kill -0 $sender 2>/dev/null; do
        for policy in sync async off async sync off; do
            conf '[q]' "durable = $policy"
            reload
        done
    done
    wait $sender || no "the sender ended with $?"
    conf '[q]' 'durable = async'
    reload
    await "all to be stored" stores q 200
    restarts
    received q $(seq 200)
}

shown() {
    conf 'window = 2s' '[*]' 'durable = async' 'maxmsg = 20' '[/jobs*]' 'durable = off' \
        'msgsize = 64K' '[x]' 'maxmsg = 1'
    status 0 mqx conf
    cat >wanted <<END
key_file = none ; the default
limits = mqx ; the default
store_max = unlimited ; the default
window = 2s ; $MQX_CONF:1
END
    diff wanted out >differs || no "mqx conf: $(cat differs)"
    status 0 mqx create jobs-1
    status 0 mqx conf /jobs-1
    cat >wanted <<END
[jobs-1]
durable = off ; $MQX_CONF:6 [jobs*]
encrypt = no ; the default
maxmsg = 20 ; $MQX_CONF:4 [*]
msgsize = 64K ; $MQX_CONF:7 [jobs*]
receive = at-once ; the default
store_max = unlimited ; the default
wait = 30s ; the default
END
    diff wanted out >differs || no "mqx conf jobs-1: $(cat differs)"
    is msgsize "msgsize: 65536" "$(mqx stat jobs-1 | grep ^msgsize)"
    conf '[jobs*]' 'durable = async'
    status 0 mqx conf jobs-1
    grep -qx '; this queue is off, until mqxd reads the file again (SIGHUP)' out ||
        no "it printed: $(cat out)"
    cp out again.conf # what it prints is in the form of the file
    MQX_CONF=$PWD/again.conf status 0 mqx conf jobs-1
    grep -q '^maxmsg = 10 ; .*again.conf:4' out || no "it printed: $(cat out)"
    conf '[x]' 'maxmsg = many'
    status 1 mqx conf
    says "$MQX_CONF:2: maxmsg = many: must be a number from 1"
    status 1 mqx conf jobs-1
    status 2 mqx conf a b
    MQX_CONF=/nonexistent status 1 mqx conf
}

try "a queue becomes durable, and volatile again" off_async_sync_off
try "... while a sender waits for the disk" off_while_a_sender_waits
try "... while mqxd was down" edited_while_it_was_down
try "... of other users, and System V's" other_kinds
try "... while it is in use" at_work
try "... and waits for mqxd as long as is said" waits_as_it_says
try "a mistake keeps the configuration as it was" mistakes
try "what was said of one queue alone counts" said_of_it_alone
try "... off and on again while mqxd stands still" off_and_on_again
try "async becomes sync within the window" sync_within_the_window
try "a line that is gone changes nothing" no_line
try "mqx conf shows what applies and why" shown
finish
