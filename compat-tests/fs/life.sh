#!/bin/bash
# mqxfs begins, ends, dies and comes back.
. "$(dirname "$0")/lib.sh"

# A reader that has read the first byte of a message and keeps the file open.
hold_one() { # queue
    background perl -e '$| = 1; open(F, "<", $ARGV[0]); sysread(F, $x, 1); print "$x\n"; sleep 600' \
        "$1" >held
    await "the first byte" test -s held
}

ends_with_its_mount() {
    echo x >"$m/q"
    unmount_it
    is "the message is still there" x "$(mqx recv q)"
}

ends_by_signal() {
    local reader writer signal
    for signal in TERM INT HUP; do
        touch "$m/q" "$m/full" "$m/held"
        for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >"$m/full"; done
        background cat "$m/q" 2>reader.err
        reader=$!
        background bash -c "echo x >$m/full" 2>writer.err
        writer=$!
        blocked $reader
        blocked $writer
        printf message >"$m/held"
        hold_one "$m/held"
        kill -$signal $fs
        wait $fs || no "it ended with $? by SIG$signal: $(cat mqxfs.err)"
        mounted && no "it is still mounted"
        wait $reader && no "the blocked cat succeeded"
        grep -q "Transport endpoint is not connected" reader.err || no "cat said: $(cat reader.err)"
        wait $writer && no "the blocked echo succeeded"
        is "the full queue" "$(seq 10 | xargs)" "$(mqx recv --count 10 full | xargs)"
        is "the held message" message "$(mqx recv --nonblock held)"
        mqx unlink q
        mqx unlink full
        mqx unlink held
        mount_it
    done
}

killed_and_mounted_again() {
    local reader round
    for round in 1 2 3; do
        echo one >"$m/q"
        echo two >"$m/q"
        touch "$m/empty"
        hold_one "$m/q"
        background cat "$m/empty" 2>reader.err
        reader=$!
        blocked $reader
        kill -KILL $fs
        wait $fs 2>/dev/null
        wait $reader && no "the blocked cat succeeded"
        fails "Transport endpoint is not connected" ls "$m"
        rm mqxfs.err
        mount_it
        grep -q "is left from a filesystem that died" mqxfs.err || no "it said: $(cat mqxfs.err)"
        is "what was held" one "$(cat "$m/q")"
        is "what was not" two "$(cat "$m/q")"
        is "once" "" "$(dd if="$m/q" iflag=nonblock 2>/dev/null)"
    done
    rm mqxfs.err
}

lazily_unmounted() {
    local reader
    touch "$m/q"
    background cat "$m/q" >got
    reader=$!
    blocked $reader
    fails "busy" umount "$m"
    umount -l "$m" || no "umount -l failed"
    mqx send q last
    wait $reader || no "the reader failed"
    is "got" last "$(cat got)"
    wait $fs || no "mqxfs ended with $?"
}

is_a_daemon() {
    unmount_it
    # Relative paths are as good: it works in another directory.
    mkdir queues
    MQX_DIR=queues MQX_MOUNT=m mqxfs >out 2>&1 </dev/null || no "it failed: $(cat out)"
    mounted || no "not mounted when it returned"
    touch "$m/q"
    is "in the right place" q "$(MQX_DIR=queues mqx ls | grep -ow q)"
    pgrep -f "mqxfs" -u "$(id -u)" | while read -r pid; do
        grep -sqzx MQX_MOUNT=m "/proc/$pid/environ" && echo "$pid"
    done >daemon.pid
    is "one daemon" 1 "$(wc -l <daemon.pid)"
    is "which stands in /" / "$(readlink "/proc/$(cat daemon.pid)/cwd")"
    kill -TERM "$(cat daemon.pid)"
    await "it to unmount" eval '! mounted'
}

# Its output goes to a full disk; what has none does not notice.
fails_with() { # status text command...
    local status=$1 text=$2
    shift 2
    LC_ALL=C "$@" >/dev/full 2>err
    is "status of '$*'" "$status" $?
    grep -qF "$text" err || no "'$*' did not say '$text': $(cat err)"
}

# What was given makes no sense.
refuses() { # text argument...
    local text=$1
    shift
    fails_with 2 "$text" mqxfs "$@"
    grep -q "^mqxfs: .*; see 'mqxfs --help'$" err || no "'$*' names no help: $(cat err)"
}

says_what_is_wrong() {
    mqxfs --help | grep -q "usage: mqxfs" || no "--help"
    is "--version" "$(mqx --version | cut -d ' ' -f 2)" "$(mqxfs --version | cut -d ' ' -f 2)"
    fails_with 1 "No space left" mqxfs --help
    fails_with 1 "No space left" mqxfs --version
    refuses "no mount point"
    refuses "more than one" a b c
    refuses "unknown option" -f --nonsense "$m"
    refuses "unknown option" -f -o nonsense "$m"
    refuses "missing argument" "$m" -o
    fails_with 1 "cannot mount on none: No such file" mqxfs -f none
    touch file
    MQX_DIR=$PWD/file fails_with 1 "MQX_DIR" mqxfs -f "$m"
}

try "umount ends it" ends_with_its_mount
try "SIGTERM, SIGINT, SIGHUP" ends_by_signal
try "killed and mounted again" killed_and_mounted_again
try "umount -l while a reader waits" lazily_unmounted
try "a daemon, with relative paths" is_a_daemon
try "says what is wrong" says_what_is_wrong
finish
