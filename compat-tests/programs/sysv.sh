#!/bin/bash
# Programs that use System V message queues, unmodified: first on the kernel's
# queues, to see that what is asked of them is right, then under `mqx run`, where
# their queues must be mqx's and the kernel must not see any.
#
# Both are looked at with ipcs.  It prefers a list in /proc that only the kernel
# writes; covered here, that is out of the way, and ipcs asks msgctl.

if [ -z "$IN_NAMESPACE" ]; then
    if ! unshare -i -m true 2>/dev/null; then
        echo "skip - sysv: needs private IPC and mount namespaces"
        exit 0
    fi
    IN_NAMESPACE=1 exec unshare -i -m --propagation private "$0" "$@"
fi
mount -t tmpfs none /proc/sysvipc || exit 1
. "$(dirname "$0")/../cli/lib.sh"

# Run a program on the queues that the case is about.
on() {
    case $where in
    kernel) "$@" ;;
    mqx) mqx run "$@" ;;
    esac
}

kernel_queues() {
    ipcs -q | grep -c '^0x'
}

queues() { # here
    on ipcs -q | grep -c '^0x'
}

# These are on the queues they should be on, so many.
are_here() { # count
    is "queues" "$1" "$(queues)"
    [ "$where" = kernel ] || is "queues in the kernel" 0 "$(kernel_queues)"
}

gone() {
    are_here 0
}

# both NAME FUNCTION COMMAND: the case on the kernel's queues, and on mqx's.
both() {
    if ! command -v "$3" >/dev/null; then
        skip "$1" "$3 is not installed"
        return
    fi
    for where in kernel mqx; do
        ipcrm --all=msg 2>/dev/null # what a case that failed has left
        eval "${2}_$where() { $2; }"
        try "$1, on $([ $where = kernel ] && echo "the kernel's" || echo "mqx's") queues" "${2}_$where"
    done
}

# --- perl -----------------------------------------------------------------------------------------

perl_functions() {
    cat >use.pl <<'END'
use strict;
use warnings;
use IPC::SysV qw(IPC_CREAT IPC_EXCL IPC_NOWAIT IPC_STAT MSG_NOERROR);

my $q = msgget(0x6d717801, IPC_CREAT | IPC_EXCL | 0600) // die "msgget: $!";
die "created again" if msgget(0x6d717801, IPC_CREAT | IPC_EXCL | 0600);
die "not EEXIST: $!" unless $!{EEXIST};
my $child = fork // die "fork: $!";
if (!$child) { # replies to requests, which are of type 1, by their sender's pid
    while (1) {
        msgrcv($q, my $request, 100, 1, 0) or die "msgrcv: $!";
        my ($type, $from, $text) = unpack "l! l! a*", $request;
        exit 0 if $text eq "end";
        msgsnd($q, pack("l! a*", $from, uc $text), 0) or die "msgsnd: $!";
    }
}
for my $i (1 .. 200) {
    msgsnd($q, pack("l! l! a*", 1, $$, "request $i"), 0) or die "msgsnd: $!";
    msgrcv($q, my $reply, 100, $$, 0) or die "msgrcv: $!";
    my ($type, $text) = unpack "l! a*", $reply;
    die "got '$text' of type $type" unless $type == $$ && $text eq "REQUEST $i";
}
msgsnd($q, pack("l! l! a*", 1, $$, "end"), 0) or die "msgsnd: $!";
waitpid $child, 0;
die "the child failed" if $?;
die "not empty" if msgrcv($q, my $rest, 100, 0, IPC_NOWAIT);
die "not ENOMSG: $!" unless $!{ENOMSG};
msgsnd($q, pack("l! a*", 7, "left behind"), IPC_NOWAIT) or die "msgsnd: $!";
msgctl($q, IPC_STAT, my $stat) or die "msgctl: $!";
print "$q\n";
END
    status 0 on perl use.pl
    are_here 1
    status 0 on perl -MIPC::SysV=IPC_NOWAIT -e \
        'msgrcv(shift, my $m, 100, -9, IPC_NOWAIT) or die "$!"; print unpack "x[l!] a*", $m' "$(cat out)"
    is "message" "left behind" "$(cat out)"
    status 0 on perl -MIPC::SysV=IPC_RMID -e 'msgctl(msgget(0x6d717801, 0), IPC_RMID, 0) or die "$!"'
    gone
}

