#!/bin/bash
# Several users on root's mount: the queue's mode, owner and group decide.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
    skip "several users" "only root can act as others"
    finish
    exit
fi

# Where users may not open /dev/fuse, they may in a mount namespace of these cases' own.
if ! as 1501 sh -c 'exec 3<>/dev/fuse' 2>/dev/null; then
    if [ -z "$IN_NAMESPACE" ]; then
        leave
        IN_NAMESPACE=1 exec unshare --mount "$0"
    fi
    mknod -m 666 "$scratch/fuse" c 10 229 && mount --bind "$scratch/fuse" /dev/fuse || exit 1
fi

owns_what_he_creates() {
    as 1501 sh -c "umask 077; touch $m/his" || no "touch failed"
    is "owner and mode" "-rw------- 1501 1501" "$(stat -c '%A %u %g' "$m/his")"
    # Without the mount: it is his own queue.
    as 1501 mqx send his direct || no "he cannot map his own queue"
    is "over the mount" direct "$(as 1501 cat "$m/his")"
    as 1501 sh -c "echo over >$m/his"
    is "directly" over "$(as 1501 mqx recv his)"
    is "files that others own" "" "$(find "$MQX_DIR/queues" "$MQX_DIR/fifos" -type f,p ! -uid 1501)"
    is "the registry" 1501 "$(stat -c %u "$MQX_DIR/clients/1501")"
    as 1501 rm "$m/his" || no "rm failed"
}

keeps_others_out() {
    as 1501 sh -c "umask 077; echo secret >$m/his"
    fails "Permission denied" as 1502 cat "$m/his"
    fails "Permission denied" as 1502 sh -c "echo x >$m/his"
    fails "Operation not permitted" as 1502 rm -f "$m/his"
    fails "Operation not permitted" as 1502 chmod 666 "$m/his"
    fails "Operation not permitted" as 1501 chown 1502 "$m/his"
    is "it is as it was" secret "$(as 1501 cat "$m/his")"
}

keeps_others_out_of_views() {
    local view
    as 1501 sh -c "umask 077; echo secret >$m/his"
    as 1501 sh -c "umask 022; echo news >$m/news; touch $m/drop; chmod 622 $m/drop"
    for view in $(grep -o '^\.[a-z]*\(/QUEUE\|/N/QUEUE\) ' "$m/.help/README" | sed '/^.ack/d; s|/QUEUE||; s|/N|/0|'); do
        fails "Permission denied" as 1502 cat "$m/$view/his"
        fails "Permission denied" as 1502 bash -c "echo x >$m/$view/his"
        fails "Permission denied" as 1502 bash -c "echo x >$m/$view/news"
        fails "Permission denied" as 1502 cat "$m/$view/drop"
        fails "changing permissions" as 1502 chmod 666 "$m/$view/his"
        fails "cannot remove" as 1502 rm -f "$m/$view/his"
        fails "cannot remove" as 1501 rm -f "$m/$view/his"
    done
    as 1502 sh -c "echo gift >$m/.drain/drop" || no "write to 0622 failed"
    is "it is as it was" "secret news gift" "$(cat "$m/his" "$m/news" "$m/drop" | xargs)"
    as 1502 touch "$m/.stream/mine" && is "his who creates it" 1502 "$(stat -c %u "$m/mine")"
}

# Read and write apart.
lets_in_by_mode() {
    as 1501 touch "$m/drop" "$m/news"
    as 1501 chmod 622 "$m/drop"
    as 1501 chmod 644 "$m/news"
    as 1502 sh -c "echo gift >>$m/drop" || no "write to 0622 failed"
    fails "Permission denied" as 1502 cat "$m/drop"
    fails "Permission denied" as 1502 sh -c "echo x >$m/news"
    as 1501 sh -c "echo today >$m/news"
    is "read from 0644" today "$(as 1502 cat "$m/news")"
    is "the owner reads" gift "$(as 1501 cat "$m/drop")"
}

