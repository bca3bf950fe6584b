#!/bin/bash
# mqx store: what mqxd keeps on disk, looked at, copied and compacted.
. "$(dirname "$0")/lib.sh"

prints() { # text
    grep -qF -- "$1" out || no "stdout lacks '$1': $(cat out)"
}

file_size() {
    stat -c %s "$MQX_STORE/data.mdb"
}

# Messages that are no text, of all sizes, and a System V queue's.
dumped() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=100 --msgsize=9000 q
    for size in 0 1 2 3 100 5000 9000; do
        head -c $size /dev/urandom >"message-$size"
        mqx send -p 7 q <"message-$size" || no "cannot send"
    done
    status 0 mqx send q $'text: "quoted"\n'
    printf '[.sysv/*]\ndurable = sync\n' >mqx.conf
    id=$(MQX_CONF=$PWD/mqx.conf mqx run ipcmk -Q | grep -o '[0-9]*$') || no "no System V queue"
    status 0 mqx send --type=42 ".sysv/$id" "of a type"
    status 0 mqx store dump # while mqxd is running
    is queues 2 "$(grep -c '"uuid"' out)"
    grep -q '"queue": "q", .*"priority": 0, .*"text": "text: \\"quoted\\"\\n"' out ||
        no "no text: $(tail -n 3 out)"
    grep -q "\"queue\": \".sysv/$id\", .*\"type\": 42, .*\"text\": \"of a type\"" out ||
        no "no System V message: $(tail -n 3 out)"
    for size in 1 2 3 100 5000 9000; do
        grep "\"priority\": 7, \"size\": $size," out >line || no "no message of $size bytes"
        if grep -q '"base64"' line; then
            sed 's/.*"base64": "\([^"]*\)".*/\1/' line | base64 -d >back
            cmp -s back "message-$size" || no "other bytes in the message of $size bytes"
        fi
    done
    is "are base64" 3 "$(grep -c 'size": [159]00*,.*"base64"' out)"
    status 0 mqx store dump /q
    is "one queue's lines" 9 "$(wc -l <out)"
    status 1 mqx store dump other
    says "no such queue"
}

fill() { # count size
    local i
    for ((i = 1; i <= $1; i++)); do
        printf "%0$2d" "$i" | mqx send -p $((i % 3)) q || return 1
    done
}

has_messages() { # at least
    [ "$(mqx stat q | sed -n 's/^messages: //p')" -ge "$1" ]
}

# A copy is one moment's, whatever goes on; mqxd gives it back.
backed_up() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=4000 --msgsize=900 q
    fill 60 700 || no "cannot send"
    background fill 300 100
    filler=$!
    await "more messages" has_messages 65
    for i in 1 2 3; do
        status 0 mqx store backup "copy-$i"
        status 0 mqx store --store "copy-$i" check
        prints "all is well"
    done
    status 0 mqx store check
    wait $filler || no "a sender failed"
    status 1 mqx store backup copy-1
    says "there is a store already"
    kill_mqxd
    lose_memory
    start_mqxd --store "$PWD/copy-3"
    messages=$(mqx stat q | sed -n 's/^messages: //p')
    [ "$messages" -ge 64 ] || no "the copy has $messages messages" # the last may be on its way
    status 0 mqx recv --line --nonblock --count "$messages" q
    # By priority, then as they were sent: what was sent before the copy was made, and no gap.
    sed 's/^0*//' out >got
    more=$((messages - 60))
    for p in 2 1 0; do
        for n in 60 $more; do
            for ((i = 1; i <= n; i++)); do [ $((i % 3)) = $p ] && echo $i; done
        done
    done >wanted
    cmp -s wanted got || no "other messages: $(diff wanted got | head -n 5)"
}

compacted() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=1000 --msgsize=9000 q
    fill 60 9000 || no "cannot send"
    status 0 mqx recv --count 50 q
    status 1 mqx store compact
    says "mqxd is using it"
    stop_mqxd
    before=$(file_size)
    chmod 640 "$MQX_STORE/data.mdb"
    status 0 mqx store compact
    prints "won: "
    [ "$(file_size)" -lt $((before / 2)) ] || no "of $before bytes, $(file_size) are left: $(cat out)"
    is "what is left behind" "data.mdb mqxd.lock" "$(ls "$MQX_STORE" | paste -sd ' ')"
    lose_memory
    start_mqxd
    is messages 10 "$(mqx recv --line --nonblock --count 10 q | wc -l)"
}

