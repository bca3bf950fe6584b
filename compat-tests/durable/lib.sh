# shellcheck shell=bash
# What the durability cases share.  Read with `.`; cases are as in compat-tests/cases.sh, and each has
# a store of its own in $MQX_STORE.

. "$(dirname "${BASH_SOURCE[0]}")/../cases.sh"
for_all "$BUILD"/bin/mqx{,d} "$BUILD"/examples/{producer,consumer}

run_case() { # function
    export MQX_STORE=$case_dir/store
    "$1"
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

messages() { # queue
    mqx stat "$1" | sed -n 's/^messages: //p'
}

configure() { # line...: of mqx.conf
    printf '%s\n' "$@" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
}

made() { # name: a sync queue, with a running mqxd
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=100 "$1"
}

# LMDB's number of the last transaction, which is the higher one of its two meta pages, and the
# journal's records, which all begin with the first one's nonce, each on a page.
transactions() {
    local a b records
    a=$(od -An -t u8 -j 144 -N 8 "$MQX_STORE/data.mdb")
    b=$(od -An -t u8 -j 4240 -N 8 "$MQX_STORE/data.mdb")
    records=$(od -An -v -t u8 -w4096 "$MQX_STORE/journal" 2>/dev/null |
        awk 'NR == 1 { nonce = $1 } $1 != 0 && $1 == nonce { n++ } END { print n + 0 }')
    echo $(((a > b ? a : b) + records))
}

rests() {
    await "mqxd to rest" is_asleep "$mqxd"
}

numbers() { # queue: of the messages in it
    while mqx recv --nonblock --line "$1" 2>/dev/null; do :; done | sed 's/[.].*//' | paste -sd ' '
}

# Removals are committed: the store has changed, and mqxd rests until it looks for room again.
has_changed() { # transactions before
    [ "$(transactions)" != "$1" ] && is_asleep "$mqxd"
}

ended() { # pid
    ! kill -0 "$1"
}