lets_in_by_group() {
    as 1501 touch "$m/team"
    as 1501 chmod 660 "$m/team"
    fails "Permission denied" as 1502 cat "$m/team"
    as 1502:1501 sh -c "echo member >$m/team" || no "a member by supplementary group was refused"
    is "read" member "$(as 1502:1501 cat "$m/team")"
}

blocked_across_users() {
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    background setpriv --reuid=1502 --regid=1502 --clear-groups cat "$m/q" >got
    blocked $!
    as 1501 mqx send q direct
    wait $!
    is "got" direct "$(cat got)"
}

# libmqx goes through the mount by itself where it may not map the queue.
library_finds_the_mount() {
    as 1501 touch "$m/q" "$m/drop"
    as 1501 chmod 666 "$m/q"
    as 1501 chmod 622 "$m/drop"
    as 1502 mqx send -p 5 q important || no "cannot send"
    as 1503 mqx send q later || no "a third user cannot send"
    is "received by another" important "$(as 1502 mqx recv q)"
    is "received by the owner" later "$(as 1501 mqx recv q)"
    as 1502 mqx send drop x || no "cannot send to 0622"
    fails "you may not" as 1502 mqx recv drop
    grep -q belongs err && no "it spoke of mqxfs, which is mounted: $(cat err)"
    is "who sent it" x "$(MQX_MOUNT=/nowhere as 1501 mqx recv drop)"
    MQX_MOUNT=$m as 1502 mqx send q there || no "cannot send through \$MQX_MOUNT"
    is "the files that others own" "" "$(find "$MQX_DIR" -user 1502 -o -user 1503)"
}

says_that_there_is_no_mount() {
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    unmount_it
    fails "you may not" as 1502 mqx send q x
    is "lines that speak of mqxfs" 1 "$(grep -c "queue /q belongs to user 1501.*run 'mqxfs MOUNTPOINT'" err)"
    as 1501 mqx send q mine || no "its owner cannot send"
}

# A mount of another directory has a queue of the same name.
takes_the_right_mount() {
    mkdir m2 && mkdir -m 1777 "$MQX_DIR.2"
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    MQX_DIR=$MQX_DIR.2 mqxfs m2 || no "no second mount"
    as 1501 sh -c "umask 0; touch m2/q"
    as 1502 mqx send q first || no "cannot send"
    is "in the first" first "$(as 1501 mqx recv q)"
    is "in the second" "0" "$(stat -c %s m2/q)"
    unmount_it
    fails "you may not" as 1502 mqx send q x
    MQX_MOUNT=$PWD/m2 fails "you may not" as 1502 mqx send q x
    is "in the second, still" "0" "$(stat -c %s m2/q)"
    # It comes first, and its queue is nobody else's business.
    chmod 600 m2/q
    mount_it
    as 1502 mqx send q again || no "cannot send past the other mount"
    is "in the first, again" again "$(as 1501 mqx recv q)"
    umount m2 || no "umount failed"
}

# It comes back when who has it is killed, or mqxfs is.
survives_mqxfs() {
    local receiver
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    background setpriv --reuid=1502 --regid=1502 --clear-groups mqx recv q >got 2>recv.err
    receiver=$!
    await "it to sleep" grep -q futex "/proc/$receiver/wchan"
    kill -KILL $fs && { wait $fs; } 2>/dev/null
    wait $receiver && no "it received something: $(cat got)"
    mount_it
    grep -qv "unmounting it" mqxfs.err || : >mqxfs.err
    as 1502 mqx send q again || no "cannot send any more"
    is "after it" again "$(as 1502 mqx recv q)"
}

# Takes a message as libmqx does, prints it, and does not say that it arrived.  (The requests are
# those of libmqx/protocol.h.)
hand_over() { # file, perl to be executed afterwards
    background setpriv --reuid=1502 --regid=1502 --clear-groups perl -e '
        $| = 1;
        open(F, "+<", $ARGV[0]) || die;
        $b = pack("x24QLLx1000", 0, 1 << 20, 0);
        ioctl(F, 3 << 30 | 1040 << 16 | 0x7163, $b) || die "$!";
        ($ticket, $n, undef, $text) = unpack("x24QLLa*", $b);
        eval $ARGV[1];
        print substr($text, 0, $n), "\n";
        sleep 600' "$1" "$2" >held
    holder=$!
    await "the message" test -s held
}

