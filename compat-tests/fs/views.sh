#!/bin/bash
# The directories in which queues are read in other ways.
. "$(dirname "$0")/lib.sh"

SHELLS="bash dash"
for shell in zsh "busybox sh"; do
    if command -v ${shell%% *} >/dev/null; then
        SHELLS="$SHELLS,$shell"
    else
        skip "the views in $shell" "it is not installed"
    fi
done
SHELLS=${SHELLS/ /,}

each_shell() { # script: run it by each shell, $1 is the mount; their outputs must be the same
    local shell shells
    IFS=, read -ra shells <<<"$SHELLS"
    for shell in "${shells[@]}"; do
        is "$shell" "$2" "$($shell -c "$1" sh "$m" 2>&1)"
    done
}

says_what_there_is() {
    local view
    is "listed" ".help .sysv" "$(ls -A "$m" | xargs)"
    is "a text" "-r--r--r-- README" "$(ls -l "$m/.help" | awk 'NR > 1 {print $1, $9}')"
    # Every view of the text is there, and each can be walked.
    grep -o '^\.[a-z]*' "$m/.help/README" >views
    [ "$(wc -l <views)" -ge 3 ] || no "the README names $(wc -l <views) views"
    while read -r view; do
        ls -a "$m/$view" >/dev/null || no "there is no $view"
        (cd "$m/$view" && is "working directory" "$m/$view" "$(/bin/pwd)") || exit 1
    done <views
    fails "No such file or directory" ls "$m/.nosuch"
    fails "Is a directory" cat "$m/.drain"
    fails "Not a directory" ls "$m/.help/README/x"
    refused "Operation not permitted" touch "$m/.help/mine"
    refused "Operation not permitted" rm -f "$m/.help/README"
    fails "Operation not permitted" rmdir "$m/.drain"
    fails "Operation not permitted" mkdir "$m/.drain/d"
    fails "Operation not permitted" chmod 700 "$m/.drain"
}

shows_every_queue() {
    (umask 027 && touch "$m/a") && touch "$m/b"
    is "names" "a b" "$(ls "$m/.drain" | xargs)"
    is "attributes" "$(ls -l "$m")" "$(ls -l "$m/.nonblock")"
    is "inode" "$(stat -c %i "$m/a")" "$(stat -c %i "$m/.drain/a")"
    is "once" 2 "$(find "$m" -type f ! -path '*/.help/*' | wc -l)"
    echo x >"$m/.drain/new" || no "creating in a view failed"
    is "created" x "$(cat "$m/new")"
    chmod 600 "$m/.stream/b" && is "chmod" -rw------- "$(ls -l "$m/b" | cut -d ' ' -f 1)"
    fails "Operation not permitted" rm -f "$m/.drain/a"
    fails "Operation not permitted" mv "$m/.drain/a" "$m/c"
    is "still there" "a b new" "$(ls "$m" | xargs)"
}

nonblock() {
    touch "$m/q"
    each_shell 'cat $1/.nonblock/q; echo $?' \
        "cat: $m/.nonblock/q: Resource temporarily unavailable
1" 2>/dev/null
    echo one >"$m/.nonblock/q"
    is "one, not two" one "$(echo two >"$m/q" && cat "$m/.nonblock/q")"
    is "two" two "$(cat "$m/.nonblock/q")"
    for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >"$m/q"; done
    fails "Resource temporarily unavailable" bash -c "echo 11 >$m/.nonblock/q"
    is "the first" 1 "$(cat "$m/q")"
}

