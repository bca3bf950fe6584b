#!/bin/bash
# Queues as files, one shell at a time: names, attributes, messages.
. "$(dirname "$0")/lib.sh"

creates_and_removes() {
    touch "$m/jobs" || no "touch failed"
    is "in mqx ls" jobs "$(mqx ls | grep -o jobs)"
    is "in ls" jobs "$(ls "$m")"
    touch "$m/jobs" || no "touch of an existing queue failed"
    rm "$m/jobs" || no "rm failed"
    is "gone from ls" "" "$(ls "$m")"
    fails "No such file or directory" cat "$m/jobs"
    mqx create --maxmsg 3 other
    is "created elsewhere" other "$(ls "$m")"
    mqx unlink other
    is "unlinked elsewhere" "" "$(ls "$m")"
}

shows_attributes() {
    local before after
    (umask 027 && touch "$m/q")
    is "owner, mode, size" "-rw-r----- 1 $(id -un) $(id -gn) 0" \
        "$(ls -l "$m/q" | cut -d ' ' -f 1-5)"
    before=$(stat -c '%i %W %Z' "$m/q")
    printf 12345 >"$m/q"
    printf 678 >"$m/q"
    is "queued bytes" 8 "$(stat -c %s "$m/q")"
    test -s "$m/q" || no "test -s says empty"
    is "inode and creation time stay" "$before" "$(stat -c '%i %W %Z' "$m/q")"
    after=$(date +%s)
    [ "$(stat -c %Y "$m/q")" -le "$after" ] || no "sent in the future"
    # Last send is mtime, last receive is atime: whole seconds pass, so that each is seen to move.
    before=$(stat -c '%X %Y' "$m/q")
    await "the next second" eval '[ $(date +%s) -gt $((after + 1)) ]'
    cat "$m/q" >/dev/null
    [ "$(stat -c %X "$m/q")" -gt "${before% *}" ] || no "atime did not move with a receive"
    is "mtime after a receive" "${before#* }" "$(stat -c %Y "$m/q")"
    echo >"$m/q"
    [ "$(stat -c %Y "$m/q")" -gt "${before#* }" ] || no "mtime did not move with a send"
}

# The kernel remembers none of it: neither for who has it open, nor for its name.
shows_attributes_of_now() {
    touch "$m/q"
    perl -e 'my $q = shift; my $none = chr(0);
        for (1 .. 50) {
            open(F, "<", $q) && open(G, ">", $q) or die;
            syswrite(G, "12345");
            die "open, it has " . (-s G) . " bytes" if -s G != 5;
            die "its name has " . (-s $q) . " bytes" if -s $q != 5;
            sysread(F, $none, 5);
            die "read, it has " . (-s F) . " bytes" if -s F != 0;
            chmod(0600 + $_ % 2, $q);
            die "its mode is old" if ((stat F)[2] & 0777) != 0600 + $_ % 2;
        }' "$m/q" 2>err || no "$(cat err)"
}

changes_mode() {
    touch "$m/q"
    chmod 604 "$m/q" || no "chmod failed"
    is "in ls" -rw----r-- "$(ls -l "$m/q" | cut -d ' ' -f 1)"
    is "in mqx stat" "mode: 0604" "$(mqx stat q | grep ^mode)"
}

shows_bytes_of_a_deep_queue() {
    mqx create --maxmsg 6000 --msgsize 16 deep
    yes 1234567 | head -n 5000 | while read -r x; do mqx send deep "$x"; done
    is "bytes" 35000 "$(stat -c %s "$m/deep")"
    cat "$m/deep" >/dev/null
    # A value may be a second old.
    await "the new size" eval '[ $(stat -c %s "$m/deep") = 34993 ]'
}

sends_bytes_as_they_are() {
    touch "$m/q"
    echo one >"$m/q" && echo two >>"$m/q" && env printf 'thr\nee' >"$m/q" || no "write failed"
    is "first" "one" "$(mqx recv q)"
    is "second" "two" "$(mqx recv q)"
    is "third" "$(printf 'thr\nee')" "$(mqx recv q)"
    is "no more" 3 "$(mqx recv --nonblock q >/dev/null 2>&1; echo $?)"
}

truncation_keeps_messages() {
    echo one >"$m/q"
    : >"$m/q"
    truncate -s 0 "$m/q" || no "truncate -s 0 failed"
    echo two >"$m/q"
    is "first" one "$(cat "$m/q")"
    is "second" two "$(cat "$m/q")"
}

cat_takes_one() {
    echo one >"$m/q"
    echo two >"$m/q"
    is "first" one "$(cat "$m/q")"
    is "second" two "$(cat "$m/q")"
    is "in one go" "34" "$(printf 3 >"$m/q" && printf 4 >"$m/q" && cat "$m/q" "$m/q")"
}

