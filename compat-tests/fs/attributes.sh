#!/bin/bash
# What can be seen and changed of a queue by the ordinary tools, by root and two ordinary users.
. "$(dirname "$0")/lib.sh"

OWNERS=mine
if [ "$(id -u)" = 0 ]; then
    OWNERS="mine 1501"
else
    skip "attributes of others' queues" "only root can act as others"
fi

# Each case once by each owner, who has a queue q.
owner=
each_owner() { # function
    for owner in $OWNERS; do
        as $owner sh -c "umask 022; touch $m/q" || no "$owner cannot create"
        "$1"
        rm -f "$m/q"
    done
}

value() { # name file
    getfattr --only-values --absolute-names -n "user.mqx.$1" "$2" 2>/dev/null
}

set_to() { # name value file
    setfattr -n "user.mqx.$1" -v "$2" "$3"
}

# --- the usual tools ---------------------------------------------------------------------------

tools() {
    test -e "$m/q" && test -f "$m/q" && ! test -s "$m/q" || no "test"
    echo x | as $owner dd of="$m/q" conv=notrunc 2>/dev/null
    test -s "$m/q" || no "test -s with a message"
    is "find -size" "$m/q" "$(find "$m" -path "$m/.help" -prune -o -path "$m/.sysv" -prune -o -type f -size -2 -size +0 -print)"
    is "find -newer" "$m/q" "$(find "$m/q" -newer "$case_dir/mqxfs.pid")"
    is "find -empty" "" "$(find "$m/q" -empty)"
    is "stat" "regular file 644 2" "$(stat -c '%F %a %s' "$m/q")"
    is "ls -l" "-rw-r--r-- 1 2" "$(ls -ln "$m/q" | awk '{print $1, $2, $5}')"
    [ "$(df --output=size "$m" | tail -n 1)" -gt 0 ] || no "df shows no size"
    is "df names it" "$m" "$(df --output=target "$m/q" | tail -n 1)"
    du "$m/q" >/dev/null || no "du failed"
    as $owner touch "$m/q" || no "touch failed"
    is "touch takes and sends nothing" 2 "$(stat -c %s "$m/q")"
    as $owner chmod g+w,o= "$m/q" || no "chmod failed"
    is "chmod" 660 "$(stat -c %a "$m/q")"
    as $owner chmod 644 "$m/q"
    [ "$owner" = mine ] || fails "changing permissions" as 1502 chmod 666 "$m/q"
    [ "$owner" = mine ] || fails "annot touch" as 1502 touch "$m/q"
    is "nothing was taken" x "$(as $owner cat "$m/q")"
}

nonsense() {
    fails "Operation not permitted" as $owner mkdir "$m/d"
    fails "Operation not permitted" as $owner ln "$m/q" "$m/l"
    fails "Operation not permitted" as $owner ln -s q "$m/l"
    fails "Operation not permitted" as $owner mkfifo "$m/f"
    [ $owner = mine ] && fails "Operation not permitted" mknod "$m/c" c 1 3
    fails "Invalid argument" as $owner truncate -s 5 "$m/q"
    fails "Invalid argument" as $owner truncate -s +1 "$m/q"
    as $owner fallocate -l 100 "$m/q" 2>err && no "fallocate succeeded"
    fails "Operation not permitted" as $owner touch -d 2001-01-01 "$m/q"
    fails "Not a directory" ls "$m/q/x"
    fails "Operation not permitted" rmdir "$m/.drain"
    fails "Not a directory" rmdir "$m/q"
    is "all is as it was" "q" "$(ls "$m")"
}

removed() {
    [ $owner = mine ] || fails "Operation not permitted" as 1502 rm -f "$m/q"
    as $owner rm "$m/q" || no "rm failed"
    is "gone" "" "$(ls "$m")"
    fails "No such file" rm "$m/q"
}

# --- owner and group ---------------------------------------------------------------------------

