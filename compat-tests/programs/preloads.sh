#!/bin/bash
# Beside other preloaded libraries, that stand before calls on files and send
# messages from there: mqx makes no such calls that they would see.
. "$(dirname "$0")/../builds/lib.sh"
programs=$root/compat-tests/programs
for_all "$BUILD/bin/mqx"
MQX=$scratch/lib/libmqx_preload.so

compiled() {
    build wrapper.so -shared -fPIC -O1 -Wno-builtin-declaration-mismatch "$programs/wrapper.c" -ldl
    build wrapped -D_GNU_SOURCE "$programs/wrapped.c" -ldl -lrt
}

tells() { # libraries: were the program's calls on files, and no others, told of by messages?
    rm -rf "${MQX_DIR:?}"/*
    status 0 timeout 60 env LD_PRELOAD="$1" ./wrapped
    is "the program's queue is in mqx" left "$(mqx recv --nonblock queue 2>&1)"
    is "the wrapper's messages" "geteuid open fstat stat chown close" \
        "$(mqx recv --nonblock --line --count=6 wrapped 2>&1 | grep -o '^[a-z]*' | paste -sd ' ')"
}

before_and_behind() {
    compiled
    MQX_CONF=$PWD/conf
    export MQX_CONF
    printf '[*]\nmaxmsg = 10\n' >conf
    tells "$MQX:$PWD/wrapper.so"
    tells "$PWD/wrapper.so:$MQX"
}

# As a user who is not root, and whom fakeroot lets believe that.
as_nobody() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
    else
        "$@"
    fi
}

faked_root() { # command that runs the program
    rm -rf "${MQX_DIR:?}"/*
    status 0 as_nobody timeout 60 "$@" sh -c './wrapped --unseen; id -u; stat -c %u file'
    is "it believes to be root" "0 0" "$(paste -sd ' ' out)"
    is "its queue is in mqx" "left" "$(as_nobody mqx recv --nonblock queue 2>&1)"
}

fakeroot_too() {
    compiled
    chmod 777 .
    # Its daemon is outside, and speaks through a System V queue of the kernel's.
    faked_root fakeroot env MQX_SYSV=kernel mqx run
    rm -f file
    faked_root mqx run fakeroot
}

try "a library that sends from its wrappers of open, stat, chown, close" before_and_behind
needs fakeroot "fakeroot, before and behind mqx" fakeroot_too
finish
