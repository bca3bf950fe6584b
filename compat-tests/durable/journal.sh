#!/bin/bash
# The journal beside data.mdb, and what `mqx store` makes of it: while mqxd moves it into the
# database all the time, and after mqxd was killed.
# COPIES: how many backups are made of a store at work.
. "$(dirname "$0")/lib.sh"

copies=${COPIES:-3}

prints() { # text
    grep -qF -- "$1" out || no "stdout lacks '$1': $(cat out)"
}

# Numbers that a dump on stdin has.
numbers_of() {
    sed -n 's/.*"text": "\([0-9]*\) .*/\1/p' | sort -n
}

told() { # 0: the last number that was sent; 1: that was received, or may have been
    od -An -t u8 -j $((8 * $1)) -N 8 told | tr -d ' '
}

# All numbers behind those that were received meanwhile, to the last, and that is not before what
# had been sent.  The last is in $last; counts in $whole.
is_whole() { # file of numbers, the last sent before, the last received after
    last=$(tail -n 1 "$1")
    [ "${last:-0}" -ge "$2" ] || no "the last number is ${last:-none}, and $2 had been sent before"
    [ "$last" -gt $(($3 + 1)) ] || return 0
    awk -v from="$3" 'BEGIN {last = from} $1 > from && $1 != ++last {print last " is missing"; exit 1}' \
        "$1" >gap || no "a gap: $(cat gap)"
    whole=$((whole + 1))
}

# A sender of numbers to the queue q, at full speed: $sender.
start_numbers() { # how many there are at a time, bytes of the largest; until so many were sent
    background mqx run "$BUILD/test/numbers" /q told "$1" "$2" 2>numbers.log
    sender=$!
    await "some numbers" has_sent "${3:-$(($1 + 50))}"
}

has_sent() { # how many
    [ "$(told 0)" -gt "$1" ]
}

stop_numbers() {
    kill -0 $sender || no "the sender ended: $(cat numbers.log)"
    kill -KILL $sender
    wait $sender 2>/dev/null
}

# A small disk has a small journal: 1/16 of it, which holds so many commits of a page.
mount_small() { # MiB
    mkdir store
    mount -t tmpfs -o size="$1m" none store || no "no tmpfs"
}

# Each copy and each dump is of one moment, and has all that was acknowledged before.
looked_at() {
    local i before after whole=0 settled
    mount_small 16
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=9000 --msgsize=400 q
    start_numbers 7000 300
    for ((i = 0; i < copies; i++)); do
        before=$(told 0)
        status 0 mqx store backup copy
        after=$(told 1)
        [ ! -e copy/journal ] || no "the copy has a journal"
        mqx store --store "$PWD/copy" dump q >dump 2>err || no "copy $i: $(cat err)"
        numbers_of <dump >numbers
        is_whole numbers "$before" "$after"
        status 0 mqx store --store copy check
        prints "all is well"
        rm -r copy
        before=$(told 0)
        mqx store dump q >dump 2>err || no "dump $i: $(cat err)"
        after=$(told 1)
        numbers_of <dump >numbers
        is_whole numbers "$before" "$after"
        status 0 mqx store check
        prints "all is well"
    done
    settled=$(($(told 0) / (16 * 1024 / 16 / 4)))
    stop_numbers
    stop_mqxd
    status 0 mqx store check
    prints "all is well"
    umount store
    echo "# of $((2 * copies)) looks at it, $whole had numbers to tell by; it was emptied some $settled times"
    [ $whole -gt 0 ] || no "no look had numbers to tell by"
}

# Numbers from 1 to 40, some of them in the journal only; those that 7 divides were received.
make_queue() {
    local i
    status 0 mqx create --durable=sync --maxmsg=100 --msgsize=90000 q
    for ((i = 1; i <= 40; i++)); do
        head -c $((i % 10 == 0 ? 80000 : 10)) /dev/zero | tr '\0' x | cat <(printf '%d ' $i) - |
            mqx send -p $((i % 7 == 0)) q || no "cannot send"
    done
    status 0 mqx recv --count 5 q
    await "removals to be committed" has_stored 35
}