groups() {
    chmod 660 "$m/q"
    fails "Permission denied" as 1503:1502 cat "$m/q"
    # The owner, to a group that he is in.
    [ $owner = 1501 ] && fails "Operation not permitted" as 1501 chgrp 1502 "$m/q"
    [ $owner = 1501 ] && fails "Operation not permitted" as 1503:1502 chgrp 1502 "$m/q"
    exec 3<>"$m/q"
    as $owner:1502 chgrp 1502 "$m/q" || no "chgrp failed"
    is "the group" 1502 "$(stat -c %g "$m/q")"
    is "of what is open" 1502 "$(stat -L -c %g /dev/fd/3)"
    is "as the queue knows it" "gid: 1502" "$(grep ^gid "$m/.stat/q")"
    echo "for the group" >&3
    exec 3>&-
    is "a member reads" "for the group" "$(as 1503:1502 cat "$m/q")"
    fails "Permission denied" as 1503 cat "$m/q"
    as 1503:1502 mqx send q "from the group" || no "a member cannot send"
    is "the owner" "from the group" "$(as $owner mqx recv q)"
    as $owner chgrp 1502 "$m/q" || no "chgrp to what it is failed"
}

# By root.  He who maps a queue's memory is its user, so its memory is another then.
owners() {
    echo x >"$m/q"
    fails "Device or resource busy" chown 1502 "$m/q"
    is "what was in it" x "$(cat "$m/q")"
    exec 3<"$m/q"
    fails "Device or resource busy" chown 1502 "$m/q"
    exec 3<&-
    background env MQX_MOUNT=/none setpriv --reuid="$(stat -c %u "$m/q")" mqx recv q
    await "it to sleep" grep -q futex "/proc/$!/wchan"
    fails "Device or resource busy" chown 1502 "$m/q"
    kill $!
    wait $! 2>/dev/null
    chmod 640 "$m/q"
    chown 1502:1503 "$m/q" || no "chown failed"
    is "owner, group, mode" "1502 1503 640" "$(stat -c '%u %g %a' "$m/q")"
    is "of the segment and its FIFO" 2 "$(find "$MQX_DIR/queues" "$MQX_DIR/fifos" -type f,p -uid 1502 | wc -l)"
    is "nothing else is left" "" "$(find "$MQX_DIR/tmp" "$MQX_DIR/gone" -type f)$(find "$MQX_DIR/fifos" -type p ! -uid 1502)"
    MQX_MOUNT=/none as 1502 mqx send q direct || no "he cannot map it"
    is "he reads" direct "$(as 1502 cat "$m/q")"
    [ $owner = 1501 ] && fails "Permission denied" as 1501 cat "$m/q"
    fails "Operation not permitted" as 1502 chown 1501 "$m/q"
}

# --- names -------------------------------------------------------------------------------------