drain() {
    touch "$m/q"
    is "empty" "" "$(cat "$m/.drain/q")"
    mqx send q ''
    printf one >"$m/q"
    printf 'two\n' >"$m/q"
    mqx send -p 1 q first
    is "all, none an end" "firstonetwo" "$(cat "$m/.drain/q")"
    is "nothing is left" "" "$(cat "$m/.drain/q")"
    each_shell 'for i in 1 2 3; do echo "line $i" >$1/q; done
        while read -r l; do echo "<$l>"; done <$1/.drain/q' "<line 1>
<line 2>
<line 3>"
    for i in 1 2 3; do echo "$i" >"$m/q"; done
    is "mapfile" "1 2 3" "$(mapfile -t x <"$m/.drain/q" && echo "${x[@]}")"
    for i in 1 2 3; do echo "$i" >"$m/q"; done
    is "tail" 3 "$(tail -n 1 "$m/.drain/q")"
    for i in 1 2 3; do echo "$i" >"$m/q"; done
    cp "$m/.drain/q" copy && is "cp" "1 2 3" "$(xargs <copy)"
    head -c 8000 /dev/urandom >a
    for i in 1 2 3; do dd if=a of="$m/q" bs=8000 conv=notrunc 2>/dev/null; done
    is "binary" "$(cat a a a | cksum)" "$(cat "$m/.drain/q" | cksum)"
    for i in 1 2 3; do echo "$i" >"$m/q"; done
    is "head takes what it read" "1" "$(head -n 1 "$m/.drain/q" || no "head failed")"
    is "and no more" "2 3" "$(cat "$m/.drain/q" | xargs)"
    : >"$m/.drain/q"
    echo x >"$m/q" && : >"$m/.drain/q" && truncate -s 0 "$m/.drain/q"
    is "truncation takes nothing" x "$(cat "$m/q")"
    fails "Invalid argument" truncate -s 5 "$m/.drain/q"
}

unfinished_in_a_stream_goes_back() {
    printf 'first message' >"$m/q"
    printf second >"$m/q"
    is "a part" first "$(head -c 5 "$m/.drain/q")"
    await "it to come back" eval '[ "$(stat -c %s "$m/q")" = 19 ]'
    is "whole again" "first messagesecond" "$(cat "$m/.drain/q")"
}

stream() {
    touch "$m/q"
    background cat "$m/.stream/q" >got
    blocked $!
    echo one >"$m/q"
    mqx send q ''
    echo two >"$m/q"
    await "both" eval '[ "$(xargs <got)" = "one two" ]'
    blocked $!
    kill -INT $!
    wait $!
    is "ended by the signal" 130 $?
    echo three >"$m/q"
    is "it takes nothing afterwards" three "$(cat "$m/q")"
    # A line at a time, in a pipe.
    each_shell 'for i in 1 2 3; do echo $i >$1/q; done
        while read -r l; do echo "<$l>"; [ "$l" = 3 ] && break; done <$1/.stream/q' "<1>
<2>
<3>"
    exec 3<>"$m/.stream/q"
    for i in 1 2 3; do
        echo "request $i" >&3
        is "own request" "request $i" "$(read -r l <&3 && echo "$l")"
    done
    fails "Resource temporarily unavailable" dd if="$m/.stream/q" iflag=nonblock of=/dev/null
}

several_share_a_stream() {
    local i pids=
    touch "$m/q"
    for i in 1 2 3; do
        background cat "$m/.stream/q" >got.$i
        pids="$pids $!"
        blocked $!
    done
    for i in $(seq 60); do echo "$i"; done | while read -r i; do echo "$i" >"$m/q"; done
    await "all of it" eval '[ "$(cat got.* | wc -l)" = 60 ]'
    is "each once" 60 "$(cat got.* | sort -u | wc -l)"
    for i in 1 2 3; do [ -s got.$i ] || no "reader $i got nothing"; done
    kill $pids
}

