#!/bin/bash
# mqxd goes on mirroring a healthy queue while another durable one, its doorbell
# or the registry is scribbled on; and what it stored of the healthy one is restored.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../scribble.sh"

# Sends fail, or wait for a disk that nobody writes to: they end when they are told to.
use_sick() {
    while [ ! -e stop ]; do
        may_fail 0.2 $as_sick mqx send --nonblock sick "$(head -c 300 /dev/zero | tr '\0' x)"
        may_fail 0.2 $as_sick mqx recv --nonblock sick
        may_fail 0.2 $as_sick mqx stat sick || { may_fail 0.2 $as_sick mqx unlink sick; }
        may_fail 0.2 $as_sick mqx create --durable=sync --maxmsg=80 --msgsize=3000 sick
    done >sick.out 2>sick.err
}

# Numbers; those whose send returned 0 are on disk.
send_well() {
    local i=0
    while [ ! -e stop ]; do
        i=$((i + 1))
        $as_well timeout 60 mqx send well $i || echo "message $i: status $?" >>wrong
    done
    echo $i >sent
}

beside() { # KINDS [file]: scribble on it, the sick queue's segment if not said
    # What hammer makes is async: it does not wait for the disk.
    printf 'window = 1\n[sick]\ndurable = async\nmaxmsg = 80\nmsgsize = 3000\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    export MQX_STORE=$MQX_DIR.store # in memory: it is not the disk that is to be kept busy
    start_mqxd
    $as_sick mqx create --durable=async --maxmsg=80 --msgsize=3000 sick || no "cannot create a queue"
    $as_well mqx create --durable=sync --maxmsg=100000 well || no "cannot create a queue"
    expose "$1" "$2" /sick use_sick use_sick send_well
    ended "$mqxd" && no "mqxd ended: $(tail -n 5 mqxd.log)"
    [ "$(cat sent)" -gt 0 ] || no "nothing was sent to the healthy queue"
    echo "# $(cat sent) healthy messages, $(cat scribbled hammered | paste -sd ' '), mqxd said: $(sort -u mqxd.log |
        grep -c .) different things, such as: $(tail -n 1 mqxd.log)"
    kill_mqxd
    lose_memory
    start_mqxd # whatever it has stored of the sick queue
    mqx recv --nonblock --line --count "$(cat sent)" well >got || no "the healthy queue lacks messages"
    seq "$(cat sent)" | cmp -s - got || no "restored: $(head -c 100 got)"
    stop_mqxd
}

words() { beside bytes,words,flips,heal; }
sizes() { beside sizes,words,heal; }
# Of the doorbell, root's is everybody's to scribble on.
doorbell() {
    as_sick=$others as_well=$others
    beside bytes,sizes "$MQX_DIR/clients/bell-$(id -u)"
}
anothers() {
    as_sick=$others as_well="setpriv --reuid=1502 --regid=1502 --clear-groups"
    beside bytes,words,sizes,flips,heal
}

others=''
preload=$scratch/lib/libmqx_preload.so
case $BUILD in
*asan*) preload="$(${CC:-cc} -print-file-name=libasan.so) $preload" ;;
esac
[ "$(id -u)" != 0 ] || others="setpriv --reuid=1501 --regid=1501 --clear-groups"
try "a healthy queue beside one that is scribbled on" words
try "a healthy queue beside one that is cut off" sizes
try "while the doorbell is scribbled on and cut off" doorbell
try_as_root "another user's queue beside one that its user scribbles on" anothers
finish
