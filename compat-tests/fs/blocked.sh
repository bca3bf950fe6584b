#!/bin/bash
# Readers and writers that wait: served, interrupted, killed, and in nobody's way.
. "$(dirname "$0")/lib.sh"

fill() { # queue: with 1 to 10, its capacity
    local i
    for i in 1 2 3 4 5 6 7 8 9 10; do
        echo $i >"$1"
    done
}

drain() { # queue: what is in it, on one line
    while dd if="$1" iflag=nonblock 2>/dev/null; do :; done | xargs
}

empty() { # queue
    [ "$(drain "$1")" = "" ]
}

later_echo_is_read() {
    touch "$m/q"
    background cat "$m/q" >got
    blocked $!
    echo hello >"$m/q"
    wait $! || no "cat failed"
    is "got" hello "$(cat got)"
}

# Fifty messages through other doors, to and fro.  Without the wake-ups each would take a second.
others_wake_us() {
    local end=$((SECONDS + 30)) i
    touch "$m/there" "$m/back"
    background sh -c "while x=\$(cat $m/there) && [ \$x != end ]; do echo \$x >$m/back; done"
    for ((i = 0; i < 50; i++)); do
        mqx send there $i
        is "round $i" $i "$(mqx recv back)"
    done
    mqx send there end
    wait $! || no "the shell failed"
    # Writers to a full queue.
    touch "$m/full"
    fill "$m/full"
    background sh -c "for i in \$(seq 11 60); do echo \$i >$m/full; done"
    is "sixty" "$(seq 60 | xargs)" "$(mqx recv --count 60 full | xargs)"
    wait $! || no "the writing shell failed"
    [ $SECONDS -lt $end ] || no "it took more than 30 seconds"
}

blocked_reader_and_writer_serve_each_other() {
    touch "$m/q"
    fill "$m/q"
    for i in 11 12 13; do
        background sh -c "echo $i >$m/q"
        blocked $!
    done
    is "in order" "$(seq 13 | xargs)" "$(for i in $(seq 13); do cat "$m/q"; done | xargs)"
    wait_for_all
    empty "$m/q" || no "something is left"
}

interrupted_cat() {
    touch "$m/q"
    background cat "$m/q" >got
    blocked $!
    kill -INT $!
    wait $!
    is "ended by SIGINT" 130 $?
    echo kept >"$m/q"
    is "the message" kept "$(cat "$m/q")"
}

interrupted_echo() {
    touch "$m/q"
    fill "$m/q"
    background bash -c "echo lost >$m/q" 2>/dev/null
    blocked $!
    kill -INT $!
    wait $!
    is "ended by SIGINT" 130 $?
    is "the queue" "$(seq 10 | xargs)" "$(drain "$m/q")"
}

# Not killed, but interrupted by a handler: EINTR, and life goes on.
interrupted_by_a_handler() {
    touch "$m/q"
    background perl -MErrno=EINTR -e '$SIG{USR1} = sub { };
        open(F, "<", $ARGV[0]) or die;
        exit 1 if defined(sysread(F, $x, 10)) || $! != EINTR;
        sysread(F, $x, 10); print $x' "$m/q" >got
    blocked $!
    kill -USR1 $!
    blocked $!
    printf after >"$m/q"
    wait $! || no "it ended with $?"
    is "read after the interruption" after "$(cat got)"
}

killed_readers_lose_nothing() {
    local i
    touch "$m/q"
    for ((i = 0; i < 30; i++)); do
        background cat "$m/q" >/dev/null
        blocked $!
        kill -KILL $!
        wait $! 2>/dev/null
        echo $i >"$m/q"
        is "message $i" $i "$(cat "$m/q")"
    done
}

killed_writers_send_nothing() {
    local i
    touch "$m/q"
    fill "$m/q"
    for ((i = 0; i < 30; i++)); do
        background bash -c "echo lost >$m/q" 2>/dev/null
        blocked $!
        kill -KILL $!
        wait $! 2>/dev/null
    done
    is "the queue" "$(seq 10 | xargs)" "$(drain "$m/q")"
}

# Of several that wait one is killed: what comes next is for the others.
killed_among_others() {
    local first second
    touch "$m/q"
    background cat "$m/q" >first
    first=$!
    blocked $first
    background cat "$m/q" >second
    second=$!
    blocked $second
    kill -KILL $first
    wait $first 2>/dev/null
    echo x >"$m/q"
    wait $second
    is "the second got it" "+x" "$(cat first)+$(cat second)"
}

