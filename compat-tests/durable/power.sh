#!/bin/bash
# Errors of the disk, and power cuts at chosen moments, on a file system of our own (cutfs).
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ] || ! (exec 3<>/dev/fuse) 2>/dev/null; then
    skip "errors of the disk" "a file system of our own needs root, and /dev/fuse"
    exit 0
fi

# Several power failures and errors are by chance.
seed=${SEED:-$RANDOM}
echo "# SEED=$seed"

order() { # word... for cutfs
    echo "$*" >disk/.control || no "cutfs does not obey '$*'"
}

mount_disk() {
    mkdir disk
    background "$BUILD/test/cutfs" "$PWD/disk"
    await "cutfs" grep -q ^on disk/.control
    order seed "$seed"
    order keep nothing
    MQX_STORE=$PWD/disk
}

power_cycle() {
    order cut
    order on
}

ended() { # pid
    ! kill -0 "$1" 2>/dev/null
}

# mqxd stops, and says so.
await_stop() { # text
    await "mqxd to stop" ended "$mqxd"
    wait "$mqxd"
    is "mqxd's exit status" 1 $?
    grep -q "mqxd: store .*$1" mqxd.log || no "it did not say '$1': $(cat mqxd.log)"
}

forgets() {
    mount_disk
    echo one >disk/a
    power_cycle
    [ ! -e disk/a ] || no "a name was not lost"
    echo one >disk/a
    sync disk/a
    power_cycle
    [ ! -e disk/a ] || no "a name was not lost, although only its file was synced"
    echo one >disk/a
    sync disk
    power_cycle
    is "size of what was not synced" 0 "$(stat -c %s disk/a)"
    dd if=/dev/zero of=disk/a bs=5000 count=1 conv=fsync status=none
    echo two | dd of=disk/a conv=notrunc status=none # not synced
    echo six | dd of=disk/a seek=1 bs=512 oflag=dsync conv=notrunc status=none
    power_cycle
    is "what was synced" 5000 "$(stat -c %s disk/a)"
    is "what was written before what is synced by itself" 0 "$(head -c 512 disk/a | tr -d '\0' | wc -c)"
    is "what is synced by itself" six "$(tail -c +513 disk/a | head -c 3)"
    exec 5<disk/a
    power_cycle
    cat <&5 >out 2>err && no "a file stayed open without power"
    exec 5<&-
}

change() { # message or queue
    case $1 in
    message) mqx send q "message 4" ;;
    queue) mqx create --durable=sync another ;;
    esac
}

# What was acknowledged is there after an error, a start, and a power failure, and what was refused
# is not.
after_error() { # order for the error, what mqxd says, what is changed then, messages before that
    local i sent last=${4-3}
    mount_disk
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=100 q
    for i in $(seq "$last"); do
        status 0 mqx send q "message $i"
    done
    [ "$last" = 1 ] || status 0 mqx recv q
    await "mqxd to rest" is_asleep "$mqxd"
    order "$1"
    background change "$3" 2>err
    sender=$!
    await_stop "$2"
    start_mqxd
    wait $sender
    sent=$?
    status 0 mqx send q "message 5"
    kill_mqxd
    power_cycle
    lose_memory
    start_mqxd
    status 0 mqx store check
    status 0 mqx recv --nonblock --line --count "$(mqx stat q | sed -n 's/^messages: //p')" q
    is "messages" "$(
        seq -f 'message %g' $((last == 1 ? 1 : 2)) "$last"
        [ "$3" != message ] || [ $sent != 0 ] || echo "message 4"
        echo "message 5"
    )" "$(cat out)"
}

write_fails() {
    after_error "fail-write 1" "cannot be written" message
}

sync_fails() {
    after_error "fail-sync 1" "cannot be written" message
}

# For a new queue, what the journal has is moved into the database first.
settle_fails() {
    after_error "fail-write 1" "cannot be written" queue
}

settle_sync_fails() { # LMDB syncs the pages, and then writes a head
    after_error "fail-sync 1" "cannot be written" queue
}

head_fails() {
    after_error "fail-sync 2" "cannot be written" queue
}

# The journal is made for the second commit.
making_fails() {
    after_error "fail-write 1" "cannot be made" message 1
}

making_sync_fails() {
    after_error "fail-sync 1" "cannot be made" message 1
}

# What mqxd could not write, nor take back, may be on the disk, though nobody sees it there.  Then a
# power failure brings it back, when it must not count any more.
reappears() {
    MQX_STORE=$PWD/store
    start_mqxd
    status 0 mqx create --durable=sync gone
    status 0 mqx create --durable=sync stays
    for i in 1 2 3; do
        status 0 mqx send gone "message $i"
    done
    kill_mqxd
    cp store/journal journal
    is "the journal's first record" 1 "$(head -c 4096 journal | grep -ca 'message')"
    dd if=/dev/zero of=store/journal bs=4096 count=2 conv=notrunc status=none
    status 0 mqx unlink gone
    start_mqxd
    kill_mqxd
    cp journal store/journal
    status 0 mqx store check
    lose_memory
    start_mqxd
    is "queues" stays "$(mqx ls)"
}

try "cutfs forgets what was not synced, and no more" forgets
try "nothing is forgotten after an error of a write" write_fails
try "... of a sync" sync_fails
try "... of a write into the database" settle_fails
try "... of the sync of that" settle_sync_fails
try "... of the sync of a head" head_fails
try "... of a write when the journal is made" making_fails
try "... of the sync of that" making_sync_fails
try "what was not written, and reappears, does not count" reappears
finish
