#!/bin/bash
# mqx, mqxfs and mqxd without room, descriptors, client numbers or memory: one
# clear line on standard error, nothing lost, nothing half done, and they go on
# when there is some again.  Each case has a small tmpfs of its own as $MQX_DIR.

if [ -z "$IN_NAMESPACE" ]; then # mounts that nobody else sees
    if ! unshare -m true 2>/dev/null; then
        echo "skip - programs: needs a private mount namespace"
        exit 0
    fi
    IN_NAMESPACE=1 exec unshare -m --propagation private "$0" "$@"
fi
. "$(dirname "$0")/../durable/lib.sh"
cp "$BUILD/bin/mqxfs" "$scratch/bin"
mount=''

small() { # pages: a tmpfs of that size on $MQX_DIR
    mount -t tmpfs -o mode=1777,size=$(($1 * 4096)) small "$MQX_DIR" || no "mount failed"
}

free_pages() {
    stat -f -c %f "$MQX_DIR"
}

fill_up() { # pages: leave so many, for a file named ballast
    local extra=$(($(free_pages) - ${1:-0}))
    [ $extra -le 0 ] || head -c $((extra * 4096)) /dev/zero >>"$MQX_DIR/ballast"
    is "free pages" "${1:-0}" "$(free_pages)"
}

make_room() {
    rm "$MQX_DIR/ballast"
}

# fails STATUS TEXT COMMAND...: it ends with that, having said one line with the text in it.
fails() {
    local wanted=$1 text=$2
    shift 2
    status "$wanted" "$@"
    [ "$(wc -l <err)" -eq 1 ] || no "'$*' said not one line: $(cat err)"
    grep -qF "$text" err || no "'$*' did not say '$text': $(cat err)"
}

files() {
    find "$MQX_DIR"/{queues,fifos,tmp,gone} -mindepth 1 2>/dev/null | wc -l
}

# --- mqx ------------------------------------------------------------------------------------------

mqx_without_room() {
    small 200
    fill_up
    fails 1 "no room left in $MQX_DIR" mqx create q
    is "files" 0 "$(files)"
    make_room
    status 0 mqx create --maxmsg=5000 --msgsize=5000 q
    status 0 mqx send q small
    fill_up
    fails 1 "no room left in $MQX_DIR" mqx send q "$(head -c 5000 /dev/zero | tr '\0' x)"
    status 0 mqx ls -l
    grep -q " q$" out || no "mqx ls: $(cat out)"
    status 0 mqx stat q
    status 0 mqx recv q
    is "message" small "$(cat out)"
    status 0 mqx unlink q
    is "files" 0 "$(files)"
    status 0 mqx create q
}

# Each needs just one.
mqx_with_one_descriptor() {
    small 2000
    status 0 one mqx create q
    status 0 one mqx send q message
    status 0 one mqx ls
    is "queues" q "$(cat out)"
    status 0 one mqx stat q
    status 0 one mqx recv q
    is "message" message "$(cat out)"
    status 0 one mqx unlink q
    is "files" 0 "$(files)"
}

one() { # command...: with one descriptor beside the usual three
    bash -c 'ulimit -n 4 && exec "$@" 3>&-' bash "$@"
}

# Somebody holds all client numbers; $holder is its process.
hold_numbers() {
    background "$BUILD/test/registry" --hold "$MQX_DIR/clients/$(id -u)" >locked
    holder=$!
    await "the lock" grep -q held locked
}

release_numbers() {
    kill -KILL "$holder"
    wait "$holder" 2>/dev/null
}

mqx_without_numbers() {
    small 2000
    status 0 mqx create q
    status 0 mqx send q message
    hold_numbers
    fails 1 "16384" mqx send q another
    fails 1 "16384" mqx recv q
    release_numbers
    status 0 mqx recv q
    is "message" message "$(cat out)"
}

mqx_without_memory() {
    small 2000
    status 0 mqx create q
    status 0 mqx create --maxmsg=10000 --msgsize=100000 large # a gigabyte of addresses
    (
        ulimit -v 200000
        fails 1 "Cannot allocate memory" mqx send large another
        fails 1 "Cannot allocate memory" mqx create --maxmsg=10000 --msgsize=100000 new
        status 0 mqx send q message
    ) || exit 1
    status 0 mqx recv q
    is "message" message "$(cat out)"
}