# The kernel locks an inode while a write to it waits: each open has one of its own.
writers_do_not_hold_each_other() {
    local one
    touch "$m/q"
    fill "$m/q"
    background bash -c "echo 11 >$m/q"
    one=$!
    blocked $one
    fails "Resource temporarily unavailable" \
        dd if=/dev/zero of="$m/q" bs=8 count=1 oflag=nonblock conv=notrunc
    background bash -c "echo lost >$m/q" 2>/dev/null
    blocked $!
    kill -KILL $!
    wait $! 2>/dev/null
    is "second to the first" "1" "$(cat "$m/q")"
    wait $one
    is "the rest" "$(seq 2 11 | xargs)" "$(drain "$m/q")"
}

thousand_readers() {
    local i readers
    touch "$m/q" "$m/other"
    # One process starts them: a thousand subshells of ours would be slow.
    background perl -e 'for (1 .. 1000) { fork or exec "cat", $ARGV[0] } 1 while wait > 0' "$m/q" >got
    is_there() {
        readers=$(pgrep -P $1 -x cat)
        [ "$(echo "$readers" | wc -l)" -eq 1000 ]
    }
    await "a thousand readers" is_there $!
    for i in $readers; do
        blocked $i
    done
    # Another queue answers, and so does this one.
    echo aside >"$m/other"
    is "the other queue" aside "$(cat "$m/other")"
    is "ls" 0 "$(stat -c %s "$m/q")"
    for i in $(seq 400); do
        echo $i >"$m/q"
    done
    # Half of the rest are interrupted, without harm to the others.
    await "400 messages to be read" eval '[ "$(wc -l <got)" -eq 400 ]'
    pgrep -P $! -x cat | head -n 300 | xargs kill -INT
    await "300 to end" eval '[ "$(pgrep -P $! -x cat | wc -l)" -eq 300 ]'
    seq 401 700 | while read -r i; do mqx send q "$i
"; done
    wait $!
    is "each once" "$(seq 700 | md5sum)" "$(sort -n got | md5sum)"
    empty "$m/q" || no "something is left"
}

hundred_writers() {
    local i
    touch "$m/q"
    fill "$m/q"
    for i in $(seq 11 110); do
        background bash -c "echo $i >$m/q"
        blocked $!
    done
    is "in the order they came" "$(seq 110 | xargs)" \
        "$(for i in $(seq 110); do cat "$m/q"; done | xargs)"
    wait_for_all
}

# More words than one futex_waitv takes.
many_queues_at_once() {
    local i pid
    (cd "$m" && seq 300 | xargs touch)
    for i in $(seq 300); do
        background cat "$m/$i" >>got
    done
    for pid in $(started); do
        blocked $pid
    done
    for i in $(seq 300); do
        mqx send $i "$i
"
    done
    wait_for_all
    is "each its own" "$(seq 300 | md5sum)" "$(sort -n got | md5sum)"
}

# The queue of a blocked reader is unlinked: it waits on, for whoever still has it open.
unlinked_under_a_reader() {
    touch "$m/q"
    exec 3>"$m/q"
    background cat "$m/q" >got
    blocked $!
    rm "$m/q"
    echo other >"$m/q"
    is_blocked $! || no "it read from another queue"
    echo mine >&3
    exec 3>&-
    wait $!
    is "got" mine "$(cat got)"
    is "the new one" other "$(cat "$m/q")"
}

try "a blocked cat gets a later echo" later_echo_is_read
try "wake-ups from and to other processes" others_wake_us
try "blocked writers go on in order" blocked_reader_and_writer_serve_each_other
try "Ctrl-C on a blocked cat" interrupted_cat
try "Ctrl-C on a blocked echo" interrupted_echo
try "EINTR by a signal handler" interrupted_by_a_handler
try "kill -9 of blocked readers loses nothing" killed_readers_lose_nothing
try "kill -9 of blocked writers sends nothing" killed_writers_send_nothing
try "kill -9 of one of several" killed_among_others
try "a blocked writer holds no other" writers_do_not_hold_each_other
try "1000 blocked readers" thousand_readers
try "100 blocked writers" hundred_writers
try "blocked readers on 300 queues" many_queues_at_once
try "unlinked under a blocked reader" unlinked_under_a_reader
finish
