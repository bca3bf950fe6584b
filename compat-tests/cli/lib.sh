# shellcheck shell=bash
# What the command line's cases share.  Read with `.`; a case is a function
# that says why it failed by calling `no`, in a directory of its own.

BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
PATH=$BUILD/bin:$BUILD/examples:$PATH
unset LD_PRELOAD
export MQX_CONF=/dev/null
scratch=$(mktemp -d) || exit 1
memory=$(mktemp -d /dev/shm/mqx-cli.XXXXXX) || exit 1
trap 'rm -rf "$scratch" "$memory"' EXIT
trap 'exit 130' INT TERM
good=0 bad=0

no() { # why: the case failed
    echo "$*" >why
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

try() { # name function
    local dir=$scratch/$2
    mkdir "$dir" && mkdir -m 1777 "$memory/$2"
    if (cd "$dir" && MQX_DIR=$memory/$2 && export MQX_DIR && "$2"); then
        echo "ok - $1"
        good=$((good + 1))
    else
        echo "not ok - $1: $(cat "$dir/why" 2>/dev/null || echo "it stopped")"
        bad=$((bad + 1))
    fi
}

await() { # what command...: until it succeeds, at most 20 seconds
    local what=$1 end=$((SECONDS + 20))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || no "waited 20 seconds for $what"
        sleep 0.02
    done
}

finish() {
    echo "$good passed, $bad failed"
    [ $bad -eq 0 ]
}
