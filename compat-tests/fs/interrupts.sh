#!/bin/bash
# Ctrl-C: typed at a terminal, and as SIGINT to the process group at any moment of a read or write.
. "$(dirname "$0")/lib.sh"

ROUNDS=${ROUNDS:-150}
SEED=${SEED:-$RANDOM}
shells=(bash dash)
command -v zsh >/dev/null && shells+=(zsh)
command -v busybox >/dev/null && shells+=("busybox sh")

# Any process of the terminal's session that waits in mqxfs; busybox's read waits in poll, of which
# others make no use here.
waits_at() { # pid of script
    local pid
    for pid in $(pgrep -s "$(pgrep -P "$1" | head -n 1)"); do
        is_blocked "$pid" || { grep -q busybox "/proc/$pid/cmdline" && grep -q poll "/proc/$pid/wchan"; } && return
    done
    return 1
}

# A terminal: a command on it, its keys at descriptor 7, what it shows in `typed`.  Not by
# `background`, which gives what it starts no input.
on_terminal() { # command
    rm -f keys && mkfifo keys && exec 7<>keys || no "mkfifo failed"
    env --default-signal=INT script -qefc "$1" typed <keys >/dev/null 7>&- &
    terminal=$!
    echo $terminal >"$case_dir/$terminal.pid"
}

# Type ^C once the command waits.  Leaves its status in $status, what it printed in `typed`.
typing() { # shell command
    on_terminal "$1 -c '$2'"
    await "'$2' by $1 to wait" waits_at $terminal
    printf '\003' >&7
    wait $terminal
    status=$?
    exec 7>&-
}

at_a_terminal() {
    local shell line
    for shell in "${shells[@]}"; do
        touch "$m/q"
        for line in "cat $m/q" "read x <$m/q" "x=\$(cat $m/q)" "cat <$m/.stream/q" "exec 3<>$m/q; read x <&3" \
            "head -n 1 $m/q" "tail -n 1 $m/q" "dd if=$m/q" "cat $m/q | cat" "cp $m/q file" \
            "while msg=\$(cat $m/q); do :; done"; do
            typing "$shell" "$line"
            [ $status -ne 0 ] || no "$shell: '$line' succeeded"
            echo kept >"$m/q"
            is "$shell: after '$line' the message" kept "$(cat "$m/.nonblock/q")"
        done
        for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >"$m/q"; done
        for line in "echo lost >$m/q" "echo lost >>$m/q" "printf lost >$m/q" "echo lost | cat >$m/q" \
            "echo lost | tee $m/q" "echo lost | dd of=$m/q" "exec 3<>$m/q; echo lost >&3"; do
            typing "$shell" "$line"
            is "$shell: after '$line' the queue" "$(seq 10 | xargs)" "$(cat "$m/.peek/.drain/q" | xargs)"
        done
        cat "$m/.drain/q" >/dev/null
    done
}

# The prompt is back, and the next line works.
interactive() {
    touch "$m/q"
    on_terminal "bash --norc -i"
    # Ctrl-C of a job in a process group of its own, then of the shell's own redirection.
    for line in "cat $m/q" "read x <$m/q"; do
        printf '%s\n' "$line" >&7
        await "'$line' to wait" waits_at $terminal
        printf '\003' >&7
        printf 'echo "$?" >>%s/alive\n' "$PWD" >&7
        await "the prompt" test -s alive
        is "status of '$line'" 130 "$(cat alive)"
        rm alive
    done
    printf 'exit\n' >&7
    wait $terminal
    exec 7>&-
    echo kept >"$m/q"
    is "the message" kept "$(cat "$m/.nonblock/q")"
}

# At any moment: sooner, later, or just when the message comes.  A reader that had it already may
# have taken it with it; but it is never there and printed, and nobody hangs.
any_moment_of_a_read() {
    touch "$m/q"
    timeout 300 perl -e '
        use POSIX; use Fcntl;
        my ($seed, $rounds, $q) = @ARGV; srand $seed;
        my $nap = sub { select(undef, undef, undef, rand($_[0]) / 1e6) };
        my %n;
        for my $i (1 .. $rounds) {
            unlink "got";
            my $pid = fork // die;
            if (!$pid) { setpgid(0, 0); exec "sh", "-c", "exec cat $q >got" }
            setpgid($pid, $pid);
            my $send = sub { open(my $f, ">", $q) or die; syswrite($f, "job $i") or die };
            my $first = rand(2) < 1;
            $nap->(6000);
            $send->() if $first;
            $nap->(600);
            kill INT => -$pid;
            $send->() if !$first;
            waitpid($pid, 0) == $pid or die;
            my ($x, $y) = ("", "");
            sysopen(my $f, $q, O_RDONLY | O_NONBLOCK) or die; sysread($f, $x, 100);
            if (open(my $g, "<", "got")) { $y = <$g> // "" }
            my $all = $x . $y;
            die "round $i: in the queue \"$x\", printed \"$y\"\n" if $all ne "job $i" && ($all ne "" || $? == 0);
            $n{$x ne "" ? "kept" : $y ne "" ? "printed" : "taken"}++;
        }
        print join(", ", map { "$_ $n{$_}" } sort keys %n), "\n"' "$SEED" "$ROUNDS" "$m/q" >said 2>&1 ||
        no "SEED=$SEED: $(cat said)"
    grep -q kept said || no "no message was kept: $(cat said)"
}

# A message is sent as a whole and once, or not; if the writer succeeded, it is sent.
any_moment_of_a_write() {
    touch "$m/q"
    timeout 300 perl -e '
        use POSIX; use Fcntl;
        my ($seed, $rounds, $q, $drain) = @ARGV; srand $seed;
        my $nap = sub { select(undef, undef, undef, rand($_[0]) / 1e6) };
        my %n;
        for my $i (1 .. $rounds) {
            for (1 .. 10) { open(my $f, ">", $q) or die; syswrite($f, "x ") or die }
            my $pid = fork // die;
            if (!$pid) { setpgid(0, 0); exec "sh", "-c", "echo job $i >$q" }
            setpgid($pid, $pid);
            $nap->(4000);
            my $x = "";
            if (rand(2) < 1) { open(my $f, "<", $q) or die; sysread($f, $x, 100); $nap->(300) }
            kill INT => -$pid;
            waitpid($pid, 0) == $pid or die;
            my $status = $?;
            my $all = $x . do { local $/; open(my $f, "<", $drain) or die; <$f> };
            my $sent = $all eq "x " x 10 . "job $i\n" ? 1 : $all eq "x " x 10 ? 0
                : die "round $i: \"$all\"\n";
            die "round $i: it succeeded, and sent nothing\n" if !$sent && $status == 0;
            $n{$sent ? "sent" : "not sent"}++;
        }
        print join(", ", map { "$_ $n{$_}" } sort keys %n), "\n"' "$SEED" "$ROUNDS" "$m/q" "$m/.drain/q" >said 2>&1 ||
        no "SEED=$SEED: $(cat said)"
    grep -q 'not sent' said || no "none was interrupted: $(cat said)"
}

if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    try "Ctrl-C at a terminal" at_a_terminal
    try "Ctrl-C in an interactive shell" interactive
else
    skip "Ctrl-C at a terminal" "script gives no terminal"
fi
try "SIGINT at any moment of a read" any_moment_of_a_read
try "SIGINT at any moment of a write" any_moment_of_a_write
finish