has_stored() { # messages
    [ "$(mqx store dump q | grep -c '"slot"')" = "$1" ]
}

# Killed when there is something in the journal, which mqxd empties when it likes.
kill_with_commits() {
    kill_mqxd
    until [ "$(commits_in store)" -gt 0 ]; do
        start_mqxd
        status 0 mqx send -p 9 q again
        status 0 mqx recv q
        await "removals to be committed" has_stored 35
        kill_mqxd
    done
}

# They are there, as they were sent, for who opens the queue.
has_queue() {
    mqx recv --line --nonblock --count 35 q >got || no "not 35 messages"
    cut -d ' ' -f 1 got >numbers
    for ((i = 1; i <= 40; i++)); do [ $((i % 7)) = 0 ] || echo $i; done >wanted
    cmp -s numbers wanted || no "other messages: $(paste -sd ' ' numbers)"
    is bytes 320310 "$(cut -d ' ' -f 2 got | tr -d '\n' | wc -c)"
}

# The same in a dump.
dumps_queue() { # store
    mqx store --store "$1" dump q >dump 2>err || no "$1: $(cat err)"
    numbers_of <dump >numbers
    for ((i = 1; i <= 40; i++)); do [ $((i % 7)) = 0 ] || echo $i; done >wanted
    cmp -s numbers wanted || no "$1: other messages: $(paste -sd ' ' numbers)"
}

commits_in() { # store
    mqx store --store "$1" check | sed -n 's/.*, commits in it: //p'
}

serves() { # store
    lose_memory
    start_mqxd --store "$PWD/$1"
    has_queue
    stop_mqxd
}

# Each of the tools takes what is in the journal for stored.
after_kill() {
    start_mqxd
    make_queue
    dumps_queue store # while mqxd is running
    status 0 mqx store backup running
    kill_with_commits
    status 0 mqx store check
    prints "messages: 35, bytes in them: "
    prints "the journal has "
    prints "all is well"
    dumps_queue store
    status 0 mqx store backup killed
    mkdir by-hand && cp store/data.mdb store/journal by-hand
    cp -r store compacted
    status 0 mqx store --store compacted compact
    prints "won: "
    is "what is left behind" "data.mdb mqxd.lock" "$(ls compacted | paste -sd ' ')"
    for copy in running killed by-hand compacted; do
        dumps_queue $copy
        is "$copy: commits in a journal" "$([ $copy = by-hand ] && commits_in store)" "$(commits_in $copy)"
        serves $copy
    done
    serves store
    status 0 mqx store check # it has ended: the database has all
    grep -q "journal" out && no "a journal counts: $(cat out)"
    rm store/journal
    status 0 mqx store check
}

encrypted() {
    printf '%064d\n' 1 | tr 0 1 >key
    chmod 600 key
    printf 'key_file = %s\n[*]\nencrypt = yes\n' "$PWD/key" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
    start_mqxd
    make_queue
    kill_with_commits
    { printf '%064d\n' 2 | tr 0 2; cat key; } >keys
    chmod 600 keys
    grep -qa xxxxxx store/journal && no "the journal can be read"
    dumps_queue store
    status 0 mqx store --key-file "$PWD/keys" rekey
    prints "messages: 35"
    status 1 mqx store dump q
    head -n 1 keys >key
    dumps_queue store
    serves store
}

missing() {
    start_mqxd
    make_queue
    kill_with_commits
    mv store/journal kept
    lose_memory
    status 1 timeout 60 mqxd
    says "its journal is missing"
    says "make an empty file journal"
    for command in check dump "backup copy" compact; do
        status 1 mqx store $command
        says "its journal is missing"
    done
    [ ! -e copy/data.mdb ] || no "a copy of half a store"
    is "what is there" "data.mdb lock.mdb mqxd.lock" "$(ls store | paste -sd ' ')"
    for kind in mkdir mkfifo 'ln -s /etc/passwd'; do
        $kind store/journal
        status 1 timeout 60 mqxd
        grep -q "store .*/journal: " err || no "$kind: mqxd said: $(cat err)"
        status 1 timeout 60 mqx store check
        grep -q "store .*/journal: " err || no "$kind: mqx said: $(cat err)"
        rm -d store/journal
    done
    cp -r store without
    mv kept store/journal
    serves store
    : >without/journal
    status 0 mqx store --store without check
    prints "all is well"
    lose_memory
    start_mqxd --store "$PWD/without" # as it was before the journal's first commit
    printf '50 x' | mqx send q && printf '51 x' | mqx send q || no "cannot send"
    kill_mqxd
    lose_memory
    start_mqxd --store "$PWD/without"
    mqx store --store without dump q | numbers_of >numbers
    tail -n 2 numbers | paste -sd ' ' | grep -qx '50 51' || no "not stored: $(cat numbers)"
}