highest_priority_first() {
    touch "$m/q"
    mqx send -p 1 q low
    mqx send -p 32767 q high
    mqx send -p 5 q middle
    mqx send -p 5 q middle2
    echo least >"$m/q"
    is "order" "high middle middle2 low least" \
        "$(for i in 1 2 3 4 5; do cat "$m/q" && echo; done | xargs)"
    echo zero >"$m/q"
    is "priority of echo" "0 zero" "$(mqx recv -p q | xargs)"
}

does_not_block() {
    touch "$m/q"
    fails "Resource temporarily unavailable" dd if="$m/q" iflag=nonblock of=/dev/null
    for i in 1 2 3 4 5 6 7 8 9 10; do echo $i >"$m/q"; done
    fails "Resource temporarily unavailable" \
        dd if=/dev/zero of="$m/q" bs=8 count=1 oflag=nonblock conv=notrunc
    dd if="$m/q" iflag=nonblock of=got 2>/dev/null || no "dd failed with a message there"
    is "got" 1 "$(cat got)"
    # O_NONBLOCK set later, by fcntl.
    cat "$m/q" "$m/q" "$m/q" "$m/q" "$m/q" "$m/q" "$m/q" "$m/q" "$m/q" >/dev/null
    perl -MFcntl -MErrno=EAGAIN -e 'open(F, "<", $ARGV[0]) or die; fcntl(F, F_SETFL, O_NONBLOCK);
        exit(defined(sysread(F, $x, 10)) ? 1 : $! == EAGAIN ? 0 : 2)' "$m/q" ||
        no "fcntl(O_NONBLOCK) read ended with $?"
}

unfinished_goes_back() {
    printf 'longer message' >"$m/q"
    printf second >"$m/q"
    is "head" lon "$(head -c 3 "$m/q")"
    # The kernel tells of the close a moment later.
    await "the message to come back" eval '[ "$(dd if="$m/q" bs=5 count=1 iflag=nonblock 2>/dev/null)" = longe ]'
    await "it to come back again, and be first" \
        eval '[ "$(dd if="$m/q" iflag=nonblock 2>/dev/null)" = "longer message" ]'
    is "the next" second "$(cat "$m/q")"
}

# A descriptor that is dup'd and closed is still open.
last_close_counts() {
    printf abcdef >"$m/q"
    exec 3<"$m/q" 4<&3
    is "beginning" ab "$(head -c 2 <&3)"
    exec 4<&-
    (exec 3<&-)
    is "held" 1 "$(fails "Resource temporarily unavailable" dd if="$m/q" iflag=nonblock && echo 1)"
    is "rest" cdef "$(cat <&3)"
    exec 3<&-
    is "consumed" 1 "$(fails "Resource temporarily unavailable" dd if="$m/q" iflag=nonblock && echo 1)"
}

reads_at_offsets() {
    printf first >"$m/q"
    printf second >"$m/q"
    printf third >"$m/q"
    is "at 0, and on, and at 0 again" "fi rst | seco nd ! thir d |" "$(perl -e '
        $| = 1;
        sub at { sysseek(F, $_[0], 0); defined(sysread(F, $x, $_[1])) or die; $x eq "" ? "|" : $x }
        open(F, "<", $ARGV[0]) or die;
        print join(" ", at(0, 2), at(2, 100), at(5, 100), at(0, 4), at(4, 2), "!", at(0, 4), at(4, 9),
            at(5, 100))' "$m/q")"
    is "what was consumed can be read again" "a b c" "$(env printf 'a\nb\nc\n' >"$m/q"
        exec 3<"$m/q" && read -r a <&3 && read -r b <&3 && read -r c <&3 && echo "$a $b $c")"
    is "tail" c "$(env printf 'a\nb\nc\n' >"$m/q" && tail -n 1 "$m/q")"
    is "the rest of it" "cd abcd" "$(printf abcd >"$m/q"; tail -c +3 "$m/q"; printf ' '
        printf abcd >"$m/q"; dd if="$m/q" bs=1 skip=9 2>/dev/null; cat "$m/.drain/q")"
    fails "Resource temporarily unavailable" dd if="$m/q" iflag=nonblock
}

# What else is queued is no business of who reads one message.
readers_that_ask_for_the_size() {
    echo first >"$m/q"
    echo second >"$m/q"
    echo third >"$m/q"
    echo fourth >"$m/q"
    is "before" 26 "$(stat -c %s "$m/q")"
    is "tail" first "$(timeout 60 tail -n 1 "$m/q")"
    is "head" second "$(head -c -1 "$m/q")"
    is "wc" 6 "$(wc -c <"$m/q")"
    is "tail of what has fewer lines" fourth "$(timeout 60 tail -n 5 "$m/q")"
    is "nothing is left" 0 "$(stat -c %s "$m/q")"
}

