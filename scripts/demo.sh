#!/bin/bash
# make demo: mqx at work, each claim checked.  Everything happens in temporary
# directories; nothing stays mounted or running.

cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
PATH=$BUILD/bin:$BUILD/examples:$PATH

unset LD_PRELOAD MQX_LIMITS
work=$(mktemp -d "${TMPDIR:-/tmp}/mqx-demo.XXXXXX") || exit 1
memory=$(mktemp -d /dev/shm/mqx-demo.XXXXXX) || exit 1
export MQX_DIR=$memory MQX_STORE=$work/store MQX_MOUNT=$work/mqueue MQX_CONF=/dev/null
mkdir "$MQX_STORE" "$MQX_MOUNT"
mqxd=0 mqxfs=0

unmount() {
    grep -qF " $MQX_MOUNT fuse" /proc/mounts || return 0
    umount -l "$MQX_MOUNT" 2>/dev/null || fusermount3 -u -z "$MQX_MOUNT"
}

finish() {
    local pid
    trap - EXIT
    for pid in $(jobs -p); do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    unmount
    rm -rf "$work" "$memory"
}
trap finish EXIT
trap 'echo "demo: interrupted" >&2; exit 130' INT TERM HUP

die() {
    local said
    echo "demo: FAILED: $*" >&2
    for said in log out consumer; do
        [ -s "$work/$said" ] && sed "s/^/demo: $said: /" "$work/$said" >&2
    done
    exit 1
}

title() {
    printf '\n== %s\n' "$*"
}

say() { # a command, as if typed
    printf '$ %s\n' "$*"
}

# Repeat a command until it succeeds, for at most 20 seconds, and as long as there is hope.
await() { # what process command...
    local what=$1 process=$2 end=$((SECONDS + 20))
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$process" 2>/dev/null || "$@" >/dev/null 2>&1 || die "$what: it has ended"
        [ $SECONDS -lt $end ] || die "waited 20 seconds for $what"
        sleep 0.05
    done
}

expect() { # what wanted got
    [ "$2" = "$3" ] || die "$1: expected '$2', got '$3'"
}

field() { # queue key: from mqx stat
    mqx stat "$1" | sed -n "s/^$2: //p"
}

# --- both daemons -----------------------------------------------------------------------------

start_mqxd() {
    mqxd 2>>"$work/log" &
    mqxd=$!
    # A sync-durable queue can be made as soon as mqxd is there.
    await "mqxd to start" $mqxd mqx create --durable=sync mqxd-is-there
    mqx unlink mqxd-is-there || die "cannot remove a queue"
}

start_mqxfs() {
    mqxfs -f "$MQX_MOUNT" 2>>"$work/log" &
    mqxfs=$!
    await "mqxfs to mount $MQX_MOUNT" $mqxfs grep -qF " $MQX_MOUNT fuse" /proc/mounts
}

[ -e /dev/fuse ] || die "there is no /dev/fuse: 'modprobe fuse', or allow it in this container"
title "mqxd and mqxfs start (queues in $MQX_DIR, files in $MQX_MOUNT)"
start_mqxd
start_mqxfs
echo "mqxd runs as process $mqxd, mqxfs as $mqxfs"

# --- an unmodified program --------------------------------------------------------------------

busy_queue() { # a queue that a thousand messages went through
    local queue
    for queue in $(mqx ls); do
        [ "$(field "$queue" sent)" -gt 1000 ] && echo "$queue" && return 0
    done 2>/dev/null
    return 1
}

# Run it, show its queues while it runs, and its output.
unmodified() { # command...
    local program queue status
    say mqx run "$@"
    mqx run "$@" >"$work/out" 2>&1 &
    program=$!
    await "a thousand messages of $1 in a queue of mqx" $program busy_queue
    printf 'meanwhile, elsewhere:\n$ mqx ls -l\n'
    mqx ls -l
    queue=$(busy_queue) || die "the queue of $1 went away while it ran"
    say "mqx stat $queue | grep sent"
    mqx stat "$queue" | grep sent || die "the queue of $1 went away while it ran"
    wait $program
    status=$?
    printf 'and it says:\n'
    cat "$work/out"
    expect "the status of $1" 0 $status
    expect "the queues that $1 left" "" "$(mqx ls)"
}