# --- mqxfs ----------------------------------------------------------------------------------------

serving() {
    ls "$mount" && grep -qF " $mount fuse.mqxfs " /proc/mounts
}

start_mqxfs() { # also for end_all
    mount=$case_dir/m
    mkdir -p "$mount"
    background mqxfs -f "$mount" 2>mqxfs.log
    fs=$!
    await "the mount" serving
}

stop_mqxfs() {
    umount "$mount" || no "umount failed"
    wait "$fs" || no "mqxfs ended with $?: $(cat mqxfs.log)"
}

says() { # text command...: a shell's redirection or a program fails and says so
    local text=$1
    shift
    if "$@" >out 2>err; then no "'$*' succeeded"; fi
    grep -qF "$text" err || no "'$*' did not say '$text': $(cat err)"
}

write() { # text file
    printf %s "$1" >"$2"
}

mqxfs_without_room() {
    small 300
    status 0 mqx create --maxmsg=5000 --msgsize=5000 q
    start_mqxfs
    write first "$mount/q"
    fill_up
    says "No space left" write "$(head -c 5000 /dev/zero | tr '\0' x)" "$mount/q"
    says "No space left" touch "$mount/new"
    is "message" first "$(cat "$mount/q")"
    make_room
    write second "$mount/q"
    touch "$mount/new"
    is "message" second "$(cat "$mount/q")"
    rm "$mount/q" "$mount/new"
    is "files" 0 "$(files)"
    stop_mqxfs
    [ ! -s mqxfs.log ] || no "mqxfs said: $(cat mqxfs.log)"
}

descriptors_of() { # pid
    find "/proc/$1/fd" -mindepth 1 | wc -l
}

# It gets no more than it has: the limit is the lowest that is free.
no_more_descriptors() { # pid
    local n=0
    while [ -e "/proc/$1/fd/$n" ]; do n=$((n + 1)); done
    prlimit --pid "$1" --nofile=$n:
}

more_descriptors() { # pid
    prlimit --pid "$1" --nofile=1000:
}

mqxfs_without_descriptors() {
    local n
    small 3000
    status 0 mqx create a
    status 0 mqx send a "in a"
    start_mqxfs
    exec 4<>"$mount/a" # open before
    n=$(descriptors_of "$fs")
    no_more_descriptors "$fs"
    write "to a" /dev/fd/4
    says "Too many open files" touch "$mount/new"
    status 0 mqx create b
    status 0 mqx send b "in b"
    says "Too many open files" cat "$mount/b"
    is "files" 4 "$(files)"
    is "message" "in a" "$(cat "$mount/a")"
    more_descriptors "$fs"
    is "descriptors" "$n" "$(descriptors_of "$fs")"
    is "message" "to a" "$(cat "$mount/a")"
    is "message" "in b" "$(cat "$mount/b")"
    touch "$mount/new"
    exec 4>&-
    stop_mqxfs
    [ "$(grep -cv "Too many open files" mqxfs.log)" -eq 0 ] || no "mqxfs said: $(cat mqxfs.log)"
}

mqxfs_without_numbers() {
    small 2000
    status 0 mqx create q
    status 0 mqx send q message
    start_mqxfs
    hold_numbers
    says "Too many users" cat "$mount/q"
    release_numbers
    is "message" message "$(cat "$mount/q")"
    stop_mqxfs
}

# --- mqxd -----------------------------------------------------------------------------------------

durable() { # policy
    printf '[*]\ndurable = %s\n' "$1" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
}

# A full tmpfs keeps no message from the disk.
mqxd_without_room() {
    small 400
    durable async
    start_mqxd
    status 0 mqx create --maxmsg=500 --msgsize=5000 q
    status 0 mqx send q one
    fill_up
    status 0 mqx send q two
    await "both on disk" is_stored two
    kill_mqxd
    start_mqxd # also started anew
    status 0 mqx send q three
    await "the third on disk" is_stored three
    status 0 mqx recv q
    is "message" one "$(cat out)"
    make_room
    stop_mqxd
}

