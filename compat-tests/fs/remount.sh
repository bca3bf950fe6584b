#!/bin/bash
# However a mount with waiting readers and writers ends: they are told, none of them is left, and
# the next mount has all messages.
. "$(dirname "$0")/lib.sh"

# Readers, writers, one who reads another queue's message byte by byte.
crowd_up() {
    local i
    touch "$m/empty" "$m/full"
    for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >"$m/full"; done
    for i in 1 2 3 4 5; do
        background cat "$m/empty" 2>said.${i}a
        blocked $!
        background bash -c "echo lost >$m/full" 2>said.${i}b
        blocked $!
        background cat "$m/.drain/.prio/7/full" "$m/.stream/empty" 2>said.${i}c
        blocked $!
        background perl -e 'open(F, "<", $ARGV[0]) or die;
            open(P, ">>", "polling"); print P "up\n"; close(P);
            vec(my $r = "", fileno(F), 1) = 1;
            select($r, undef, undef, undef); sysread(F, $x, 1) or die "$!\n"' \
            "$m/empty" 2>said.${i}d
    done
    await "those that poll" eval '[ "$(wc -l <polling)" -eq 5 ]'
    printf message >"$m/held"
    background perl -e '$| = 1; open(F, "<", $ARGV[0]); sysread(F, $x, 1); print "$x\n";
        sleep 1 while sysread(F, $x, 0) == 0 && !-e "over"' "$m/held" >held
    await "the first byte" test -s held
}

all_have_ended() {
    local pid
    touch over
    for pid in $(started); do
        await "process $pid to end" eval "! kill -0 $pid || grep -q 'State:.Z' /proc/$pid/status"
        wait "$pid" && succeeded=$((succeeded + 1))
    done
    # The one that reads byte by byte may end as it likes.
    [ $succeeded -le "${may_succeed:-1}" ] || no "$succeeded of them were not told: $(sort said.* | uniq -c)"
}

nothing_is_lost() {
    is "the full queue" "$(seq 10 | xargs)" "$(for _ in $(seq 10); do cat "$m/.nonblock/full"; done | xargs)"
    is "the held message" message "$(cat "$m/.nonblock/held")"
    fails "Resource temporarily unavailable" cat "$m/.nonblock/full"
    fails "Resource temporarily unavailable" cat "$m/.nonblock/empty"
}

# how: a command; then mqxfs is mounted at the same place.
ends() { # command...
    local succeeded=0
    crowd_up
    "$@" || no "'$*' failed"
    all_have_ended
    cat said.* >said # from a file each: they write their lines in pieces
    grep -qE "not connected|connection abort|Input/output" said || no "they were told: $(cat said)"
    grep -vqE "not connected|connection abort|Input/output" said && no "they were told: $(sort said | uniq -c)"
    wait $fs 2>/dev/null
    rm -f mqxfs.err said said.* over held polling
    mount_it
    nothing_is_lost
    rm -f mqxfs.err # it says what it found there
    rm "$m/empty" "$m/full" "$m/held"
}

by_sigterm() {
    ends kill -TERM $fs
}

by_sigkill() {
    local round
    for round in 1 2 3; do
        ends kill -KILL $fs
    done
}

# Stopped, it answers nobody; then it is killed.
by_sigkill_when_stopped() {
    ends eval 'kill -STOP $fs && kill -KILL $fs'
}

# umount -f tears the connection down first.
by_force() {
    ends eval 'umount -f "$m" || umount -l "$m"'
}

# It is out of sight, and serves those who wait until they are through.
lazily() {
    crowd_up
    umount -l "$m" || no "umount -l failed"
    kill -0 $fs || no "mqxfs ended before its readers"
    kill -TERM $fs
    may_succeed=21 succeeded=0
    all_have_ended
    wait $fs
    rm -f mqxfs.err
    mount_it
    nothing_is_lost
}

# Who cannot unmount it is told who can.
another_users_dead_mount() {
    local status
    kill -KILL $fs
    wait $fs 2>/dev/null
    rm -f mqxfs.err
    chmod 777 .
    setpriv --reuid=1501 --regid=1501 --clear-groups mqxfs -f "$m" >said 2>&1
    status=$?
    is "status" 1 $status
    grep -q "umount" said || no "it does not say what to do: $(cat said)"
    mount_it
    rm -f mqxfs.err
}

try "SIGTERM under those who wait" by_sigterm
try "SIGKILL under those who wait" by_sigkill
try "SIGKILL of one that is stopped" by_sigkill_when_stopped
try_as_root "umount -f under those who wait" by_force
try_as_root "umount -l, then SIGTERM" lazily
try_as_root "a dead mount of another's" another_users_dead_mount
finish