renamed() {
    echo one >"$m/q"
    as $owner sh -c "echo other >$m/taken"
    before=$(stat -c %i "$m/q")
    exec 3<>"$m/q"
    background cat "$m/.prio/7/q" >got
    blocked $!
    fails "File exists" as $owner mv -T "$m/q" "$m/taken" </dev/null
    fails "File exists" perl -e 'rename($ARGV[0], $ARGV[1]) or die "$!"' "$m/q" "$m/taken"
    [ $owner = 1501 ] && fails "Operation not permitted" as 1502 mv "$m/q" "$m/r"
    as $owner mv "$m/q" "$m/r" || no "mv failed"
    is "names" "r taken" "$(ls "$m" | xargs)"
    is "the same queue" "$before" "$(stat -c %i "$m/r")"
    fails "No such file" cat "$m/q"
    is "what is open has a name" "1 $before" "$(stat -L -c '%h %i' /dev/fd/3)"
    echo two >&3
    is "its messages" "one two" "$(cat "$m/r" "$m/r" | xargs)"
    mqx send -p 7 r seven
    wait $!
    is "who waited" seven "$(cat got)"
    echo new >"$m/q" # the name is free for another
    echo three >&3
    is "two queues" "three new" "$(cat "$m/r" "$m/q" | xargs)"
    exec 3>&-
    is "in mqx ls" "q r taken" "$(mqx ls | awk '{print $1}' | tr -d / | grep -x '[qr]\|taken' | xargs)"
    is "the other" other "$(cat "$m/taken")"
    fails "Operation not permitted" mv "$m/.drain/r" "$m/.drain/s"
    fails "Operation not permitted" mv "$m/r" "$m/.drain/s"
    fails "File name too long" mv "$m/r" "$m/$(printf '%256s' x | tr ' ' x)"
    fails "No such file" mv "$m/nosuch" "$m/s"
    perl -e 'exit(syscall($ARGV[0], -100, $ARGV[1], -100, $ARGV[2], 2) < 0 && $! == 22 ? 0 : 1)' \
        "$renameat2" "$m/r" "$m/taken" || no "an exchange is not EINVAL"
    # One that processes have open through the library.
    background mqx recv r >got
    await "it to sleep" grep -q futex "/proc/$!/wchan"
    mv "$m/r" "$m/s"
    echo moved >"$m/s"
    wait $!
    is "the receiver" moved "$(cat got)"
    rm -f "$m/s" "$m/taken"
}
case $(uname -m) in x86_64) renameat2=316 ;; *) renameat2=276 ;; esac