peek() {
    local first='first message'
    touch "$m/q"
    fails "Resource temporarily unavailable" cat "$m/.peek/.nonblock/q"
    is "nothing" "" "$(cat "$m/.peek/.drain/q")"
    background cat "$m/.peek/q" >got
    blocked $!
    mqx send -p 3 q "$first"
    wait $! || no "a peek that waited failed"
    is "it shows what came" "$first" "$(cat got)"
    each_shell 'cat $1/.peek/q; cat $1/.peek/q' "$first$first"
    echo second >"$m/q"
    mqx send -p 1 q between
    mqx send q ''
    echo third >"$m/q"
    is "all, in order" "first messagebetweensecond third" "$(cat "$m/.peek/.drain/q" | xargs)"
    is "either way round" "first messagebetweensecond third" "$(cat "$m/.drain/.peek/q" | xargs)"
    is "in pieces" "$(cat "$m/.peek/.drain/q")" "$(dd if="$m/.peek/.drain/q" bs=1 2>/dev/null)"
    is "nothing was taken" "5 $first" "$(mqx stat q | awk '/^messages/ {print $2}') $(cat "$m/q")"
    # While another has the first message, the next is the first.
    exec 3<"$m/q"
    is "held" b "$(head -c 1 <&3)"
    is "the one behind it" second "$(cat "$m/.peek/q")"
    exec 3<&-
    is "read only" "-r--r--r--" "$(ls -l "$m/.peek/q" | cut -d ' ' -f 1)"
    is "the queue is not" "-rw-r--r--" "$(ls -l "$m/q" | cut -d ' ' -f 1)"
    fails "" bash -c "echo x >$m/.peek/q"
    fails "" bash -c "echo x >$m/.peek/new"
    fails "" chmod 600 "$m/.peek/q"
    if [ "$(id -u)" = 0 ]; then
        fails "Read-only file system" bash -c "echo x >$m/.peek/q"
        fails "Read-only file system" chmod 600 "$m/.peek/q"
    fi
    head -c 8192 /dev/urandom >a
    cat "$m/.drain/q" >/dev/null
    dd if=a of="$m/q" bs=8192 conv=notrunc 2>/dev/null
    cmp a "$m/.peek/q" || no "a large one differs"
}

peeks_deep() {
    mqx create --maxmsg 3000 --msgsize 16 deep
    seq 3000 | while read -r i; do echo "$i" >"$m/.prio/$((i % 3))/deep"; done
    is "all 3000" "$(for p in 2 1 0; do seq 3000 | awk -v p=$p '$1 % 3 == p'; done | cksum)" \
        "$(cat "$m/.peek/.drain/deep" | cksum)"
    is "of one priority" "$(seq 3000 | awk '$1 % 3 == 1' | cksum)" \
        "$(cat "$m/.prio/1/.peek/.drain/deep" | cksum)"
    is "taken" "$(seq 3000 | awk '$1 % 3 == 1' | cksum)" "$(cat "$m/.drain/.prio/1/deep" | cksum)"
    is "the rest" 2000 "$(cat "$m/.drain/deep" | wc -l)"
}

prio() {
    touch "$m/q"
    each_shell 'echo low >$1/q; echo urgent >$1/.prio/9/q; echo most >>$1/.prio/32767/q
        cat $1/q $1/q $1/q' "most
urgent
low"
    echo low >"$m/q"
    echo nine >"$m/.prio/9/q"
    echo nine again >"$m/.prio/9/q"
    is "as others see it" 9 "$(mqx recv -p q | cut -f 1 | xargs -n 1 | head -n 1)"
    fails "Resource temporarily unavailable" cat "$m/.prio/8/.nonblock/q"
    is "only those" "low" "$(cat "$m/.prio/0/q")"
    # One that waits for a priority stands in nobody's way, and gets his.
    background cat "$m/.prio/5/q" >five
    five=$!
    blocked $five
    is "another's" "nine again" "$(cat "$m/q")"
    background cat "$m/q" >any
    any=$!
    blocked $any
    mqx send q 'for any'
    wait $any
    is "got" "for any" "$(cat any)"
    is_blocked $five || no "he who waits for priority 5 does not"
    mqx send -p 6 q six
    mqx send -p 5 q five
    wait $five
    is "his" five "$(cat five)"
    is "the rest" six "$(cat "$m/.nonblock/q")"
    for i in 32768 -1 09 x 99999999999999999999 ' 1'; do
        fails "No such file or directory" ls -d "$m/.prio/$i"
    done
    is "nothing is listed" "" "$(ls -A "$m/.prio")"
    refused "Operation not permitted" touch "$m/.prio/q"
    # Interrupted while it waits.
    background cat "$m/.prio/5/q"
    blocked $!
    kill -INT $!
    wait $!
    is "ended by the signal" 130 $?
    echo x >"$m/.prio/5/q"
    is "it takes nothing afterwards" x "$(cat "$m/q")"
}