# Killed while it commits as fast as it can; then damages of all kinds: of what was committed there
# is a beginning, and nothing else.
damaged() {
    local i kind commits sent whole refused=0
    start_mqxd
    status 0 mqx create --durable=sync --maxmsg=60000 --msgsize=4000 q
    until [ "${commits:-0}" -gt 20 ]; do
        start_numbers 100000 3000 $((${sent:-0} + 200))
        kill_mqxd
        sent=$(told 0)
        stop_numbers
        commits=$(commits_in store)
        cp -r store good
        [ "$commits" -gt 20 ] || { rm -r good && start_mqxd; }
    done
    for i in $(seq "${DAMAGES:-10}"); do
        rm -rf store && cp -r good store
        kind=$((i % 5))
        case $kind in
        0) truncate -s $((RANDOM * 32 % (4096 * commits))) store/journal ;;
        1) "$BUILD/test/scribble" --seed $((seed + i)) --writes 400 --kinds bytes store/journal >out 2>err ||
            no "cannot scribble: $(cat err)" ;;
        2) head -c 1000000 /dev/urandom >store/journal ;;
        3) head -c 5000000 /dev/urandom >>store/journal ;;
        4) # a commit, with others behind it
            head -c 100 /dev/urandom | dd of=store/journal bs=4096 seek=$((RANDOM % (commits - 1))) \
                conv=notrunc status=none
            ;;
        esac
        lose_memory
        mqx store check >out 2>err || [ $? = 1 ] || no "damage $i: mqx ended with $?: $(cat err)"
        if grep -q "journal: it is damaged at byte" err; then
            cp store/journal before
            status 1 timeout 60 mqxd
            says "journal: it is damaged at byte"
            cmp -s store/journal before && cmp -s store/data.mdb good/data.mdb || no "damage $i: it was touched"
            truncate -s "$(sed -n 's/.*(truncate -s \([0-9]*\)).*/\1/p' err)" store/journal
            refused=$((refused + 1))
        elif [ $kind = 4 ]; then
            no "damage $i: it was not noticed"
        fi
        mqx store dump >dump 2>err || no "damage $i: mqx ended with $?: $(cat err)"
        numbers_of <dump >numbers
        awk '$1 != NR {print NR " is missing"; exit 1}' numbers >gap || no "damage $i: $(cat gap)"
        [ $kind != 3 ] || [ "$(wc -l <numbers)" -ge "$sent" ] || # what is behind the end has no meaning
            no "damage $i: of $sent, $(wc -l <numbers) are left"
        start_mqxd
        timeout 60 mqx recv --line --nonblock --count 60000 q >out 2>err
        cut -d ' ' -f 1 out >got
        cmp -s numbers got || no "damage $i: the dump has $(wc -l <numbers), mqxd $(wc -l <got)"
        stop_mqxd
    done
    echo "# of ${DAMAGES:-10} damaged journals, with $commits commits, $refused were refused"
}

seed=${SCRIBBLE_SEED:-$RANDOM} RANDOM=$seed
echo "# SCRIBBLE_SEED=$seed"
try "check, dump, backup and compact, with commits in the journal" after_kill
try "rekey, with commits in the journal" encrypted
try "a journal that is missing, or no file" missing
try "a damaged journal" damaged
try_with_mount "a store that is looked at while its journal is filled and emptied" looked_at
finish
