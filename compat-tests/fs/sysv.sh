#!/bin/bash
# System V queues as files: in a directory of their own, by id, key and type.
. "$(dirname "$0")/lib.sh"

# The status of a process in the background, once it has ended.
ended() { # pid
    await "process $1 to end" eval "! kill -0 $1"
    wait "$1"
}

make_queue() { # ipcmk's options: $id is its id, $f its file
    id=$(mqx run ipcmk -Q "$@" | grep -o '[0-9]*$') && [ -n "$id" ] || no "ipcmk failed"
    f=$m/.sysv/$id
}

stands_in_its_directory() {
    is "hidden from ls" "" "$(ls "$m")"
    is "beside the queues" ".help .sysv" "$(ls -A "$m" | xargs)"
    is "no queues" "" "$(ls -A "$m/.sysv")"
    make_queue
    touch "$m/posix"
    is "one queue" "$id" "$(ls -A "$m/.sysv")"
    is "found by find" "./.sysv/$id" "$(cd "$m" && find . -name "$id")"
    is "two kinds" ".help .sysv posix" "$(ls -A "$m" | paste -sd ' ')"
    mqx run ipcrm -q "$id"
    is "removed" "" "$(ls -A "$m/.sysv")"
    fails "No such file or directory" cat "$f"
}

shows_attributes() {
    make_queue -p 0640
    is "owner, mode, size" "-rw-r----- 1 $(id -un) $(id -gn) 0" "$(ls -l "$f" | cut -d ' ' -f 1-5)"
    mqx send ".sysv/$id" 12345
    is "queued bytes" 5 "$(stat -c %s "$f")"
    chmod 604 "$f" || no "chmod failed"
    is "in mqx stat" "mode: 0604" "$(mqx stat ".sysv/$id" | grep ^mode)"
    touch "$f" || no "touch of an existing queue failed"
}

carries_types() {
    make_queue
    echo plain >"$f" || no "a write failed"
    echo seven >"$f.7" && echo three >>"$f.3" || no "a write with a type failed"
    is "as mqx recv sees them" "1 plain,7 seven,3 three" \
        "$(mqx recv --count 3 -p ".sysv/$id" | tr '\t\n' ' ,' | sed 's/,$//')"
    echo plain >"$f" && echo seven >"$f.7" && echo three >"$f.3"
    is "by type" seven "$(cat "$f.7")"
    is "the lowest type" plain "$(cat "$f.-4")"
    is "the first" three "$(cat "$f")"
    echo x >one
    fails "Invalid argument" dd if=one of="$f.-4"
    is "nothing is left" 0 "$(stat -c %s "$f")"
}

is_known_by_key() {
    local key
    make_queue
    key=$(mqx stat ".sysv/$id" | sed -n 's/^key: //p')
    echo "by key" >"$m/.sysv/$key.5"
    is "by id and type" "by key" "$(cat "$f.5")"
    fails "No such file or directory" cat "$m/.sysv/0x00000001"
}

waits_for_its_own() {
    make_queue
    background cat "$f.2" >two
    two=$!
    blocked $two
    background cat "$f.3" >three
    three=$!
    blocked $three
    background cat "$f" >any
    any=$!
    blocked $any
    mqx send --type=3 ".sysv/$id" "for three"
    ended $three || no "the reader of type 3 failed"
    is "while the first waits" "for three" "$(cat three)"
    mqx send --type=9 ".sysv/$id" "for any"
    ended $any || no "the reader of any type failed"
    is "any" "for any" "$(cat any)"
    is_blocked $two || no "the reader of type 2 does not wait any more: $(cat two)"
    echo "for two" >"$f.2"
    ended $two || no "the reader of type 2 failed"
    is "at last" "for two" "$(cat two)"
    dd if="$f.2" iflag=nonblock of=/dev/null 2>err && no "a read of nothing succeeded"
    grep -q "Resource temporarily unavailable" err || no "it said: $(cat err)"
}

waits_for_room() {
    printf '[.sysv/*]\nmaxmsg = 2\n' >mqx.conf
    MQX_CONF=$PWD/mqx.conf make_queue
    mqx send ".sysv/$id" a && mqx send ".sysv/$id" b
    background sh -c "echo c >'$f.4'"
    writer=$!
    await "it to block" eval 'is_blocked $(pgrep -P $writer || echo $writer)'
    is "first" a "$(cat "$f")"
    ended $writer || no "the writer failed"
    is "its type" "4	c" "$(mqx recv -p --type=4 ".sysv/$id")"
}

