# What the file cases share.  Read with `.`; a case is a function that says why
# it failed by calling `no`.  It runs in a directory of its own, with queues of
# its own in $MQX_DIR and an mqxfs of its own on $m, which `try` ends and
# unmounts however the case ends.

BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
PATH=$BUILD/bin:$PATH
unset LD_PRELOAD MQX_MOUNT
export MQX_CONF=/dev/null
umask 022
scratch=$(mktemp -d) || exit 1
memory=$(mktemp -d "${MQX_DIR:-/dev/shm}/mqx-fs.XXXXXX") || exit 1
chmod 755 "$scratch" "$memory" # cases act as other users, too
good=0 bad=0
# By itself, where a mount is detached at the very moment in which it reads a request.
libfuse_says='fuse: reading device: Software caused connection abort'

# End the case's mqxfs and whatever else it left running, and unmount.
clean_up() { # directory of the case
    local pid
    for pid in $(cat "$1"/*.pid 2>/dev/null); do
        kill -KILL "$pid" 2>/dev/null
    done
    while read -r _ mount _; do
        case $mount in "$1"/*) umount -l "$mount" ;; esac
    done </proc/mounts
}

leave() {
    local dir
    for dir in "$scratch"/*/; do
        clean_up "${dir%/}"
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

fails() { # errno text, command...: it fails, and says so
    local text=$1
    shift
    LC_ALL=C "$@" >/dev/null 2>err && no "'$*' succeeded"
    grep -qF "$text" err || no "'$*' did not say '$text': $(cat err)"
}

await() { # what command...: until it succeeds, at most 60 seconds
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || no "waited 60 seconds for $what"
        sleep 0.01
    done
}

# Not ignoring SIGINT, as the shell makes its background jobs.
background() { # command...: run it; $! is its process
    env --default-signal=INT "$@" &
    echo $! >"$case_dir/$!.pid"
}

# The processes that `background` started.
started() {
    jobs -p | grep -vx "$fs"
}

wait_for_all() {
    local pid
    for pid in $(started); do
        wait "$pid"
    done
}

case $(uname -m) in
x86_64) reads=0 writes=1 ;;
*) reads=63 writes=64 ;; # the numbers of newer architectures
esac

# Is the process in a read or write that mqxfs has not answered?
is_blocked() { # pid
    local call
    read -r call _ <"/proc/$1/syscall" && { [ "$call" = $reads ] || [ "$call" = $writes ]; } &&
        grep -q request_wait_answer "/proc/$1/wchan"
}

blocked() { # pid: wait until it is
    await "process $1 to block" is_blocked "$1"
}

# Mounted, and not by one that died.
mounted() {
    grep -qF " $m fuse.mqxfs " /proc/mounts && stat "$m" >/dev/null 2>&1
}

# First that it answers: a mount whose mqxfs was killed does not, and stands there until the next
# mqxfs removes it.
serving() {
    ls "$m" && mounted
}

mount_it() { # option...
    mqxfs -f "$@" "$m" 2>>mqxfs.err &
    fs=$!
    echo $fs >"$case_dir/mqxfs.pid"
    await "the mount" serving
}

unmount_it() {
    umount "$m" || no "umount failed"
    wait $fs || no "mqxfs ended with $?: $(cat mqxfs.err)"
}

run_case() { # function
    mkdir "$m" || no "mkdir failed"
    mount_it
    "$1"
    [ ! -e mqxfs.err ] || ! grep -vqxF "$libfuse_says" mqxfs.err || no "mqxfs said: $(cat mqxfs.err)"
}

try() { # name function
    case_dir=$scratch/$2 m=$scratch/$2/m
    mkdir "$case_dir" && mkdir -m 1777 "$memory/$2"
    if (cd "$case_dir" && MQX_DIR=$memory/$2 && export MQX_DIR && run_case "$2"); then
        echo "ok - $1"
        good=$((good + 1))
    else
        echo "not ok - $1: $(cat "$case_dir/why" 2>/dev/null || echo "it stopped")"
        bad=$((bad + 1))
    fi
    clean_up "$case_dir"
}

skip() { # name why
    echo "skip - $1: $2"
}

finish() {
    if grep -qF " $scratch/" /proc/mounts; then
        echo "not ok - nothing is left mounted: $(grep -F " $scratch/" /proc/mounts)"
        bad=$((bad + 1))
    fi
    echo "$good passed, $bad failed"
    [ $bad -eq 0 ]
}

if ! (exec 3<>/dev/fuse) 2>/dev/null; then
    skip "$(basename "$0")" "/dev/fuse cannot be opened"
    echo "0 passed, 0 failed"
    exit 0
fi