perl_module() {
    cat >use.pl <<'END'
use strict;
use warnings;
use IPC::SysV qw(IPC_PRIVATE IPC_CREAT IPC_NOWAIT ftok);
use IPC::Msg;

my $q = IPC::Msg->new(ftok("/", 7), IPC_CREAT | 0640) // die "new: $!";
$q->snd(5, "five") && $q->snd(3, "three") && $q->snd(5, "five again") or die "snd: $!";
my $s = $q->stat // die "stat: $!";
die "stat" unless $s->qnum == 3 && $s->lspid == $$ && $s->mode == 0640 && $s->uid == $>;
die "room" unless $q->set(qbytes => 19);
die "sent" if $q->snd(1, "x", IPC_NOWAIT);
die "not EAGAIN: $!" unless $!{EAGAIN};
my $m;
die "lowest" unless $q->rcv($m, 100, -4) == 3 && $m eq "three";
die "type" unless $q->rcv($m, 100, 5) == 5 && $m eq "five";
die "type" unless $q->rcv($m, 100, 5) == 5 && $m eq "five again";
die "more" if $q->rcv($m, 100, 0, IPC_NOWAIT);
print $q->id, "\n";
END
    status 0 on perl use.pl
    are_here 1
    status 0 on perl -MIPC::SysV=ftok -MIPC::Msg -e 'IPC::Msg->new(ftok("/", 7), 0)->remove or die "$!"'
    gone
}

# --- PHP ------------------------------------------------------------------------------------------

php_extension() {
    cat >use.php <<'END'
<?php
function check($ok, $what) {
    if (!$ok) {
        fwrite(STDERR, "$what\n");
        exit(1);
    }
}
$key = ftok("/", "p");
check(!msg_queue_exists($key), "exists before");
$q = msg_get_queue($key, 0600);
check(msg_queue_exists($key), "does not exist");
check(msg_send($q, 4, ["a" => 1, "b" => [2, 3]]), "send");
check(msg_send($q, 2, "plain", false), "send plain");
check(msg_stat_queue($q)["msg_qnum"] == 2, "msg_qnum");
check(msg_stat_queue($q)["msg_lspid"] == getmypid(), "msg_lspid");
check(msg_receive($q, -3, $type, 1000, $m, false), "receive the lowest");
check($type == 2 && $m === "plain", "the lowest");
check(msg_receive($q, 9, $type, 1000, $m, true, MSG_EXCEPT), "receive with MSG_EXCEPT");
check($type == 4 && $m === ["a" => 1, "b" => [2, 3]], "serialized");
check(!msg_receive($q, 0, $type, 1000, $m, true, MSG_IPC_NOWAIT, $error), "empty");
check($error == MSG_ENOMSG, "MSG_ENOMSG");
check(msg_set_queue($q, ["msg_qbytes" => 3]), "set");
check(!@msg_send($q, 1, "four", false, false, $error) && $error == MSG_EAGAIN, "MSG_EAGAIN");
check(msg_send($q, 1, "for", false, false), "send what fits");
check(!@msg_receive($q, 0, $type, 2, $m, false, 0, $error) && $error == 7, "E2BIG");
check(msg_receive($q, 0, $type, 2, $m, false, MSG_NOERROR) && $m === "fo", "MSG_NOERROR");
END
    status 0 on php use.php
    are_here 1
    status 0 on php -r 'exit(msg_remove_queue(msg_get_queue(ftok("/", "p"))) ? 0 : 1);'
    gone
}

# --- stress-ng --------------------------------------------------------------------------------------

run_stress() { # options...
    on stress-ng --verify --no-rand-seed --temp-path . "$@" >out 2>&1
}