is_removed() {
    make_queue
    background cat "$f" 2>err
    reader=$!
    blocked $reader
    rm "$f" || no "rm failed"
    ended $reader && no "the reader of a removed queue succeeded"
    grep -q "Identifier removed" err || no "it said: $(cat err)"
    is "gone" "" "$(mqx ls)$(ls -A "$m/.sysv")"
    make_queue
    fails "Operation not permitted" rm "$f.1"
    exec 5<>"$f"
    mqx unlink ".sysv/$id"
    sh -c 'echo x >&5' 2>err && no "a write to a removed queue succeeded"
    grep -qE "Identifier removed|I/O error" err || no "it said: $(cat err)"
    exec 5>&-
}

gives_back() {
    make_queue
    echo "the first" >"$f.6" && echo "the second" >"$f.6"
    is "its beginning" the "$(head -c 3 "$f.6")"
    is "whole" "the first" "$(cat "$f.6")"
    is "next" "the second" "$(cat "$f.6")"
}

survives_mqxfs() {
    make_queue
    echo "held by the dead" >"$f.6" && echo next >"$f.6"
    exec 6<"$f.6"
    head -c 4 <&6 >/dev/null
    kill -KILL $fs
    ended $fs 2>/dev/null
    exec 6>&-
    mount_it
    : >mqxfs.err # it says that it found the mount of the dead one
    is "back, with its type" "held by the dead" "$(cat "$f.6")"
}

refuses() {
    make_queue
    fails "No such file or directory" cat "$m/.sysv/x"
    fails "No such file or directory" cat "$f.0"
    fails "No such file or directory" cat "$f."
    fails "Operation not permitted" touch "$m/.sysv/new"
    fails "Operation not permitted" mkdir "$m/.sysv/new"
    fails "Operation not permitted" rmdir "$m/.sysv"
    fails "Operation not permitted" mv "$f" "$m/other"
    fails "Is a directory" sh -c "echo x >'$m/.sysv'"
    is "it is as it was" "$id" "$(ls -A "$m/.sysv")"
}

is_polled() {
    make_queue
    background python3 -c '
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
p = select.poll()
p.register(fd, select.POLLIN)
assert p.poll(0) == [], "ready before a message"
print("polling", flush=True)
assert p.poll(60000) == [(fd, select.POLLIN)], "not ready"
print(os.read(fd, 100).decode(), end="")
' "$f" >polled
    poller=$!
    await "it to poll" grep -q polling polled
    mqx send --type=8 ".sysv/$id" ready
    ended $poller || no "polling failed"
    is "what was polled for" "polling ready" "$(paste -sd ' ' polled)"
}

serves_other_users() {
    local nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
    chmod 755 . && make_queue -p 0622
    $nobody sh -c "echo from nobody >'$f.5'" || no "who may write could not"
    fails "Permission denied" $nobody cat "$f"
    is "received by its owner" "5	from nobody" "$(mqx recv -p ".sysv/$id" | head -n 1)"
    fails "Operation not permitted" $nobody rm -f "$f"
    # IPC_SET gives it away.
    mqx run perl -MIPC::Msg -e '
        my $q = bless \(my $id = shift), "IPC::Msg";
        $q->set(uid => 65534, gid => 65534, mode => 0600, qbytes => 1000) or die "IPC_SET: $!";
    ' "$id" || no "IPC_SET failed"
    is "its new owner" "65534 600" "$(stat -c '%u %a' "$f")"
    echo mine >"$f.2" || no "root could not write"
    is "received by the new one" mine "$($nobody cat "$f.2")"
    $nobody rm "$f" || no "who owns it could not remove it"
}

if ! command -v ipcmk >/dev/null; then
    skip "System V queues as files" "there is no ipcmk (util-linux)"
    finish
    exit
fi
try "a directory of their own" stands_in_its_directory
try "owner, mode, size; chmod" shows_attributes
try "writing and reading with a type" carries_types
try "by key" is_known_by_key
try "each reader waits for his own type" waits_for_its_own
try "a writer waits for room" waits_for_room
try "removal: rm, waiting readers, open files" is_removed
try "what was not read to its end goes back" gives_back
try "mqxfs killed while it holds a message" survives_mqxfs
try "what there is not" refuses
needs python3 "poll" is_polled
if perl -MIPC::Msg -e 1 2>/dev/null; then
    try_as_root "other users, and who was given the queue" serves_other_users
else
    skip "other users, and who was given the queue" "perl has no IPC::Msg"
fi
finish