title "stress-ng, as Debian ships it, has its message queue in mqx"
# Not its --mq: that one reads the state of its queue with read(), which mqx does not offer.
unmodified stress-ng --switch 1 --switch-method mq --timeout 3 --metrics-brief --temp-path "$work"
grep -Eq ' switch +[1-9][0-9.]* nanosecs per context switch \(mq method\)' "$work/out" ||
    die "stress-ng measured nothing"

# --- C producer, cat --------------------------------------------------------------------------

title "A C program sends with priorities; cat receives the highest first"
say "mqx run producer /news 1:weather 9:alarm 5:traffic"
mqx run producer /news 1:weather 9:alarm 5:traffic || die "the producer"
say "ls -l \$MQX_MOUNT"
ls -l "$MQX_MOUNT" || die "cannot list $MQX_MOUNT"
for wanted in alarm traffic weather; do
    say "cat \$MQX_MOUNT/news"
    got=$(timeout 20 cat "$MQX_MOUNT/news") || die "cat of the queue file"
    echo "$got"
    expect "cat received" $wanted "$got"
done

# --- echo, C consumer -------------------------------------------------------------------------

title "A shell sends with echo; a C program receives"
say "mqx run consumer /lines 2 &"
mqx run consumer /lines 2 >"$work/consumer" 2>&1 &
consumer=$!
await "the consumer to create its queue" $consumer test -e "$MQX_MOUNT/lines"
say "echo hello from the shell > \$MQX_MOUNT/lines"
echo hello from the shell >"$MQX_MOUNT/lines" || die "echo to the queue file"
say "echo and again >> \$MQX_MOUNT/lines"
echo and again >>"$MQX_MOUNT/lines" || die "echo to the queue file"
consumer_ended() {
    ! kill -0 $consumer
}
await "the consumer to receive two messages" $mqxfs consumer_ended
wait $consumer
expect "the status of the consumer" 0 $?
cat "$work/consumer"
expect "the consumer printed" "received with priority  0: hello from the shell
received with priority  0: and again" "$(cat "$work/consumer")"

# --- durability -------------------------------------------------------------------------------

title "A sync-durable queue survives what kills everything else"
say mqx create --durable=sync --maxmsg=100 --mode=0640 orders
mqx create --durable=sync --maxmsg=100 --mode=0640 orders || die "cannot create a durable queue"
say 'for i in $(seq 1 30); do mqx send -p $((i % 3)) orders "order $i"; done'
for i in $(seq 1 30); do
    mqx send -p $((i % 3)) orders "order $i" || die "cannot send order $i"
done
for priority in 2 1 0; do
    for i in $(seq 1 30); do
        [ $((i % 3)) -eq $priority ] && printf '%d\torder %d\n' $priority "$i"
    done
done >"$work/wanted"
say "mqx stat orders | grep -E 'messages|durable|mode'"
mqx stat orders | grep -E 'messages|durable|mode'
expect "messages in the queue" 30 "$(field orders messages)"

say "kill -KILL $mqxd $mqxfs; rm -r \$MQX_DIR/*    # mqxd, mqxfs, all shared memory"
{ # without the shell's own remarks on killed jobs
    kill -KILL $mqxd $mqxfs
    wait $mqxd $mqxfs
} 2>/dev/null
unmount
rm -rf "${MQX_DIR:?}"/*
mqx stat orders 2>/dev/null && die "the queue is still there, though its memory is gone"
echo "(gone)"
say "mqxd &"
start_mqxd
await "mqxd to restore the queue" $mqxd mqx stat orders
say "mqx ls -l"
mqx ls -l
expect "mode after the restore" 0640 "$(field orders mode)"
expect "maxmsg after the restore" 100 "$(field orders maxmsg)"
say "mqx recv --count=30 --timeout=20 --priority --line orders"
mqx recv --count=30 --timeout=20 --priority --line orders >"$work/got" || die "cannot receive"
sed -n '1,3p; 30p' "$work/got" | sed '3a ...'
cmp -s "$work/wanted" "$work/got" ||
    die "the restored messages differ: $(diff "$work/wanted" "$work/got" | head -5)"
echo "all 30 messages, in order"
expect "messages left" 0 "$(field orders messages)"

kill -TERM $mqxd
wait $mqxd
expect "the status of mqxd, told to end" 0 $?
title "Everything above was checked"
echo "demo: ok"