shows_status() {
    local value
    mqx create --maxmsg 7 --msgsize 99 q
    printf 12345 >"$m/q"
    printf 678 >"$m/.prio/3/q"
    each_shell 'head -n 1 $1/.stat/q' "QSIZE:8          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     "
    is "the rest" "messages: 2 bytes: 8 maxmsg: 7 msgsize: 99 mode: 0644 uid: $(id -u) gid: $(id -g) \
durable: off sent: 2 notify: none" "$(sed -n '2,/^notify/p' "$m/.stat/q" | xargs)"
    is "as mqx stat has it" "$(mqx stat q | grep -E '^(m|bytes|durable|sent|[ug]id)' | sort)" \
        "$(grep -E '^(m|bytes|durable|sent|[ug]id)' "$m/.stat/q" | sort)"
    value=$(sed -n 's/^last send: //p' "$m/.stat/q")
    is "a time" "$(stat -c %Y "$m/q")" "$(date -d "$value" +%s)"
    tail -n 1 "$m/.stat/q" | grep -q '^last receive' || no "tail does not show its end"
    cp "$m/.stat/q" copy && cmp copy "$m/.stat/q" || no "cp differs"
    is "nothing was taken" 2 "$(mqx stat q | awk '/^messages/ {print $2}')"
    # The same as the kernel's, if it has queues.
    if [ -d /dev/mqueue ] && grep -qF " /dev/mqueue mqueue" /proc/mounts; then
        is "all that is not a digit" "$(: >"/dev/mqueue/views.$$" && sed 's/[0-9 ]//g' "/dev/mqueue/views.$$"
            rm "/dev/mqueue/views.$$")" "$(head -n 1 "$m/.stat/q" | sed 's/[0-9 ]//g')"
    fi
    fails "" bash -c "echo x >$m/.stat/q"
    echo rubbish >"$MQX_DIR/queues/bad"
    refused "Bad message" cat "$m/.stat/bad"
}

lines() {
    touch "$m/q"
    each_shell 'echo one >$1/.lines/q; printf two >$1/.lines/q; cat $1/q; cat $1/q; echo' onetwo
    each_shell 'printf one >$1/q; echo two >$1/q; printf "" >$1/.lines/q; echo >$1/.lines/q
        cat $1/.lines/.drain/q; echo end' "one
two

end"
    is "only its last newline" "$(printf 'a\nb\n' | od -c)" \
        "$(env printf 'a\nb\n\n' >"$m/.lines/q" && od -c "$m/q")"
    for i in 1 2 3; do printf "line $i" >"$m/q"; done
    is "in a loop" "<line 1><line 2><line 3>" \
        "$(while read -r l; do printf '<%s>' "$l"; done <"$m/.drain/.lines/q")"
    seq 5 | stdbuf -oL sed 's/^/job /' >"$m/.lines/q"
    is "line-buffered" "job 1+job 2+job 3+job 4+job 5+" "$(cat "$m/.lines/.drain/q" | tr '\n' +)"
    (head -c 8192 /dev/zero | tr '\0' x; echo) >most
    dd if=most of="$m/.lines/q" bs=8193 conv=notrunc 2>/dev/null || no "8192 bytes and a newline failed"
    cmp most "$m/.lines/q" || no "8192 bytes came back otherwise"
    fails "Message too long" dd if=most of="$m/q" bs=8193 conv=notrunc
}