comes_back() {
    chmod 777 .
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    as 1501 mqx send q precious
    hand_over "$m/q" ""
    is "handed over" precious "$(cat held)"
    fails "it is empty" mqx recv --nonblock q
    kill -KILL $holder && { wait $holder; } 2>/dev/null
    is "came back from the dead" precious "$(timeout 60 mqx recv q)"
    # Now somebody else has the file open, too.
    as 1501 mqx send q precious
    : >held
    hand_over "$m/q" 'if (!fork()) { alarm 100; sleep 100 }'
    kill -KILL $holder && { wait $holder; } 2>/dev/null
    is "came back, though the file is open" precious "$(timeout 60 mqx recv q)"
    # Only who has it accepts it.
    as 1501 mqx send q precious
    : >held
    hand_over "$m/q" 'if (!fork()) { $r = ioctl(F, 1 << 30 | 8 << 16 | 0x7165, pack("Q", $ticket));
        open(P, ">", "accepted"); print P $r ? "yes" : "no"; close P; alarm 100; sleep 100 }'
    await "an answer" test -s accepted
    is "may another accept it?" no "$(cat accepted)"
    kill -KILL $holder && { wait $holder; } 2>/dev/null
    is "it is there" precious "$(timeout 60 mqx recv q)"
    # Who has it dies, and his parent, who has the file open, too, does not ask how.
    as 1501 mqx send q precious
    background setpriv --reuid=1502 --regid=1502 --clear-groups perl -e '
        open(F, "+<", $ARGV[0]) || die;
        if (!($child = fork)) {
            $b = pack("x24QLLx1000", 0, 1 << 20, 0);
            ioctl(F, 3 << 30 | 1040 << 16 | 0x7163, $b) || die "$!";
            kill "KILL", $$;
        }
        select(undef, undef, undef, 0.01) until `cat /proc/$child/stat` =~ /\) Z/;
        open(Z, ">", "zombie"); print Z "yes"; close Z; sleep 600' "$m/q"
    holder=$!
    await "its death" test -s zombie
    is "came back from the undead" precious "$(timeout 60 mqx recv q)"
    kill -KILL $holder && { wait $holder; } 2>/dev/null
}

# Root's mqxfs signals nobody whom the user who asked for it may not signal: as with a setuid program,
# a process becomes another user's, here root's, after it has asked.
signals_only_whom_he_may() {
    local who
    chmod 777 .
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    for who in 1502 0; do
        rm -f ready result
        background perl -e '
            $SIG{USR1} = sub { open(P, ">", "result"); print P "signal"; close P; exit };
            ($), $<, $>) = ("1502 1502", 1502, 1502);
            open(F, "+<", $ARGV[0]) || die;
            $b = pack("LLQQLLLL", $$, 1502, 0, 0, 0, 1, 10, 0);
            ioctl(F, 1 << 30 | length($b) << 16 | 0x7169, $b) || die "$!";
            ($<, $>) = (0, 0) if !$ARGV[1];
            open(P, ">", "ready"); print P "$<"; close P;
            sleep 600' "$m/q" $who
        await "the registration" test -s ready
        is "it is the process of" $who "$(cat ready)"
        as 1501 mqx send q x
        as 1501 mqx recv q >/dev/null
        if [ $who = 0 ]; then
            # Whoever registers now finds that it has fired.
            as 1502 perl -e 'open(F, "+<", $ARGV[0]) || die;
                $b = pack("LLQQLLLL", $$, 1502, 0, 0, 0, 0, 0, 0);
                select(undef, undef, undef, 0.01)
                    until ioctl(F, 1 << 30 | length($b) << 16 | 0x7169, $b)' "$m/q"
            [ -e result ] && no "root's process was signalled"
        else
            await "the signal" test -s result
        fi
        kill -KILL $! 2>/dev/null
    done
}

