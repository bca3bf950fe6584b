#!/bin/bash
# Several users on root's mount: the queue's mode, owner and group decide.
. "$(dirname "$0")/lib.sh"

if [ "$(id -u)" != 0 ]; then
    skip "several users" "only root can act as others"
    finish
    exit
fi

# Two ordinary users, by number: they need not be in the password file.
as() { # user[:group,...] command...
    local user=${1%%:*} groups=--clear-groups
    [ "$user" = "$1" ] || groups=--groups=${1#*:}
    shift
    setpriv --reuid="$user" --regid="$user" "$groups" -- "$@"
}

# Where users may not open /dev/fuse, they may in a mount namespace of these cases' own.
if ! as 1501 sh -c 'exec 3<>/dev/fuse' 2>/dev/null; then
    if [ -z "$IN_NAMESPACE" ]; then
        leave
        IN_NAMESPACE=1 exec unshare --mount "$0"
    fi
    mknod -m 666 "$scratch/fuse" c 10 229 && mount --bind "$scratch/fuse" /dev/fuse || exit 1
fi

owns_what_he_creates() {
    as 1501 sh -c "umask 077; touch $m/his" || no "touch failed"
    is "owner and mode" "-rw------- 1501 1501" "$(stat -c '%A %u %g' "$m/his")"
    # Without the mount: it is his own queue.
    as 1501 mqx send his direct || no "he cannot map his own queue"
    is "over the mount" direct "$(as 1501 cat "$m/his")"
    as 1501 sh -c "echo over >$m/his"
    is "directly" over "$(as 1501 mqx recv his)"
    is "files that others own" "" "$(find "$MQX_DIR/queues" "$MQX_DIR/fifos" -type f,p ! -uid 1501)"
    is "the registry" 1501 "$(stat -c %u "$MQX_DIR/clients/1501")"
    as 1501 rm "$m/his" || no "rm failed"
}

keeps_others_out() {
    as 1501 sh -c "umask 077; echo secret >$m/his"
    fails "Permission denied" as 1502 cat "$m/his"
    fails "Permission denied" as 1502 sh -c "echo x >$m/his"
    fails "Operation not permitted" as 1502 rm -f "$m/his"
    fails "Operation not permitted" as 1502 chmod 666 "$m/his"
    fails "Operation not permitted" as 1501 chown 1502 "$m/his"
    is "it is as it was" secret "$(as 1501 cat "$m/his")"
}

# Read and write apart.
lets_in_by_mode() {
    as 1501 touch "$m/drop" "$m/news"
    as 1501 chmod 622 "$m/drop"
    as 1501 chmod 644 "$m/news"
    as 1502 sh -c "echo gift >>$m/drop" || no "write to 0622 failed"
    fails "Permission denied" as 1502 cat "$m/drop"
    fails "Permission denied" as 1502 sh -c "echo x >$m/news"
    as 1501 sh -c "echo today >$m/news"
    is "read from 0644" today "$(as 1502 cat "$m/news")"
    is "the owner reads" gift "$(as 1501 cat "$m/drop")"
}

lets_in_by_group() {
    as 1501 touch "$m/team"
    as 1501 chmod 660 "$m/team"
    fails "Permission denied" as 1502 cat "$m/team"
    as 1502:1501 sh -c "echo member >$m/team" || no "a member by supplementary group was refused"
    is "read" member "$(as 1502:1501 cat "$m/team")"
}

blocked_across_users() {
    as 1501 touch "$m/q"
    as 1501 chmod 666 "$m/q"
    background setpriv --reuid=1502 --regid=1502 --clear-groups cat "$m/q" >got
    blocked $!
    as 1501 mqx send q direct
    wait $!
    is "got" direct "$(cat got)"
}

# What lies where segments are, and is none of his.
is_not_led_astray() {
    echo precious >file
    chmod 600 file
    as 1501 ln -s "$PWD/file" "$MQX_DIR/queues/link"
    as 1501 mkfifo "$MQX_DIR/queues/fifo"
    as 1501 mkdir "$MQX_DIR/queues/dir"
    is "ls" "" "$(ls "$m")"
    fails "No such file" cat "$m/link"
    fails "No such file" cat "$m/fifo"
    fails "File exists" touch "$m/link"
    is "untouched" precious "$(cat file)"
    as 1501 touch "$m/q"
    as 1501 truncate -s 100 "$MQX_DIR/queues/q"
    fails "Bad message" cat "$m/q"
    is "mode of a damaged one" "----------" "$(stat -c %A "$m/q")"
}

# An ordinary user mounts his own queues, and sees no others.
mounts_for_himself() {
    local he
    he=$(id -u nobody) || no "there is no user nobody, and fusermount3 mounts for users with a name"
    touch "$m/roots"
    unmount_it
    chown "$he" "$m"
    as "$he" mqxfs "$m" || no "mqxfs failed as an ordinary user"
    as "$he" touch "$m/his" || no "touch failed"
    as "$he" sh -c "echo x >$m/his"
    is "his, and not root's" his "$(as "$he" ls "$m")"
    fails "Permission denied" as "$he" cat "$m/roots"
    fails "Permission denied" ls "$m" # not even root may look into it
    is "directly" x "$(as "$he" mqx recv his)"
    as "$he" fusermount3 -u "$m" || no "he cannot unmount it"
    await "it to end" eval '! pgrep -u "$he" mqxfs'
}

try "a queue belongs to who created it" owns_what_he_creates
try "mode 0600 keeps others out" keeps_others_out
try "read and write apart" lets_in_by_mode
try "by group" lets_in_by_group
try "a reader of one user, a sender of another" blocked_across_users
try "what is no segment" is_not_led_astray
try "an ordinary user's own mount" mounts_for_himself
finish
