#!/bin/bash
# What lies in $MQX_DIR is not what it should be: of another kind, empty, huge, unreadable, another
# user's.  Who needs it is told, and what does not need it goes on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../durable/lib.sh"

KINDS="directory full-directory link-to-file link-to-nothing link-to-itself link-to-directory fifo
    null zero block empty short garbage huge unreadable another-users"
# The short round.
[ "${HOSTILE_STRIDE:-12}" = 1 ] || KINDS="directory link-to-file fifo garbage another-users"

put() { # kind path user: in its place
    rm -rf "$2"
    case $1 in
    directory) mkdir "$2" ;;
    full-directory) mkdir "$2" "$2/in-it" ;;
    link-to-file) cp /etc/hostname "$case_dir/file" && ln -s "$case_dir/file" "$2" ;;
    link-to-nothing) ln -s "$case_dir/nothing" "$2" ;;
    link-to-itself) ln -s "$2" "$2" ;;
    link-to-directory) ln -s "$case_dir" "$2" ;;
    fifo) mkfifo "$2" ;;
    null) mknod "$2" c 1 3 ;;
    zero) mknod "$2" c 1 5 ;;
    block) mknod "$2" b 7 0 ;;
    empty) : >"$2" ;;
    short) head -c 100 /dev/zero >"$2" ;;
    garbage) head -c 100000 /dev/urandom >"$2" ;;
    huge) truncate -s 1T "$2" ;;
    unreadable) head -c 8192 /dev/zero >"$2" && chmod 0 "$2" ;;
    another-users) head -c 8192 /dev/zero >"$2" && chmod 666 "$2" ;;
    esac || no "cannot make a $1: $2"
    case $1 in
    another-users) chown 1502 "$2" ;;
    *) chown -h "$3" "$2" ;;
    esac
}

as() { # user command...
    local user=$1
    shift
    ends setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"
}

commands() { # user queue
    as "$1" mqx ls -l
    as "$1" mqx stat "$2"
    as "$1" mqx send --nonblock "$2" x
    as "$1" mqx recv --nonblock "$2"
}

works() { # user queue
    commands "$1" "$2"
    as "$1" mqx send --nonblock "$2" "all is well"
    as "$1" mqx recv --nonblock "$2"
    is "from queue $2" "all is well" "$(cat out)"
}

# The place of one queue's segment, or of its FIFO: the other queue works.
of_a_queue() { # place user
    local kind path
    for kind in $KINDS; do
        rm -rf "${MQX_DIR:?}"/*
        as "$2" mqx create q
        as "$2" mqx create well
        as "$2" mqx send q x
        path=$MQX_DIR/queues/q
        [ "$1" = queues ] || path=$(echo "$MQX_DIR/fifos/$(stat -c %i "$path")"-*)
        put "$kind" "$path" "$2"
        commands "$2" q
        works "$2" well
        as "$2" mqx create q
        as "$2" mqx unlink q
        grep -q damaged err && no "$kind in $1: 'mqx unlink' says: $(cat err)"
        works "$2" well
        as "$2" mqx create new
        works "$2" new
    done
}

segments() {
    of_a_queue queues 0
    of_a_queue queues 1501
}

fifos() {
    of_a_queue fifos 0
    of_a_queue fifos 1501
}

# A command that fails for the registry says so, not that the queue is damaged.
names_registry() { # user
    as "$1" mqx recv --nonblock q
    grep -q 'it is empty' err || grep -qF "then remove $MQX_DIR/clients/$1" err || [ ! -s err ] ||
        no "it says: $(cat err)"
}

# What all queues of a user need: it is said, and gone with its cause.
registry() {
    local kind user
    for user in 0 1501; do
        for kind in $KINDS; do
            rm -rf "${MQX_DIR:?}"/*
            as $user mqx create q
            put "$kind" "$MQX_DIR/clients/$user" $user
            commands $user q
            names_registry $user
            as $user mqx create new
            [ ! -e file ] || cmp -s /etc/hostname file || no "$kind: written to where the link leads"
            rm -rf "$MQX_DIR/clients/$user"
            works $user q
        done
    done
}

# mqxd's doorbell and lock file: volatile queues do not need them, nor does who sends to an async one.
mqxds_file() { # file
    local kind
    for kind in $KINDS; do
        rm -rf "${MQX_DIR:?}"/*
        mqx create --durable=async a 2>err || no "create: $(cat err)"
        mqx create v
        put "$kind" "$MQX_DIR/clients/$1-0" 0
        works 0 a
        works 0 v
        : >mqxd.log
        background timeout -s KILL 60 mqxd 2>mqxd.log
        mqxd=$!
        await "mqxd to be ready or to end" is_ready
        reported mqxd.log && no "mqxd: $(cat mqxd.log)"
        [ -s mqxd.log ] || no "$kind: mqxd ended and did not say why"
        works 0 a
        kill $mqxd 2>/dev/null
        wait $mqxd
    done
}

doorbell_file() {
    mqxds_file bell
}

lock_file() {
    mqxds_file mqxd
}

# While mqxd runs: it gets its doorbell back, and sync sends return.
while_it_runs() {
    local kind
    start_mqxd
    mqx create --durable=sync s || no "create"
    for kind in $KINDS; do
        put "$kind" "$MQX_DIR/gone/$kind" 0
        put "$kind" "$MQX_DIR/queues/$kind" 0
        put "$kind" "$MQX_DIR/tmp/$kind" 0
        mqx create --durable=async again && mqx unlink again || no "create and unlink"
        works 0 s
    done
    for size in 0 1 64 4096 8192 0; do
        truncate -s $size "$MQX_DIR/clients/bell-0"
        works 0 s
        head -c 64 /dev/urandom | dd of="$MQX_DIR/clients/bell-0" conv=notrunc status=none
        works 0 s
    done
    kill -0 $mqxd || no "mqxd ended: $(cat mqxd.log)"
    reported mqxd.log && no "mqxd: $(cat mqxd.log)"
    stop_mqxd
    start_mqxd # beside all that
    works 0 s
    stop_mqxd
}

if [ "$(id -u)" != 0 ]; then
    skip "hostile files" "only root can make devices and act as others"
    finish
    exit
fi
try "something else in a segment's place" segments
try "something else in a FIFO's place" fifos
try "something else in the registry's place" registry
try "something else in the doorbell's place" doorbell_file
try "something else in the place of mqxd's lock file" lock_file
try "something else beside a running mqxd" while_it_runs
finish