big_messages_whole() {
    mqx create --maxmsg 4 --msgsize 2000000 big
    head -c 100001 /dev/urandom >a
    head -c 5000 /dev/urandom >b
    dd if=a of="$m/big" bs=100001 conv=notrunc 2>/dev/null || no "write of 100001 failed"
    dd if=b of="$m/big" bs=5000 conv=notrunc 2>/dev/null || no "write of 5000 failed"
    cat "$m/big" >a2 && cmp a a2 || no "cat of 100001 bytes differs"
    dd if="$m/big" of=b2 bs=1 2>/dev/null && cmp b b2 || no "byte by byte differs"
    # As large as a write that the kernel does not split.
    head -c $((1048576 - 4096)) /dev/urandom >c
    dd if=c of="$m/big" bs=2M conv=notrunc 2>/dev/null || no "write of 1 MiB - 4 KiB failed"
    cp "$m/big" c2 && cmp c c2 || no "cp of 1 MiB - 4 KiB differs"
    head -c 1900000 /dev/urandom >d
    mqx send big <d && cat "$m/big" >d2 && cmp d d2 || no "cat of 1.9 MB differs"
}

too_big_is_refused() {
    touch "$m/q"
    head -c 8192 /dev/zero >most
    dd if=most of="$m/q" bs=8192 conv=notrunc 2>/dev/null || no "8192 bytes were refused"
    head -c 8193 /dev/zero >more
    fails "Message too long" dd if=more of="$m/q" bs=8193 conv=notrunc
    mqx create --maxmsg 4 --msgsize 4000000 big
    head -c 3000000 /dev/zero >huge
    fails "Message too long" dd if=huge of="$m/big" bs=3000000 conv=notrunc
    fails "Message too long" dd if=huge of="$m/big" bs=$((1048576 - 4095)) count=1 conv=notrunc
    is "nothing of it arrived" 0 "$(stat -c %s "$m/big")"
    is "nor more than the most" 8192 "$(stat -c %s "$m/q")"
}

empty_messages() {
    touch "$m/q"
    # An empty write does not leave the kernel.
    perl -e 'open(F, ">>", $ARGV[0]); exit(syswrite(F, "") == 0 ? 0 : 1)' "$m/q" || no "write of 0"
    is "none was sent" 3 "$(mqx recv --nonblock q 2>/dev/null; echo $?)"
    mqx send q ''
    printf after >"$m/q"
    is "an empty one" "" "$(cat "$m/q")"
    is "consumed" after "$(cat "$m/q")"
}

# What does not use read(2) first must come to it in the end.
other_ways_to_read() {
    local copy='use POSIX; $n = syscall(40, 1, fileno(STDIN), 0, 100); exit($n < 0 && $! == EINVAL ? 0 : 1)'
    echo one >"$m/a"
    touch "$m/b"
    cat "$m/a" >"$m/b" || no "cat from queue to queue failed"
    is "arrived" one "$(cat "$m/b")"
    echo two >"$m/a"
    [ "$(uname -m)" = x86_64 ] && { perl -e "$copy" <"$m/a" | cat || no "sendfile was not refused"; }
    cp "$m/a" file && is "cp" two "$(cat file)"
    echo '{"x": 1}' >"$m/a"
    is "read" '{"x": 1}' "$(read -r x <"$m/a" && echo "$x")"
    env printf 'a\nb\n' >"$m/a" # bash's own writes line by line: two messages
    is "mapfile" "a+b" "$(mapfile -t x <"$m/a" && echo "${x[0]}+${x[1]}")"
    printf 'a b\n' >"$m/a"
    is "tee, xargs, here-document" "<a> <b>" "$(tee "$m/b" <"$m/a" >/dev/null; xargs printf '<%s> ' <"$m/b" | xargs)"
    cat >"$m/a" <<<"here"
    is "here" here "$(dash -c 'read x; echo $x' <"$m/a")"
}

reads_and_writes_one_descriptor() {
    touch "$m/q"
    exec 3<>"$m/q"
    for i in 1 2 3; do
        echo "request $i" >&3
        is "its own" "request $i" "$(read -r x <&3 && echo "$x")"
    done
    exec 3<&-
}

refuses_nonsense() {
    touch "$m/q"
    fails "Operation not permitted" mkdir "$m/d"
    fails "Operation not permitted" ln "$m/q" "$m/l"
    fails "Operation not permitted" ln -s q "$m/l"
    fails "Operation not permitted" mkfifo "$m/f"
    fails "Invalid argument" truncate -s 5 "$m/q"
    fails "Operation not permitted" touch -d 2001-01-01 "$m/q"
    fails "File name too long" touch "$m/$(printf '%256s' x | tr ' ' x)"
    touch "$m/$(printf '%255s' x | tr ' ' x)" || no "a name of 255 bytes was refused"
    is "all is as it was" 2 "$(ls "$m" | wc -l)"
}

