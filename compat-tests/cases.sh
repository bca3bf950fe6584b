# shellcheck shell=bash
# What the shell cases share, whatever they are about; the lib.sh of a folder reads it with `.`.  A
# case is a function that says why it failed by calling `no`.  It runs in a directory of its own,
# with queues of its own in $MQX_DIR; what it leaves running or mounted is ended.

BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
unset LD_PRELOAD MQX_MOUNT
export MQX_CONF=/dev/null
umask 022
scratch=$(mktemp -d) || exit 1
memory=$(mktemp -d "${MQX_DIR:-/dev/shm}/mqx-cases.XXXXXX") || exit 1
chmod 755 "$scratch" "$memory" # cases act as other users, too
good=0 bad=0

end_all() { # directory of the case: end what it has in files *.pid, and unmount
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

says() { # text: is it in what the last `status` wrote to stderr?
    grep -qF -- "$1" err || no "stderr lacks '$1': $(cat err)"
}

await() { # what command...: until it succeeds, at most 60 seconds
    local what=$1 end=$((SECONDS + 60))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || no "waited 60 seconds for $what"
        sleep 0.01
    done
}

# Programs where other users can run them, who need not be able to reach what was built.
for_all() { # program...
    mkdir "$scratch/bin" "$scratch/lib"
    cp "$@" "$scratch/bin" && cp "$BUILD/lib/libmqx_preload.so" "$scratch/lib" || exit 1
    PATH=$scratch/bin:$PATH
}

# What a folder's library sets up around each case, in the case's directory.
run_case() { # function
    "$1"
}

try() { # name function
    case_dir=$scratch/$2
    mkdir "$case_dir" && mkdir -m 1777 "$memory/$2"
    if (cd "$case_dir" && export MQX_DIR=$memory/$2 && run_case "$2"); then
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

# If there is a command.
needs() { # command name function
    if command -v "$1" >/dev/null; then
        try "$2" "$3"
    else
        skip "$2" "$1 is not installed"
    fi
}

# As other users, or as root.
try_as_root() { # name function
    if [ "$(id -u)" -eq 0 ]; then
        try "$@"
    else
        skip "$1" "only root can"
    fi
}

# With a file system of its own.
try_with_mount() { # name function
    if unshare -m true 2>/dev/null; then
        try_as_root "$@"
    else
        skip "$1" "nothing can be mounted here"
    fi
}

finish() {
    if grep -qF " $scratch/" /proc/mounts; then
        echo "not ok - nothing is left mounted: $(grep -F " $scratch/" /proc/mounts)"
        bad=$((bad + 1))
    fi
    echo "$good passed, $bad failed"
    [ $bad -eq 0 ]
}