# Requests of all numbers and sizes, with anything in them.
answers_nonsense() {
    local seed=${SEED:-$RANDOM}
    as 1501 touch "$m/q" "$m/read"
    as 1501 chmod 666 "$m/q"
    as 1501 chmod 644 "$m/read"
    as 1502 perl -e '
        srand $ARGV[0];
        open(F, "+<", $ARGV[1]) || die;
        open(R, "<", $ARGV[2]) || die;
        for (1 .. 20000) {
            $size = rand(4) < 1 ? int(rand(16384)) : int(rand(130)) * 8;
            $b = join("", map { pack("L", rand(2) < 1 ? int(rand(40)) : int(rand(1 << 32))) } 0 .. 9);
            $b .= "\0" x 16384;
            $n = 0x60 + int(rand(12));
            substr($b, 32, 4) = pack("L", 0); # the number of a signal, which it would get
            ioctl(rand(8) < 1 ? R : F, (1 + int(rand(3))) << 30 | $size << 16 | 0x7100 | $n, $b);
        }' "$seed" "$m/q" "$m/read" || no "perl failed (SEED=$seed)"
    is "a queue that may only be read" 0 "$(stat -c %s "$m/read")"
    as 1501 sh -c "echo well >$m/other"
    is "another queue" well "$(as 1501 mqx recv other)"
    as 1501 mqx unlink q
    as 1501 mqx unlink read
}

# What lies where segments are, and is none of his.
is_not_led_astray() {
    echo precious >file
    chmod 600 file
    as 1501 ln -s "$PWD/file" "$MQX_DIR/queues/link"
    as 1501 mkfifo "$MQX_DIR/queues/fifo"
    as 1501 mkdir "$MQX_DIR/queues/dir"
    is "ls" "" "$(ls "$m")"
    fails "No such file" cat "$m/link"
    fails "No such file" cat "$m/fifo"
    fails "File exists" touch "$m/link"
    is "untouched" precious "$(cat file)"
    as 1501 touch "$m/q"
    as 1501 truncate -s 100 "$MQX_DIR/queues/q"
    fails "Bad message" cat "$m/q"
    is "mode of a damaged one" "----------" "$(stat -c %A "$m/q")"
}

# An ordinary user mounts his own queues, and sees no others.
mounts_for_himself() {
    local he
    he=$(id -u nobody) || no "there is no user nobody, and fusermount3 mounts for users with a name"
    touch "$m/roots"
    unmount_it
    chown "$he" "$m"
    as "$he" mqxfs "$m" || no "mqxfs failed as an ordinary user"
    as "$he" touch "$m/his" || no "touch failed"
    as "$he" sh -c "echo x >$m/his"
    is "his, and not root's" his "$(as "$he" ls "$m")"
    fails "Permission denied" as "$he" cat "$m/roots"
    fails "Permission denied" ls "$m" # not even root may look into it
    is "directly" x "$(as "$he" mqx recv his)"
    as "$he" fusermount3 -u "$m" || no "he cannot unmount it"
    await "it to end" eval '! pgrep -u "$he" mqxfs'
}

make_sysv() { # mode: a System V queue of 1501's, $id
    id=$(as 1501 mqx run ipcmk -Q -p "$1" | grep -o '[0-9]*$') && [ -n "$id" ] || no "ipcmk failed"
}