# So many operations; and, since it removes its queues in the end, for a time in which to look.
stress() { # operations options...
    local operations=$1 seen=
    shift
    run_stress "$@" --msg-ops "$operations" || no "stress-ng ended with $?: $(tail -5 out)"
    grep -q 'successful run completed' out || no "stress-ng: $(tail -5 out)"
    for _ in {1..20}; do
        run_stress "$@" --timeout 2 &
        pid=$!
        trap 'kill $pid 2>/dev/null; wait $pid' EXIT
        while [ -z "$seen" ] && kill -0 $pid 2>/dev/null; do
            in_use && seen=yes
        done
        [ "$where" = kernel ] || is "queues in the kernel" 0 "$(kernel_queues)"
        wait $pid || no "stress-ng ended with $?: $(tail -5 out)"
        [ -n "$seen" ] && break
    done
    [ -n "$seen" ] || no "no queue of stress-ng's was seen"
    gone
}

in_use() {
    [ "$(queues)" -ge 1 ]
}

stress_messages() {
    stress 50000 --msg 2
}

stress_types() {
    stress 20000 --msg 1 --msg-types 20
}

# --- util-linux -------------------------------------------------------------------------------------

make_and_remove() {
    local id key
    status 0 on ipcmk -Q -p 0640
    id=$(sed -n 's/^Message queue id: //p' out)
    are_here 1
    status 0 on ipcs -q
    key=$(awk -v id="$id" '$2 == id {print $1, $4}' out)
    is "permissions" 640 "${key#* }"
    status 0 on ipcs -q -i "$id"
    grep -q 'qnum=0' out || no "ipcs -i: $(cat out)"
    status 0 on ipcmk -Q
    are_here 2
    status 0 on ipcrm -q "$id"
    are_here 1
    status 1 on ipcrm -q "$id"
    says "invalid id"
    status 0 on ipcs -q
    status 0 on ipcrm -Q "$(awk '$1 ~ /^0x/ {print $1}' out)"
    gone
}

remove_all() {
    for _ in 1 2 3 4 5; do
        status 0 on ipcmk -Q
    done
    are_here 5
    status 0 on ipcs -q -u
    grep -q 'allocated queues = 5' out || no "ipcs -u: $(cat out)"
    status 0 on ipcrm --all=msg
    gone
}

# --- python -----------------------------------------------------------------------------------------

python_module() {
    cat >use.py <<'END'
import os, sysv_ipc
q = sysv_ipc.MessageQueue(0x6d717802, sysv_ipc.IPC_CREX, mode=0o600)
try:
    sysv_ipc.MessageQueue(0x6d717802, sysv_ipc.IPC_CREX)
    raise SystemExit("created again")
except sysv_ipc.ExistentialError:
    pass
q.max_size = 1000
pid = os.fork()
if pid == 0:
    for i in range(500):
        q.send(b"%d" % i, type=1 + i % 3)
    os._exit(0)
for i in range(0, 500, 3): # as one type comes, the others fill the queue
    for t in 1, 2, 3:
        if i + t - 1 < 500:
            message, got = q.receive(type=t)
            assert got == t and message == b"%d" % (i + t - 1), (message, got)
assert os.waitpid(pid, 0)[1] == 0
assert q.last_send_pid == pid and q.current_messages == 0
try:
    q.receive(block=False)
    raise SystemExit("not empty")
except sysv_ipc.BusyError:
    pass
q.send(b"left")
END
    status 0 on /usr/bin/python3 use.py
    are_here 1
    status 0 on /usr/bin/python3 -c '
import sysv_ipc
q = sysv_ipc.MessageQueue(0x6d717802)
print(q.receive()[0].decode())
q.remove()'
    is "message" left "$(cat out)"
    gone
}

if perl -MIPC::Msg -e 1 2>/dev/null; then
    both "perl's msgget, msgsnd, msgrcv and msgctl" perl_functions perl
    both "perl's IPC::Msg" perl_module perl
else
    skip "perl's System V queues" "perl has no IPC::Msg"
fi
both "PHP's sysvmsg" php_extension php
both "stress-ng --msg --verify" stress_messages stress-ng
both "stress-ng --msg --verify, with types" stress_types stress-ng
both "util-linux's ipcmk, ipcs and ipcrm" make_and_remove ipcmk
both "util-linux's ipcs and ipcrm of all" remove_all ipcmk
if /usr/bin/python3 -c 'import sysv_ipc' 2>/dev/null; then
    both "python's sysv_ipc" python_module /usr/bin/python3
else
    skip "python's sysv_ipc" "python3-sysv-ipc is not installed"
fi
finish