# mqxd learns of both.
durable_ones() {
    umount "$m" && wait $fs
    printf '[*]\ndurable = sync\n' >mqx.conf
    start_mqxd
    MQX_CONF=mqx.conf mount_it
    echo kept >"$m/q"
    mv "$m/q" "$m/r" && chgrp 1502 "$m/r" || no "mv or chgrp failed"
    fails "Operation not supported" chown 1502 "$m/r"
    fails "Operation not supported" set_to maxmsg 5 "$m/r"
    echo "kept, too" >"$m/r" || no "write failed"
    kill $mqxd
    wait $mqxd
    unmount_it
    rm -rf "${MQX_DIR:?}"/* # as a reboot does
    start_mqxd
    MQX_CONF=mqx.conf mount_it
    is "by the new name" "r 1502" "$(cd "$m" && stat -c '%n %g' *)"
    is "its messages" "kept kept, too" "$(cat "$m/.drain/r" | xargs)"
}

# --- extended attributes -----------------------------------------------------------------------

extended() {
    printf 12345 >"$m/q"
    is "all" 'user.mqx.bytes="5" user.mqx.durable="off" user.mqx.maxmsg="10" user.mqx.messages="1" user.mqx.msgsize="8192" user.mqx.priority="0"' \
        "$(getfattr --absolute-names -d "$m/q" | grep = | sort | xargs -d '\n')"
    for i in messages bytes durable other; do
        fails "Operation not permitted" as $owner setfattr -n user.mqx.$i -v 1 "$m/q"
    done
    fails "Operation not permitted" as $owner setfattr -x user.mqx.maxmsg "$m/q"
    fails "Operation not supported" as $owner setfattr -n user.mine -v 1 "$m/q"
    [ $owner = 1501 ] && fails "Permission denied" as 1502 setfattr -n user.mqx.maxmsg -v 1 "$m/q"
    is "none on a directory" "" "$(getfattr -d "$m/.drain" 2>&1)"
}

sizes() {
    local i
    chmod 666 "$m/q"
    as $owner setfattr -n user.mqx.maxmsg -v 3 "$m/q" || no "maxmsg"
    as $owner setfattr -n user.mqx.msgsize -v 100000 "$m/q" || no "msgsize"
    is "both" "3 100000" "$(value maxmsg "$m/q") $(value msgsize "$m/q")"
    is "owner and mode" "$(as $owner id -u) 666" "$(stat -c '%u %a' "$m/q")"
    [ $owner = 1501 ] && fails "Operation not permitted" as 1502 setfattr -n user.mqx.maxmsg -v 1 "$m/q"
    head -c 100000 /dev/urandom >a
    dd if=a of="$m/q" bs=100000 conv=notrunc 2>/dev/null && cmp a "$m/q" || no "a message of 100000"
    for i in 1 2 3; do echo $i >"$m/.nonblock/q" || no "there is no room for $i"; done
    fails "Resource temporarily unavailable" bash -c "echo 4 >$m/.nonblock/q"
    fails "Device or resource busy" as $owner setfattr -n user.mqx.maxmsg -v 4 "$m/q"
    as $owner setfattr -n user.mqx.maxmsg -v 3 "$m/q" || no "maxmsg as it is"
    is "nothing is lost" "1 2 3" "$(cat "$m/.drain/q" | xargs)"
    exec 3<"$m/q"
    fails "Device or resource busy" as $owner setfattr -n user.mqx.maxmsg -v 4 "$m/q"
    exec 3<&-
    for i in 0 -1 x 1x "" 99999999999 4294967296; do
        fails "Invalid argument" as $owner setfattr -n user.mqx.maxmsg -v "$i" "$m/q"
    done
    await "its files to be closed" as $owner setfattr -n user.mqx.maxmsg -v 4 "$m/q"
    is "sizes" "4 100000" "$(value maxmsg "$m/q") $(value msgsize "$m/q")"
    is "nothing else is left" "1 1 0" \
        "$(ls "$MQX_DIR/queues" | wc -l) $(ls "$MQX_DIR/fifos" | wc -l) $(ls "$MQX_DIR/tmp" | wc -l)"
    # Who has looked up what is replaced then does not get to it.
    perl -e 'use POSIX; sysopen(F, $ARGV[0], 0x200000) or die; # O_PATH
        system("setfattr", "-n", "user.mqx.maxmsg", "-v", "5", $ARGV[0]) == 0 or die;
        exit(open(G, "<", "/proc/self/fd/" . fileno(F)) ? 1 : $! == ESTALE ? 0 : 2)' "$m/q" ||
        no "what was replaced can be opened"
    as $owner mqx send q "through the library" || no "mqx send"
    is "afterwards" "through the library" "$(cat "$m/q")"
}

# Of an open file, by its descriptor.
priority() {
    chmod 666 "$m/q"
    exec 3>"$m/q" 4>"$m/q"
    is "before" 0 "$(value priority /dev/fd/3)"
    as $owner setfattr -n user.mqx.priority -v 9 /dev/fd/3 3>&3 || no "setfattr failed"
    is "each his own" "9 0" "$(value priority /dev/fd/3) $(value priority /dev/fd/4)"
    echo low >&4
    echo high >&3
    echo low again >&4
    is "in order" "high low low again" "$(cat "$m/.drain/q" | xargs)"
    fails "Invalid argument" set_to priority 32768 /dev/fd/3
    fails "Operation not supported" set_to priority 9 "$m/q"
    is "of a view" 7 "$(value priority "$m/.prio/7/q")"
    exec 3>&- 4>&-
}

run_tools() { each_owner tools; }
run_nonsense() { each_owner nonsense; }
run_removed() { each_owner removed; }
run_groups() { each_owner groups; }
run_owners() { each_owner owners; }
run_renamed() { each_owner renamed; }
run_extended() { each_owner extended; }
run_sizes() { each_owner sizes; }
run_priority() { each_owner priority; }

try "test, find, ls, stat, df, touch, chmod" run_tools
try "what makes no sense fails" run_nonsense
try "rm" run_removed
try "mv gives another name" run_renamed
try_as_root "chgrp" run_groups
try_as_root "chown of a queue that is not used" run_owners
try_as_root "mv and chgrp of durable queues" durable_ones
if command -v getfattr >/dev/null; then
    try "getfattr" run_extended
    try "setfattr of sizes" run_sizes
    try "setfattr of an open file's priority" run_priority
else
    skip "extended attributes" "there is no getfattr"
fi
finish