# No room for what is to be restored: it says so, and it is there when there is room.
mqxd_restores_without_room() {
    local n
    small 2000
    durable async
    start_mqxd
    status 0 mqx create --maxmsg=100 --msgsize=5000 q
    for n in 1 2 3 4 5; do
        status 0 mqx send q "$n$(head -c 4900 /dev/zero | tr '\0' x)"
    done
    status 0 mqx send q last
    await "the messages on disk" is_stored last
    stop_mqxd
    lose_memory
    fill_up 3
    background mqxd 2>mqxd.log
    mqxd=$!
    await "mqxd to say something" grep -q "mqxd: " mqxd.log
    await "mqxd to end or be ready" is_ready
    grep -q "$MQX_DIR" mqxd.log || no "it does not say what is full: $(cat mqxd.log)"
    kill_mqxd
    make_room
    start_mqxd
    for n in 1 2 3 4 5; do
        status 0 mqx recv q
        is "message" $n "$(head -c 1 out)"
    done
    status 0 mqx recv q
    is "message" last "$(cat out)"
    stop_mqxd
}

mqxd_without_descriptors() {
    small 2000
    durable async
    start_mqxd
    status 0 mqx create q
    status 0 mqx send q one
    await "it on disk" is_stored one
    no_more_descriptors "$mqxd"
    status 0 mqx send q two
    await "a message to a queue that it knows" is_stored two
    status 0 mqx create new
    status 0 mqx send new three
    status 0 mqx send q four
    await "messages to queues that it knows" is_stored four
    kill -0 "$mqxd" || no "mqxd ended: $(cat mqxd.log)"
    is "lines" 2 "$(wc -l <mqxd.log)"
    grep -q "Too many open files" mqxd.log || no "mqxd said: $(cat mqxd.log)"
    more_descriptors "$mqxd"
    status 0 mqx create another
    await "a message to a queue that it could not see" is_stored three
    stop_mqxd
}

has_ended() { # pid
    ! kill -0 "$1" || grep -q "^State:.*Z" "/proc/$1/status"
}

# Somebody removes all of $MQX_DIR: mqxd says so and ends, and brings all back when it is started.
mqxd_without_its_directory() {
    durable async
    start_mqxd
    status 0 mqx create q
    status 0 mqx send q one
    await "it on disk" is_stored one
    lose_memory
    await "mqxd to end" has_ended "$mqxd"
    if wait "$mqxd"; then no "mqxd ended with 0: $(cat mqxd.log)"; fi
    grep -q "removed our files in $MQX_DIR" mqxd.log || no "mqxd said: $(cat mqxd.log)"
    start_mqxd
    status 0 mqx recv q
    is "message" one "$(cat out)"
    stop_mqxd
}

# Root of a namespace, who cannot ring the real root's mqxd.
mqxd_for_a_namespace() {
    local other=(setpriv --reuid 1777 --regid 1777 --clear-groups unshare -U -r)
    durable async
    start_mqxd
    status 0 "${other[@]}" mqx create q
    status 0 "${other[@]}" mqx send q one
    await "it on disk" is_stored one
    status 0 "${other[@]}" mqx send q two
    await "the second, too" is_stored two
    stop_mqxd
    lose_memory
    start_mqxd
    status 0 "${other[@]}" mqx recv q
    is "message" one "$(cat out)"
    stop_mqxd
}

play() { # name function
    try "$@"
    umount -l "$memory/$2" 2>/dev/null
}

play "mqx without room says so; what needs none works" mqx_without_room
play "mqx needs one descriptor" mqx_with_one_descriptor
play "mqx says that all client numbers are taken" mqx_without_numbers
if [ -n "$SANITIZE" ]; then
    skip "mqx without memory" "a sanitizer needs more addresses than any limit"
else
    play "mqx without memory says so" mqx_without_memory
fi
play "mqxfs without room says so, and goes on" mqxfs_without_room
play "mqxfs without descriptors says so, and goes on" mqxfs_without_descriptors
play "mqxfs without client numbers says so, and goes on" mqxfs_without_numbers
play "mqxd mirrors though there is no room in memory" mqxd_without_room
play "mqxd says what is full, and restores when there is room" mqxd_restores_without_room
play "mqxd without descriptors goes on" mqxd_without_descriptors
play "mqxd ends when its directory was emptied, and brings all back" mqxd_without_its_directory
if [ "$(id -u)" -eq 0 ] && setpriv --reuid 1777 --clear-groups unshare -U -r true 2>/dev/null; then
    play "mqxd mirrors an async queue of a user namespace" mqxd_for_a_namespace
else
    skip "user namespaces" "they cannot be made here"
fi
finish
