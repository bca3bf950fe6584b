#!/bin/bash
# Messages as files: .messages/QUEUE/ID.
. "$(dirname "$0")/lib.sh"

fill() { # queue text...: with priorities 0, 1, 0, 1, ... : those with 1 come first
    local queue=$1 prio=0 text
    shift
    for text; do
        mqx send -p $prio "$queue" "$text" || no "cannot send"
        prio=$((1 - prio))
    done
}

texts() { # queue: of its messages, in the order of their names
    local file
    for file in "$m/.messages/$1"/*; do
        [ -e "$file" ] && cat "$file" && echo
    done | paste -sd ' '
}

first() { # queue: the name of its first message
    ls "$m/.messages/$1" | head -n 1
}

shows_them_in_order() {
    touch "$m/q"
    is "none" "" "$(ls -A "$m/.messages/q")"
    is "queues as directories" "drwxr-xr-x q" "$(ls -l "$m/.messages" | awk 'NR > 1 {print $1, $9}' | sed s/xrwxrwx/xr-xr-x/)"
    fill q a B c D e
    is "as they would be received" "B D a c e" "$(texts q)"
    is "by find" "5 files" "$(find "$m/.messages/q" -type f | wc -l) files"
    is "nothing was taken" "B D a c e" "$(for i in 1 2 3 4 5; do mqx recv --line q; done | paste -sd ' ')"
    is "none again" "" "$(ls -A "$m/.messages/q")"
}

shows_attributes() {
    local file now
    (umask 022 && touch "$m/q")
    date +%s >before
    printf 12345 >"$m/q"
    file=$m/.messages/q/$(first q)
    is "mode, owner, size" "-r--r--r-- 1 $(id -u) $(id -g) 5" "$(stat -c '%A %h %u %g %s' "$file")"
    now=$(stat -c %Y "$file")
    [ "$now" -ge $(($(cat before) - 1)) ] && [ "$now" -le "$(date +%s)" ] ||
        no "it was sent between $(cat before) and $(date +%s), not at $now"
    is "as the directory says" "$(stat -c %i "$file")" "$(ls -i "$m/.messages/q" | cut -d ' ' -f 1)"
    fails "Operation not permitted" chmod 600 "$file"
    refused "Read-only file system" touch "$file"
    fails "Operation not permitted" touch "$m/.messages/q/mine"
    fails "Operation not permitted" mkdir "$m/.messages/q/mine"
    refused "Operation not permitted" rmdir "$m/.messages/q"
    refused "Operation not permitted" touch "$m/.messages/new"
    fails "" bash -c "echo x >$file"
    fails "No such file or directory" cat "$m/.messages/q/1"
    fails "No such file or directory" cat "$m/.messages/q/$(first q | tr 0-9a-f 1-9a-f0)"
    fails "No such file or directory" ls "$m/.messages/none"
    is "it is as it was" 12345 "$(cat "$file")"
}

reads_without_taking() {
    local file
    head -c 8000 /dev/urandom >bytes
    touch "$m/q"
    cat bytes >"$m/q"
    file=$m/.messages/q/$(first q)
    cmp -s bytes "$file" || no "cat shows other bytes"
    cp "$file" copy && cmp -s bytes copy || no "cp shows other bytes"
    dd if="$file" bs=100 skip=3 2>/dev/null | cmp -s - <(tail -c +301 bytes) || no "dd shows others"
    exec 5<"$file"
    rm "$file" || no "rm failed"
    [ -e "$file" ] && no "it is still there"
    cmp -s bytes - <&5 || no "what is open cannot be read"
    is "it is consumed" "" "$(cat "$m/.drain/q")"
    echo text >"$m/q"
    is "in another form" '"text": "text\n"}' "$(grep -o '"text".*' "$m/.messages/.json/q/$(first q)")"
    is "the other way round" '"priority": 0' "$(grep -o '"priority": 0' "$m/.json/.messages/q/$(first q)")"
}

removes_exactly_one() {
    local pid
    touch "$m/q"
    fill q a B c
    rm "$m/.messages/q/$(ls "$m/.messages/q" | sed -n 2p)" || no "rm failed"
    is "the others are there" "B c" "$(texts q)"
    cat "$m/.drain/q" >/dev/null
    mqx create --maxmsg 300 deep
    seq 300 >"$m/.lines/deep" # one message
    for i in $(seq 299); do echo "$i"; done | while read -r i; do echo "$i"; done >"$m/deep"
    ls "$m/.messages/deep" >names
    is "all are there" 300 "$(wc -l <names)"
    for i in 1 2 3 4; do
        (cd "$m/.messages/deep" && xargs rm -v 2>/dev/null) <names >removed.$i &
        echo $! >remover.$i.pid
    done
    for i in 1 2 3 4; do wait "$(cat remover.$i.pid)"; done
    is "each was removed once" 300 "$(sort removed.? | uniq | wc -l)"
    is "and no more often" 300 "$(cat removed.? | wc -l)"
    is "nothing is left" 0 "$(stat -c %s "$m/deep")"
}

gives_room_and_wakes() {
    local pid
    touch "$m/full" "$m/empty"
    for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >"$m/full"; done
    background bash -c "echo 11 >$m/full"
    pid=$!
    blocked $pid
    rm "$m/.messages/full/$(first full)" || no "rm failed"
    wait $pid || no "who waited for room failed"
    background cat "$m/empty" >got
    pid=$!
    blocked $pid
    mv "$m/.messages/full/$(first full)" "$m/.messages/empty/" || no "mv failed"
    wait $pid || no "who waited for a message failed"
    is "got" 2 "$(cat got)"
    is "left" "3 4 5 6 7 8 9 10 11" "$(cat "$m/.drain/full" | paste -sd ' ')"
}

moves() {
    local one
    touch "$m/a" "$m/b" "$m/q"
    fill a a B c
    fill b x Y
    mv "$m/.messages/a/"* "$m/.messages/b/" || no "mv failed"
    is "all are there, by priority" "Y B x a c" "$(texts b)"
    is "and not here" "" "$(texts a)"
    one=$(first b)
    mqx create other
    mv "$m/.messages/b/$one" "$m/.messages/other/mine" || no "mv to a name failed"
    is "by that name" Y "$(cat "$m/.messages/other/mine")"
    is "which it does not have" 0 "$(ls "$m/.messages/other" | grep -c mine)"
    mv "$m/.messages/other/mine" "$m/.messages/b/" || no "mv by that name failed"
    fails "No such file or directory" cat "$m/.messages/other/mine"
    one=$(first b)
    fails "Operation not permitted" mv "$m/.messages/b/$one" "$m/q"
    fails "Operation not permitted" mv "$m/.messages/b/$one" "$m/new"
    refused "Operation not permitted" mv "$m/.messages/b/$one" "$m/.messages/new"
    fails "Operation not permitted" mv "$m/.messages/b/$one" "$m/.messages/b/other"
    refused "Operation not permitted" mv "$m/.messages/b" "$m/.messages/c"
    mv "$m/.messages/b/$one" elsewhere || no "mv out of the mount failed" # a copy, and a removal
    is "one is elsewhere" B "$(cat elsewhere)"
    fails "Operation not permitted" mv "$m/q" "$m/.messages/b/"
    is "nothing else changed" "Y x a c" "$(texts b)"
    mqx create --msgsize 1 small
    mqx send a long
    fails "Message too long" mv "$m/.messages/a/$(first a)" "$m/.messages/small/"
    mqx create --maxmsg 1 one
    mqx send one 1
    fails "Resource temporarily unavailable" mv "$m/.messages/a/$(first a)" "$m/.messages/one/"
    is "it stays where it is" long "$(texts a)"
    is "and can be received" long "$(cat "$m/.nonblock/a")"
}

# Two move the same ones, to different queues.
one_mover_gets_it() {
    local pids=()
    for name in from left right; do mqx create --maxmsg 200 $name; done
    for i in $(seq 200); do echo "$i"; done | while read -r i; do echo "$i"; done >"$m/from"
    ls "$m/.messages/from" >names
    for to in left right; do
        (cd "$m/.messages" && sed 's|^|from/|' | xargs -n 20 mv -t $to/) <names 2>$to.err &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    is "each once" "$(seq 200)" "$(cat "$m/.drain/left" "$m/.drain/right" | sort -n)"
    is "none is left" "" "$(cat "$m/.drain/from")"
    is "what they said" "" "$(grep -v "No such file or directory" left.err right.err)"
}

taken_ones_are_not_there() {
    touch "$m/q" "$m/b"
    fill q a B
    local file=$m/.messages/q/$(first q)
    exec 5<"$m/q"
    dd bs=1 count=0 <&5 2>/dev/null
    is "its first byte" B "$(dd bs=1 count=1 <&5 2>/dev/null)"
    # One byte is all of it: it is consumed.  Of a longer one, the first byte leaves it held.
    fill q long
    exec 5<"$m/.prio/0/q"
    is "its first byte" a "$(dd bs=1 count=1 <&5 2>/dev/null)"
    exec 5<"$m/.prio/0/q"
    is "its first byte" l "$(dd bs=1 count=1 <&5 2>/dev/null)"
    is "held" "" "$(texts q)"
    fails "No such file or directory" rm "$file"
    fails "No such file or directory" mv "$file" "$m/.messages/b/"
    exec 5<&-
    await "it to be back" test -n "$(texts q)"
    is "back" long "$(texts q)"
}

sysv_queues() {
    local id other
    id=$(mqx run ipcmk -Q | grep -o '[0-9]*$')
    other=$(mqx run ipcmk -Q | grep -o '[0-9]*$')
    mqx send --type 7 ".sysv/$id" seven
    mqx send --type 3 ".sysv/$id" three
    is "in their order" "seven three" "$(texts ".sysv/$id")"
    is "the same" "$(ls "$m/.messages/.sysv/$id")" "$(ls "$m/.sysv/.messages/$id")"
    mv "$m/.messages/.sysv/$id/$(first ".sysv/$id")" "$m/.messages/.sysv/$other/" || no "mv failed"
    is "its type is kept" "7	seven" "$(mqx recv --nonblock -p ".sysv/$other")"
    touch "$m/posix"
    fails "" mv "$m/.messages/.sysv/$id/$(first ".sysv/$id")" "$m/.messages/posix/"
    is "it stays" three "$(texts ".sysv/$id")"
    rm "$m/.messages/.sysv/$id/"* || no "rm failed"
    is "it is empty" 0 "$(stat -c %s "$m/.sysv/$id")"
    refused "Operation not permitted" rm -f "$m/.sysv/.drain/$id"
    echo x >"$m/.sysv/.drain/$id.5"
    is "a stream" x "$(cat "$m/.drain/.sysv/$id.5")"
}

durable_queues() {
    start_mqxd
    mqx create --durable=sync safe || no "cannot create it"
    touch "$m/q"
    echo precious >"$m/q"
    kill -STOP $mqxd
    mv "$m/.messages/q/$(first q)" "$m/.messages/safe/" || no "mv failed"
    is "it is there" precious "$(texts safe | xargs)"
    is "and no more here" "" "$(texts q)"
    is "but kept until it is on disk" "messages: 1" "$(mqx stat q | grep ^messages)"
    background bash -c "echo more >$m/safe"
    blocked $!
    kill -CONT $mqxd
    wait $! || no "a write that waited behind it failed"
    await "it to be consumed" eval '[ "$(mqx stat q | grep ^messages)" = "messages: 0" ]'
    kill -KILL $mqxd
    wait $mqxd 2>/dev/null
    is "moved" "precious more" "$(texts safe | xargs)"
    is "away" "" "$(texts q)"
    echo last >"$m/q"
    fails "No such process" mv "$m/.messages/q/$(first q)" "$m/.messages/safe/"
    is "it stays" last "$(texts q | xargs)"
    rm "$MQX_DIR"/queues/safe # as after a reboot
    start_mqxd
    [ -e "$m/safe" ] || no "the queue was not restored"
    is "it was on disk" "precious more" "$(texts safe | xargs)"
}

users() {
    local q
    for q in his news drop open; do touch "$m/$q"; mqx send $q "$q"; done
    chmod 600 "$m/his"
    chmod 644 "$m/news"
    chmod 622 "$m/drop"
    chmod 666 "$m/open"
    fails "Permission denied" as 1502 ls "$m/.messages/his"
    fails "Permission denied" as 1502 cat "$m/.messages/his/$(first his)"
    fails "Permission denied" as 1502 rm -f "$m/.messages/his/$(first his)"
    fails "Permission denied" as 1502 mv "$m/.messages/open/$(first open)" "$m/.messages/his/"
    is "to be read" news "$(as 1502 cat "$m/.messages/news/$(first news)")"
    fails "Permission denied" as 1502 mv "$m/.messages/open/$(first open)" "$m/.messages/news/"
    fails "Permission denied" as 1502 ls "$m/.messages/drop"
    fails "Permission denied" as 1502 cat "$m/.messages/drop/$(first drop)"
    fails "Permission denied" as 1502 rm -f "$m/.messages/drop/$(first drop)"
    fails "Permission denied" as 1502 mv "$m/.messages/drop/$(first drop)" "$m/.messages/open/"
    as 1502 mv "$m/.messages/news/$(first news)" "$m/.messages/drop/" || no "he cannot move it there"
    as 1502 rm "$m/.messages/open/$(first open)" || no "he cannot remove what he may receive"
    is "it all" "his- drop-news open-" "$(texts his)- $(texts drop | tr ' ' -) open-$(texts open)"
    is "the sender" "0 1502" "$(stat -c %u "$m/.messages/drop/"* | paste -sd ' ')"
    # By group, a supplementary one too.
    chgrp 0 "$m/his" && chmod 660 "$m/his"
    is "by group" his "$(setpriv --reuid=1502 --regid=1502 --groups=0 cat "$m/.messages/his/$(first his)")"
    setpriv --reuid=1502 --regid=1502 --groups=0 rm "$m/.messages/his/$(first his)" || no "rm by group"
}

try "messages are files, the next one first" shows_them_in_order
try "their attributes" shows_attributes
try "reading takes nothing" reads_without_taking
try "rm consumes exactly one, once" removes_exactly_one
try "rm and mv wake who waits" gives_room_and_wakes
try "mv" moves
try "two who move the same ones" one_mover_gets_it
try "what somebody holds is not there" taken_ones_are_not_there
try "System V queues" sysv_queues
try "a durable queue" durable_queues
try_as_root "who may do what" users
finish