json() {
    local i object
    touch "$m/q"
    printf 'say "hi"\t\\\n' >"$m/.prio/9/q"
    object=$(cat "$m/.json/q")
    is "priority, size, text" '9 11 say "hi"	\' "$(jq -r '"\(.priority) \(.size) \(.text)"' <<<"$object")"
    bash -c 'echo $$ >pid; echo x >$1/q' sh "$m"
    is "sender" "$(cat pid) $(id -u)" "$(jq -r '"\(.sender.pid) \(.sender.uid)"' "$m/.json/q")"
    echo now >"$m/q"
    [ $(($(date +%s) - $(date -d "$(jq -r .time "$m/.json/q")" +%s))) -lt 600 ] || no "the time is wrong"
    # What goes in comes out.
    for i in "" a ab abc "$(printf 'gr\303\274\303\237e \342\202\254 \360\237\230\200')" '{"x": [1, "y"]}'; do
        mqx send q "$i"
        is "text" "$i" "$(jq -j .text "$m/.json/q")"
    done
    for i in 1 2 3 4 5 100 8192; do
        head -c "$i" /dev/urandom >a
        printf '\377' | dd of=a conv=notrunc 2>/dev/null
        dd if=a of="$m/q" bs=8192 conv=notrunc 2>/dev/null
        jq -r .base64 "$m/.peek/.json/q" | base64 -d | cmp a || no "base64 of $i bytes differs"
        cat "$m/.json/q" >o && dd if=o of="$m/.json/q" bs=1M conv=notrunc 2>/dev/null
        cmp a "$m/q" || no "$i bytes, there and back, differ"
    done
    env printf '\0\001\177\302\205"\\' >a && cat a >"$m/q" && cat "$m/.json/q" >o
    grep -q text o || no "control characters are text"
    is "nothing but ASCII" 0 "$(LC_ALL=C tr -d ' -~\n' <o | wc -c)"
    cat o >"$m/.json/q" && cmp a "$m/q" || no "control characters, there and back, differ"
    # Written by hand.
    each_shell 'printf %s "{\"text\": \"a\\u00fc\\ud83d\\ude00\"}" >$1/.json/q; cat $1/q
        printf %s "{ \"x\":[1,{\"y\":null}], \"priority\":7, \"base64\":\"aGk=\" } " >$1/.json/q
        cat $1/.prio/7/q' "$(printf 'a\303\274\360\237\230\200hi')"
    echo '{"text": "nine"}' >"$m/.json/.prio/9/q" && is "by both" nine "$(cat "$m/.prio/9/.nonblock/q")"
    for i in 1 2 3 4 5; do head -c 4000 /dev/urandom | tee a.$i >"$m/.prio/$i/q"; done
    cat "$m/.drain/.json/q" >"$m/.json/to" || no "cat from queue to queue failed"
    is "all, by priority" "$(cat a.5 a.4 a.3 a.2 a.1 | cksum)" "$(cat "$m/.drain/to" | cksum)"
    # Several in one write, more of them than there is room for.
    background cat "$m/.stream/.json/q" >got
    seq 40 | jq -c '{priority: 3, text: tostring}' >"$m/.json/q" || no "jq failed"
    await "all of them" eval '[ "$(wc -l <got)" = 40 ]'
    is "each, in order" "$(seq 40)" "$(jq -r .text got)"
    kill $!
    for i in '{' '{}' '[]' '{"text": 1}' '{"text": "x"' '{"text": "x", "base64": ""}' '{"base64": "a"}' \
        '{"base64": "a==="}' '{"base64": "=aaa"}' '{"base64": "aa=a"}' '{"text": "\u12"}' '{"text": "\ud800"}' \
        '{"text": "\ud800\u0041"}' '{"text": "x", "priority": 32768}' '{"text": "x", "priority": -1}' \
        '{"text": "x", "priority": "1"}' '{"text": "x", "y": [}' '{"text": "x" "y": 1}' 'x' '{"text": "\q"}'; do
        fails "Invalid argument" bash -c "printf '%s' '$i' >$m/.json/q"
    done
    is "nothing of it was sent" 0 "$(stat -c %s "$m/q")"
}

