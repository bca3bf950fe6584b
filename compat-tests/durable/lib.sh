# shellcheck shell=bash
# What the durability cases share.  Read with `.`; a case is a function that
# says why it failed by calling `no`.  It runs in a directory of its own, with
# queues of its own in $MQX_DIR and a store of its own in $MQX_STORE; what it
# leaves running is ended.

BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
unset LD_PRELOAD MQX_MOUNT
export MQX_CONF=/dev/null
umask 022
scratch=$(mktemp -d) || exit 1
memory=$(mktemp -d "${MQX_DIR:-/dev/shm}/mqx-durable.XXXXXX") || exit 1
chmod 755 "$scratch" "$memory" # cases act as other users, too
# Programs where other users can run them.
mkdir "$scratch/bin"
cp "$BUILD"/bin/mqx "$BUILD"/bin/mqxd "$BUILD"/examples/{producer,consumer} "$scratch/bin"
mkdir "$scratch/lib" && cp "$BUILD/lib/libmqx_preload.so" "$scratch/lib"
PATH=$scratch/bin:$PATH
good=0 bad=0

end_all() { # directory of the case: end what it started
    local pid
    for pid in $(cat "$1"/*.pid 2>/dev/null); do
        kill -KILL "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null
    done
    while read -r _ mount _; do
        case $mount in "$1"/*) umount -l "$mount" ;; esac
    done </proc/mounts
}

leave() {
    local dir
    for dir in "$scratch"/*/; do
        end_all "${dir%/}"
    done
    rm -rf "$scratch" "$memory"
}
trap leave EXIT
trap 'exit 130' INT TERM

no() { # why: the case failed
    echo "$*" >"$case_dir/why"
    exit 1
}

is() { # what wanted got
    [ "$2" = "$3" ] || no "$1: wanted '$2', got '$3'"
}

# status WANTED COMMAND...: run it, output in the files out and err.
status() {
    local wanted=$1 got
    shift
    "$@" >out 2>err
    got=$?
    [ $got -eq "$wanted" ] || no "'$*' ended with $got, not $wanted: $(cat err)"
}

await() { # what command...: until it succeeds, at most 60 seconds
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || no "waited 60 seconds for $what"
        sleep 0.01
    done
}

background() { # command...: run it; $! is its process
    "$@" &
    echo $! >"$case_dir/$!.pid"
}

is_ready() {
    grep -qx 'mqxd: ready' mqxd.log || ! kill -0 "$mqxd"
}

# shellcheck disable=SC2120 # options are rare
start_mqxd() { # option...
    : >mqxd.log
    background mqxd "$@" 2>mqxd.log
    mqxd=$!
    await "mqxd to be ready" is_ready
    grep -qx 'mqxd: ready' mqxd.log || no "mqxd did not start: $(cat mqxd.log)"
}

stop_mqxd() {
    kill -TERM "$mqxd"
    wait "$mqxd" || no "mqxd ended with $?: $(cat mqxd.log)"
}

kill_mqxd() {
    kill -KILL "$mqxd"
    wait "$mqxd" 2>/dev/null
}

# As after a reboot: nothing is left in memory.
lose_memory() {
    rm -rf "${MQX_DIR:?}"/*
}

# Does the process sleep on a futex?  (futex, futex_waitv)
is_asleep() { # pid
    local call
    read -r call _ <"/proc/$1/syscall" 2>/dev/null && case $(uname -m):$call in
    x86_64:202 | *:98 | *:449) true ;;
    *) false ;;
    esac
}

# Has mqxd committed a message with this text?  It is in the file, and mqxd, which does nothing
# else while it commits, sleeps again.
is_stored() { # text
    in_store "$1" && is_asleep "$mqxd"
}

in_store() { # text: on disk, whether it counts any longer or not
    cat "$MQX_STORE"/{data.mdb,journal} 2>/dev/null | grep -qaF -- "$1"
}

try() { # name function
    case_dir=$scratch/$2
    mkdir "$case_dir" && mkdir -m 1777 "$memory/$2"
    if (cd "$case_dir" && export MQX_DIR=$memory/$2 MQX_STORE=$case_dir/store && "$2"); then
        echo "ok - $1"
        good=$((good + 1))
    else
        echo "not ok - $1: $(cat "$case_dir/why" 2>/dev/null || echo "it stopped")"
        sed 's/^/    | /' "$case_dir/mqxd.log" 2>/dev/null
        bad=$((bad + 1))
    fi
    end_all "$case_dir"
}

skip() { # name why
    echo "skip - $1: $2"
}

finish() {
    echo "$good passed, $bad failed"
    [ $bad -eq 0 ]
}
