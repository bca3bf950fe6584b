#!/bin/bash
# System V queues that are durable: by policy, and restored with all they are.
. "$(dirname "$0")/lib.sh"

KEY=0x0000002a

policies() { # policy: of the queue with our key, and of private ones
    printf '[.sysv/%s]\ndurable = %s\n[.sysv/0x00000000]\ndurable = %s\n' $KEY "$1" "$1" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
}

sysv() { # perl: with the queue's id in $id
    mqx run perl -e '
        sub say { print @_, "\n" }
        sub get { msgget(0x2a, $_[0]) // die "msgget: $!\n" }
        sub snd { msgsnd($_[0], pack("l! a*", $_[1], $_[2]), 0) or die "msgsnd: $!\n" }
        sub rcv { my $m; msgrcv($_[0], $m, 1e6, $_[1], 04000) or return "none";
            my ($type, $text) = unpack("l! a*", $m); "$type $text" }
    '"$1" "${@:2}"
}

# The status of a process in the background, once it has ended.
ended() { # pid
    await "process $1 to end" eval "! kill -0 $1"
    wait "$1"
}

field() { # name: of our queue
    mqx stat .sysv/$KEY | sed -n "s/^$1: //p"
}

nothing_gone() {
    [ -z "$(ls "$MQX_DIR/gone")" ]
}

comes_back() {
    policies sync
    start_mqxd
    sysv 'my $q = get(01640); snd($q, @$_) for [7, "seven"], [3, "three"], [7, "again"], [9, "x" x 5000];
        rcv($q, 3)' || no "it could not be used"
    is "policy" sync "$(field durable)"
    mqx stat .sysv/$KEY | grep -E '^(id|key|mode|uid|gid|cuid|cgid|messages|bytes|qbytes|created|changed|sent):' >before
    stop_mqxd
    lose_memory
    start_mqxd
    mqx stat .sysv/$KEY | grep -E '^(id|key|mode|uid|gid|cuid|cgid|messages|bytes|qbytes|created|changed|sent):' >after
    cmp -s before after || no "it is not what it was: $(diff before after | tr '\n' ' ')"
    is "the types" "9 5000,7 seven,7 again,none" "$(sysv 'my $q = get(0);
        my ($t, $x) = split " ", rcv($q, 9); print "$t ", length $x;
        print ",", rcv($q, 7) for 1 .. 3')"
    is "counted" "0 0" "$(field messages) $(field bytes)"
    sysv 'my $q = get(0); snd($q, 1, "new"); rcv($q, 0) eq "1 new" or die "another\n"' ||
        no "it cannot be used"
}

more_than_the_front() {
    policies async
    start_mqxd
    sysv 'my $q = get(01600); snd($q, $_ % 10 + 1, $_) for 1 .. 500; snd($q, 99, "the last")'
    await "the commit" is_stored "the last"
    kill_mqxd
    lose_memory
    start_mqxd
    is "one type, in order" "5 4,5 14,5 24" \
        "$(sysv 'my $q = get(0); print join ",", map rcv($q, 5), 1 .. 3')"
    is "from the back" "99 the last" "$(sysv 'print rcv(get(0), 99)')"
    is "messages" 497 "$(field messages)"
}

other_queues_do_not() {
    policies sync
    start_mqxd
    sysv 'my $q = msgget(0x2b, 01600) // die; snd($q, 1, "volatile")'
    is "policy" "durable: off" "$(mqx stat .sysv/0x2b | grep ^durable)"
    stop_mqxd
    lose_memory
    start_mqxd
    is "queues" "" "$(mqx ls)"
}

survives_kills() {
    policies sync
    start_mqxd
    sysv 'my $q = get(01600); snd($q, 2, "before")'
    kill_mqxd
    start_mqxd
    sysv 'snd(get(0), 3, "after")' || no "a send failed after mqxd was killed"
    kill_mqxd
    lose_memory
    start_mqxd
    is "messages" "2 before,3 after" "$(sysv 'my $q = get(0); print rcv($q, 0), ",", rcv($q, 0)')"
}

a_send_waits_for_the_disk() {
    policies sync
    start_mqxd
    sysv 'get(01600)'
    kill -STOP "$mqxd"
    background mqx send .sysv/$KEY waiting
    sender=$!
    await "the sender to wait" is_asleep $sender
    is "it is in the queue" 1 "$(field messages)"
    kill -CONT "$mqxd"
    ended $sender || no "the sender ended with $?"
    is_stored waiting || no "it is not stored"
    kill -STOP "$mqxd"
    background mqx send .sysv/$KEY "received meanwhile"
    sender=$!
    await "the sender to wait" is_asleep $sender
    is "received" "1 waiting,1 received meanwhile" \
        "$(sysv 'my $q = get(0); print rcv($q, 0), ",", rcv($q, 0)')"
    ended $sender || no "the sender ended with $?"
    background mqx send .sysv/$KEY "removed meanwhile"
    sender=$!
    await "the sender to wait" is_asleep $sender
    mqx unlink .sysv/$KEY
    ended $sender || no "the sender of what was removed ended with $?"
    kill -CONT "$mqxd"
}

needs_mqxd() {
    policies sync
    sysv 'get(01600)' 2>err && no "a sync queue was made without mqxd"
    grep -q "mqxd is not running" err || no "it said: $(cat err)"
    is "nothing was made" "" "$(mqx ls)"
    start_mqxd
    sysv 'get(01600)' || no "it cannot be made"
    stop_mqxd
    # One that exists can be found, and what is in it received; a send would have to wait.
    sysv 'msgsnd(get(0), pack("l! a*", 1, "x"), 04000) and die "sent"; $!{EAGAIN} or die "msgsnd: $!"' ||
        no "a send without mqxd did not fail with EAGAIN"
    is "nothing was sent" 0 "$(field messages)"
}

removed() {
    policies sync
    start_mqxd
    sysv 'snd(get(01600), 1, "one"); snd(msgget(0, 0600), 1, "private")'
    is "queues" 2 "$(mqx ls | wc -l)"
    for q in $(mqx ls); do
        mqx unlink "$q" || no "unlink failed"
        is "nothing of it is left" 0 "$(ls "$MQX_DIR/sysv/ids" | grep -c "^$((${q#.sysv/} % 32768))\$")"
    done
    await "mqxd to forget them" nothing_gone
    kill_mqxd
    lose_memory
    start_mqxd
    is "queues" "" "$(mqx ls)"
    sysv 'snd(get(01600), 1, "one")'
    kill_mqxd
    mqx unlink .sysv/$KEY 2>err || no "unlink failed: $(cat err)"
    grep -q "start mqxd" err || no "it did not say that mqxd must hear of it: $(cat err)"
    start_mqxd
    await "mqxd to forget it" nothing_gone
    kill_mqxd
    lose_memory
    start_mqxd
    is "queues" "" "$(mqx ls)"
}

# A process that is killed when it has said that the queue is removed, and done nothing of it.
remover_dies() {
    policies sync
    start_mqxd
    sysv 'snd(get(01600), 1, "one")'
    segment=$(echo "$MQX_DIR"/sysv/ids/*/*)
    printf '\002' | dd of="$segment" bs=1 seek=140 conv=notrunc 2>/dev/null # state
    mqx ls >/dev/null
    sysv 'snd(get(01600), 2, "another")' || no "no new one can be made"
    await "mqxd to forget it" nothing_gone
    kill_mqxd
    lose_memory
    start_mqxd
    is "the new one alone" "2 another,none" "$(sysv 'my $q = get(0); print rcv($q, 0), ",", rcv($q, 0)')"
}

private_ones() {
    policies sync
    start_mqxd
    id=$(sysv 'my $q = msgget(0, 0600); snd($q, 4, "mine"); print $q')
    stop_mqxd
    lose_memory
    start_mqxd
    is "by its id" "4	mine" "$(mqx recv -p ".sysv/$id")"
    mqx send --type=6 ".sysv/$id" again
    stop_mqxd
    lose_memory
    MQX_CONF=/dev/null other=$(MQX_CONF=/dev/null sysv 'print msgget(0, 0600)')
    start_mqxd
    grep -q "another queue has its id" mqxd.log || no "it did not say so: $(cat mqxd.log)"
    is "only the other one" ".sysv/$other" "$(mqx ls)"
    mqx unlink ".sysv/$other"
    stop_mqxd
    start_mqxd
    is "when that is away" "6	again" "$(mqx recv -p ".sysv/$id")"
}

names_taken() {
    policies sync
    start_mqxd
    sysv 'snd(get(01600), 4, "stored")'
    id=$(field id)
    stop_mqxd
    lose_memory
    MQX_CONF=/dev/null sysv 'print get(01600)' >other
    start_mqxd
    grep -q "another queue has its key" mqxd.log || no "it did not say so: $(cat mqxd.log)"
    mqx unlink .sysv/$KEY
    MQX_CONF=/dev/null sysv 'msgget(0x2b, 01600) // die' # has its index
    stop_mqxd
    start_mqxd
    [ "$(field id)" != "$id" ] || no "two queues have one index"
    is "found by its key" "4 stored" "$(sysv 'my $q = get(0); print rcv($q, 0)')"
    sysv 'snd(get(0), 5, "next")'
    stop_mqxd
    lose_memory
    start_mqxd
    is "and again" "5 next" "$(sysv 'print rcv(get(0), 0)')"
}

keeps_what_ipc_set_says() {
    policies async
    start_mqxd
    sysv 'get(01600)'
    mqx run perl -MIPC::Msg -e '
        my $id = msgget(0x2a, 0);
        my $q = bless \$id, "IPC::Msg";
        $q->set(uid => 1234, gid => 4321, mode => 0642, qbytes => 777) or die "IPC_SET: $!";
    ' || no "IPC_SET failed"
    mqx send .sysv/$KEY "a mark"
    await "the commit" is_stored "a mark"
    stop_mqxd
    lose_memory
    start_mqxd
    is "owner, mode, room" "1234 4321 0642 777" \
        "$(field uid) $(field gid) $(field mode) $(field qbytes)"
}

of_other_users() {
    local nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
    policies sync
    chmod 755 . && chmod 644 mqx.conf
    start_mqxd
    $nobody mqx run perl -e 'my $q = msgget(0x2a, 01600) // die "$!";
        msgsnd($q, pack("l! a*", 8, "from nobody"), 0) or die "$!"' || no "it could not be used"
    stop_mqxd
    lose_memory
    start_mqxd
    is "owner" "65534 65534" "$(field uid) $(field cuid)"
    is "received by him" "8	from nobody" "$($nobody mqx recv -p .sysv/$KEY)"
    $nobody mqx run perl -e 'msgctl(msgget(0x2a, 0), 0, 0) or die "$!"' || no "he cannot remove it"
    is "nothing is left of it" "" "$(ls "$MQX_DIR/sysv/ids" "$MQX_DIR/sysv/keys" | grep -v :)"
}

try "restored: key, id, mode, room, messages, types" comes_back
try "more messages than are scanned, by type and in order" more_than_the_front
try "only those of a policy" other_queues_do_not
try "mqxd killed" survives_kills
try "a send waits for the disk, a receiver, or removal" a_send_waits_for_the_disk
try "sync needs mqxd" needs_mqxd
try "removed, with mqxd and without" removed
try "removed by a process that died at it" remover_dies
try "without a key" private_ones
try "key or id is another's meanwhile" names_taken
if perl -MIPC::Msg -e 1 2>/dev/null; then
    try "what IPC_SET said" keeps_what_ipc_set_says
else
    skip "what IPC_SET said" "perl has no IPC::Msg"
fi
try_as_root "another user's queue, by root's mqxd" of_other_users
finish