attributes() {
    mqx create --maxmsg 7 --msgsize 99 q
    is "the queue's" 7 "$(getfattr --only-values -n user.mqx.maxmsg "$m/.drain/q" 2>/dev/null)"
    is "none of directories" "" "$(getfattr -d "$m" "$m/.drain" "$m/.help/README" 2>&1)"
    cp --preserve=all "$m/.stat/q" copy || no "cp --preserve=all failed"
}

readiness() {
    touch "$m/q"
    is "an end to be read, no end, and none" "1 0 0" "$(perl -e '
        for my $v (".drain", ".stream", ".nonblock") {
            open(my $f, "<", "$ARGV[0]/$v/q") or die;
            vec(my $r = "", fileno($f), 1) = 1;
            push(@n, scalar(select($r, undef, undef, 0)));
        }
        print "@n"' "$m")"
    echo x >"$m/q"
    is "of this priority" "0 1 1" "$(perl -e '
        for my $v (".prio/5", ".prio/0", ".peek") {
            open(my $f, "<", "$ARGV[0]/$v/q") or die;
            vec(my $r = "", fileno($f), 1) = 1;
            push(@n, scalar(select($r, undef, undef, 0)));
        }
        print "@n"' "$m")"
    cat "$m/q" >/dev/null
    printf ab >"$m/q"
    is "a rest, and then none" "1 a 1 b 0" "$(perl -e '
        open(my $f, "<", "$ARGV[0]/.stream/q") or die;
        sub ready { vec(my $r = "", fileno($f), 1) = 1; push(@n, scalar(select($r, undef, undef, 0))) }
        for (1, 2) { ready(); sysread($f, $x, 1); push(@n, $x); }
        ready(); print "@n"' "$m")"
}

one_property_each() {
    touch "$m/q"
    fails "No such file or directory" ls "$m/.drain/.stream"
    fails "No such file or directory" ls "$m/.drain/.drain"
    fails "No such file or directory" ls "$m/.drain/.help"
    fails "No such file or directory" ls "$m/.sysv/.prio"
    fails "No such file or directory" ls "$m/.json/.sysv"
    fails "No such file or directory" ls "$m/.drain/.messages"
    fails "No such file or directory" ls "$m/.messages/.peek"
    fails "No such file or directory" ls "$m/.ack/.stream"
    fails "No such file or directory" ls "$m/.ack/.messages"
    fails "No such file or directory" ls "$m/.peek/.stream"
    fails "No such file or directory" ls "$m/.peek/.stat"
    fails "No such file or directory" ls "$m/.stat/.peek"
    fails "No such file or directory" ls "$m/.prio/1/.stat"
    fails "No such file or directory" ls "$m/.stream/.peek"
    fails "No such file or directory" ls "$m/.prio/1/.prio"
    is "any order" "q q" "$(cd "$m" && ls .prio/1/.peek/.nonblock/q .nonblock/.peek/.prio/1/q | xargs -n 1 basename | xargs)"
}

try "the README names the views, and they are there" says_what_there_is
try "each view shows every queue" shows_every_queue
try ".nonblock" nonblock
try ".drain reads until empty" drain
try "unfinished messages go back, from a stream too" unfinished_in_a_stream_goes_back
try ".stream follows" stream
try "several share a stream" several_share_a_stream
try ".peek looks, and takes nothing" peek
try ".peek and .prio of 3000" peeks_deep
try ".prio" prio
try ".stat" shows_status
try ".lines" lines
if command -v jq >/dev/null; then
    try ".json" json
else
    skip ".json" "there is no jq to look at it with"
fi
if command -v getfattr >/dev/null; then
    try "extended attributes" attributes
else
    skip "extended attributes" "there is no getfattr to look at them with"
fi
try "readiness" readiness
try "what contradicts is not there" one_property_each
finish