follows_policies() {
    umount "$m" && wait $fs
    printf '[bulk-*]\nmaxmsg = 3\nmsgsize = 44\n' >mqx.conf
    MQX_CONF=mqx.conf mount_it
    touch "$m/bulk-1" "$m/other"
    is "by pattern" "maxmsg: 3 msgsize: 44" "$(mqx stat bulk-1 | grep -E '^(maxmsg|msgsize)' | xargs)"
    is "default" "maxmsg: 10 msgsize: 8192" "$(mqx stat other | grep -E '^(maxmsg|msgsize)' | xargs)"
}

# An open file stays with its queue; the name may mean another.
unlinked_and_created_again() {
    echo old >"$m/q"
    exec 3<>"$m/q"
    rm "$m/q"
    is "no name" 0 "$(stat -L -c %h /dev/fd/3)"
    is "old bytes" 4 "$(stat -L -c %s /dev/fd/3)"
    echo new >"$m/q"
    echo old2 >&3
    is "the new queue" "new" "$(cat "$m/q")"
    is "the old message" "old" "$(head -c 4 <&3)"
    exec 3<&-
    is "the new one is empty" 0 "$(stat -c %s "$m/q")"
    # Unlinked by others, under an open file.
    exec 3<>"$m/q"
    mqx unlink q
    echo still >&3 || no "write to an unlinked queue failed"
    is "still there" still "$(cat <&3)"
    exec 3<&-
    mqx create q
    echo x >"$m/q" || no "write to what was created again failed"
}

many_queues() {
    (cd "$m" && seq -f queue-%g 4096 | xargs touch) || no "touch failed"
    is "ls" 4096 "$(ls "$m" | wc -l)"
    is "ls -l" 4096 "$(ls -l "$m" | grep -c '^-rw-r--r--')"
    is "each once" 4096 "$(find "$m" -name 'queue-*' | sort -u | wc -l)"
    is "inodes as stat says" "$(stat -c %i "$m/queue-77")" "$(ls -i "$m" | awk '$2 == "queue-77" {print $1}')"
    echo x >"$m/queue-4096"
    is "the last one" x "$(cat "$m/queue-4096")"
    find "$m" -name 'queue-*' -delete || no "find -delete failed"
    is "all gone" 0 "$(ls "$m" | wc -l)"
}

a_damaged_queue_is_alone() {
    touch "$m/good" "$m/cut" "$m/other"
    exec 3<>"$m/cut"
    echo x >&3
    truncate -s 0 "$MQX_DIR/queues/cut"
    refused "Bad message" cat "$m/cut"
    perl -e 'open(F, "<&=3"); exit(defined(sysread(F, $x, 9)) ? 1 : $! == 5 ? 0 : 2)' ||
        no "reading what was open is no EIO: $?"
    exec 3<&-
    echo rubbish >"$MQX_DIR/queues/other"
    refused "Bad message" cat "$m/other"
    ls -l "$m" >/dev/null || no "ls -l failed"
    echo fine >"$m/good"
    is "the good one" fine "$(cat "$m/good")"
    rm -f "$m/cut" "$m/other" || no "rm of damaged queues failed"
    is "removed" good "$(ls "$m")"
}

try "touch creates, rm unlinks" creates_and_removes
try "ls -l shows owner, mode, bytes and times" shows_attributes
try "attributes are those of now" shows_attributes_of_now
try "chmod" changes_mode
try "bytes of a deep queue" shows_bytes_of_a_deep_queue
try "echo > and >> send bytes as they are" sends_bytes_as_they_are
try "truncation does not drain" truncation_keeps_messages
try "cat takes one message" cat_takes_one
try "highest priority first" highest_priority_first
try "O_NONBLOCK gives EAGAIN" does_not_block
try "unfinished messages go back" unfinished_goes_back
try "the last close counts" last_close_counts
try "reading at offsets" reads_at_offsets
try "readers that ask for the size" readers_that_ask_for_the_size
try "big messages arrive whole" big_messages_whole
try "too big messages are refused" too_big_is_refused
try "empty messages" empty_messages
try "other ways to read" other_ways_to_read
try "one descriptor for both" reads_and_writes_one_descriptor
try "what makes no sense fails" refuses_nonsense
try "policies from mqx.conf" follows_policies
try "unlinked and created again" unlinked_and_created_again
try "4096 queues" many_queues
try "a damaged queue fails alone" a_damaged_queue_is_alone
finish