# What libmqx opens is open to everybody, and for nothing else.
sysv_way_is_no_file() {
    local way who
    make_sysv 0600
    as 1501 mqx run perl -e 'msgsnd($ARGV[0], pack("l! a*", 1, "secret"), 0) || die "$!"' "$id"
    way=$m/.sysv/@$id
    for who in 1501 1502; do
        fails "Invalid argument" as $who cat "$way"
        fails "Invalid argument" as $who bash -c "echo x >$way"
        fails "No such file" as $who cat "$way.1"
    done
    fails "Permission denied" as 1502 cat "$m/.sysv/$id"
    fails "Operation not permitted" as 1502 chmod 666 "$way"
    fails "not permitted" as 1502 setfattr -n user.mqx.maxmsg -v 7 "$way"
    # 8: POLLERR, whatever is there.
    is "poll" 8 "$(as 1502 perl -e 'use IO::Poll; open(F, "+<", $ARGV[0]) || die "$!";
        $p = IO::Poll->new; $p->mask(\*F => POLLIN | POLLOUT); $p->poll(0);
        print $p->events(\*F)' "$way")"
    fails "Permission denied" as 1502 mqx run perl -e 'msgrcv($ARGV[0], $b, 100, 0, 2048) || die "$!"' "$id"
    is "the message" secret "$(as 1501 cat "$m/.sysv/$id")"
}

# A program that has used the queue before does not notice that mqxfs was started anew.
sysv_survives_mqxfs() {
    local sender
    chmod 777 .
    make_sysv 0622
    rm -f go first second
    background setpriv --reuid=1502 --regid=1502 --clear-groups mqx run perl -e '
        sub say { open(P, ">", $_[0]); print P $_[1]; close P }
        say("first", msgsnd($ARGV[0], pack("l! a*", 1, "one"), 0) ? "sent" : "$!");
        select(undef, undef, undef, 0.01) until -e "go";
        say("second", msgsnd($ARGV[0], pack("l! a*", 1, "two"), 0) ? "sent" : "$!")' "$id"
    sender=$!
    await "the first message" test -s first
    is "before" sent "$(cat first)"
    kill -KILL $fs && { wait $fs; } 2>/dev/null
    mount_it
    grep -qv "unmounting it" mqxfs.err || : >mqxfs.err
    touch go
    await "the second message" test -s second
    is "after it" sent "$(cat second)"
    wait $sender
    is "both" "one two" "$(as 1501 cat "$m/.sysv/$id") $(as 1501 cat "$m/.sysv/$id")"
}

sysv_says_that_there_is_no_mount() {
    make_sysv 0666
    unmount_it
    fails "Permission denied" as 1502 mqx run perl -e '
        msgsnd($ARGV[0], pack("l! a*", 1, "x"), 0) for 1..2;
        die "$!"' "$id"
    is "lines that speak of mqxfs" 1 \
        "$(grep -c "queue .sysv/$id belongs to user 1501.*run 'mqxfs MOUNTPOINT'" err)"
    fails "permission denied" as 1502 mqx run ipcrm -q "$id"
    as 1501 mqx run ipcrm -q "$id" || no "its owner cannot remove it"
}

try "a queue belongs to who created it" owns_what_he_creates
if perl -MIO::Poll -e 1 2>/dev/null; then
    try "what is for System V calls is for nothing else" sysv_way_is_no_file
else
    skip "what is for System V calls is for nothing else" "perl has no IO::Poll"
fi
try "System V calls go on with another mqxfs" sysv_survives_mqxfs
try "without a mount, System V calls say so" sysv_says_that_there_is_no_mount
try "mode 0600 keeps others out" keeps_others_out
try "in every view" keeps_others_out_of_views
try "read and write apart" lets_in_by_mode
try "by group" lets_in_by_group
try "a reader of one user, a sender of another" blocked_across_users
try "libmqx goes through the mount by itself" library_finds_the_mount
try "without a mount, it says so" says_that_there_is_no_mount
try "a mount of other queues is not taken for it" takes_the_right_mount
try "a message that did not arrive comes back" comes_back
try "a signal reaches only whom the user may signal" signals_only_whom_he_may
try "nonsense is answered" answers_nonsense
try "mqxfs dies under who waits, and comes back" survives_mqxfs
try "what is no segment" is_not_led_astray
if [ -e /etc/mtab ]; then
    try "an ordinary user's own mount" mounts_for_himself
else
    skip "an ordinary user's own mount" "fusermount3 unmounts nothing where there is no /etc/mtab"
fi
finish