# Its room is used again; also that which somebody had in view who was killed.
reused() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=1000 --msgsize=9000 q
    fill 20 9000 || no "cannot send"
    mkfifo pipe
    mqx store dump >pipe & # writes into a pipe that nobody reads
    reader=$!
    exec 3<pipe
    await "it to write" grep -q pipe_write "/proc/$reader/stack" /proc/$reader/wchan
    one_round
    is_steady && no "its room is used again while somebody has it in view"
    kill -KILL $reader
    wait $reader 2>/dev/null
    exec 3<&-
    await "its room to be used again" is_steady
}

one_round() {
    mqx recv --count 20 q >out && fill 20 9000
}

is_steady() {
    local before
    before=$(file_size)
    one_round && [ "$(file_size)" -le "$before" ]
}

refused() {
    status 1 mqx store check
    says "there is none"
    mkdir empty
    status 1 mqx store --store empty check
    is "what was made in it" "" "$(ls empty)"
    mkdir other
    head -c 20000 /dev/urandom >other/data.mdb
    status 1 mqx store --store other check
    says "store other: "
    status 2 mqx store
    status 2 mqx store frobnicate
    status 2 mqx store dump a b
    status 0 mqx store --help
    prints backup
}

# As mqxd's own start: it says which page, and does not crash.
damaged() {
    local i at size
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=400 --msgsize=9000 q
    fill 30 200 && fill 5 8000 || no "cannot send"
    stop_mqxd
    size=$(file_size)
    wrong=0
    for ((i = 0; i < 12; i++)); do
        rm -rf bad
        cp -r store bad
        at=$((2 + i % (size / 4096 - 2)))
        head -c 4096 /dev/urandom | dd of=bad/data.mdb bs=4096 seek=$at conv=notrunc status=none
        # In its head: the page's size, where it is to be mapped, and how large.
        case $i in
        0 | 1) printf '\0\0\0\177' | dd of=bad/data.mdb bs=1 seek=$((4096 * i + 40)) conv=notrunc status=none ;;
        2 | 3) printf '\377\377' | dd of=bad/data.mdb bs=1 seek=$((4096 * (i - 2) + 27)) conv=notrunc status=none ;;
        4 | 5) printf '\377\377' | dd of=bad/data.mdb bs=1 seek=$((4096 * (i - 4) + 38)) conv=notrunc status=none ;;
        esac
        mqx store --store bad check >out 2>err
        result=$?
        case $result in
        0) ;;
        1) wrong=$((wrong + 1)) && says "its data.mdb is damaged: " ;;
        *) no "page $at: mqx ended with $result: $(cat err)" ;;
        esac
        cp bad/data.mdb before
        mqx store --store bad compact >out 2>err
        is "page $at: compact" $result $?
        [ $result = 0 ] || cmp -s bad/data.mdb before || no "page $at: compact touched it"
        [ ! -e bad/data.mdb.part ] || no "page $at: a part is left"
    done
    [ $wrong -gt 0 ] || no "no page of $((size / 4096)) is looked at"
}

disk_full() {
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=1000 --msgsize=9000 q
    fill 40 9000 || no "cannot send"
    mkdir small
    mount -t tmpfs -o size=200k none small || no "no tmpfs"
    status 1 mqx store backup small/copy
    says "No space left"
    is "what is left of it" "" "$(ls small/copy)"
    umount small
}

users_own() {
    mkdir -m 777 his
    background setpriv --reuid=65534 --regid=65534 --clear-groups mqxd --store "$PWD/his/store" 2>his.log
    await "his mqxd" grep -qx 'mqxd: ready' his.log
    kill -TERM $!
    wait $!
    rm his/store/mqxd.lock his/store/lock.mdb
    status 0 mqx store --store his/store check # by root
    status 0 mqx store --store his/store compact
    status 0 setpriv --reuid=65534 --regid=65534 --clear-groups mqx store --store his/store check
}

try "dump: all that there is, byte for byte" dumped
try "backup, while mqxd is at work" backed_up
try "compact gives room back" compacted
try "room is used again, also after a reader was killed" reused
try "what is no store is refused" refused
try "a damaged store" damaged
try_as_root "a user's own store, looked at by root" users_own
try_with_mount "backup to a full disk" disk_full
finish
