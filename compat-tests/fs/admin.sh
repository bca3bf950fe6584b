#!/bin/bash
# What an administrator does: mount(8), /etc/fstab, options, systemd.
. "$(dirname "$0")/lib.sh"
here=$PWD/$(dirname "$0")

# mount(8) finds what it runs in the system's directories only: in a mount namespace of this case's
# own, mqxfs is in one.
as_installed() { # command...
    unshare --mount sh -c 'mount -t tmpfs -o mode=755 tmpfs /usr/local/bin &&
        cp "$0" /usr/local/bin/ && "$@"' "$BUILD/bin/mqxfs" "$@"
}

needs_root() { # name case
    if [ "$(id -u)" != 0 ]; then
        skip "$1" "only root may mount"
    elif ! command -v mount.fuse3 >/dev/null && [ ! -e /sbin/mount.fuse3 ]; then
        skip "$1" "mount.fuse3 (fuse3) is not installed"
    else
        try "$1" "$2"
    fi
}

options_of() { # where: as the kernel has them
    awk -v where="$1" '$2 == where {print "," $4 ","}' /proc/mounts
}

own_options() {
    unmount_it
    mqxfs -o max_read=4096 "$m" 2>said && no "max_read is taken"
    is "max_read" "mqxfs: max_read cannot be chosen" "$(grep -o '^mqxfs: [^:]*' said | head -n 1)"
    mkdir -m 1777 "other, with a comma"
    printf '[q]\nmaxmsg = 3\n' >other.conf
    MQX_DIR=/nowhere mqxfs -o "dir=other\, with a comma,conf=other.conf" "$m" || no "mqxfs failed"
    touch "$m/q"
    is "conf=" 3 "$(MQX_DIR="other, with a comma" mqx stat q | awk '/maxmsg/ {print $2}')"
    is "dir=" q "$(ls "other, with a comma/queues")"
    umount "$m" || no "umount failed"
}

# All that mount(8) hands on, and what it means: it returns when the queues are there.
by_mount() {
    cat >inside <<'END'
set -e
mount -t fuse.mqxfs "the queues, all" "$m" \
    -o "dir=$MQX_DIR,defaults,noauto,nofail,_netdev,users,comment=hello,x-systemd.automount"
grep -F " $m fuse.mqxfs " /proc/mounts >mounted
echo one >"$m/q"
umount "$m"
mount -t fuse.mqxfs -o "ro,dir=$MQX_DIR" none "$m"
grep -F " $m fuse.mqxfs " /proc/mounts >>mounted
! touch "$m/new" 2>touched
cat "$m/q" >got
umount "$m"
END
    unmount_it
    export m
    as_installed sh inside >said 2>&1 || no "it failed: $(cat said)"
    is "said" "" "$(cat said)"
    is "source" 'the\040queues,\040all none' "$(awk '{print $1}' mounted | xargs -d '\n')"
    is "options" 2 "$(grep -c "nosuid,nodev.*default_permissions,allow_other" mounted)"
    is "rw,noexec" 1 "$(grep -c " rw,.*noexec" mounted)"
    is "ro" 1 "$(grep -c " ro," mounted)"
    grep -q "Read-only file system" touched || no "ro: $(cat touched)"
    is "the message" one "$(cat got)"
}

by_fstab() {
    cat >inside <<'END'
set -e
mount -T fstab "$m"
echo kept >"$m/q"
kill -KILL $(pgrep -f "^mqxfs mqxfs $m -o .*dir=$MQX_DIR")
while ls "$m" >/dev/null 2>&1; do sleep 0.01; done
mount -T fstab "$m" 2>stale
cat "$m/q" >got
umount "$m"
END
    unmount_it
    export m
    echo "mqxfs $m fuse.mqxfs noauto,nofail,dir=$MQX_DIR 0 0" >fstab
    as_installed sh inside >said 2>&1 || no "it failed: $(cat said stale)"
    is "where it was left mounted" 1 "$(grep -c "left from a filesystem that died" stale)"
    is "the message" kept "$(cat got)"
}

what_is_installed() {
    local kind
    make -C "$here/../.." -s -o all B="$BUILD" PREFIX="$PWD/root" install >log 2>&1 ||
        no "make install: $(tail -3 log)"
    for kind in system user; do
        is "$kind units" 2 "$(find root/lib/systemd/$kind -name '*.service' | wc -l)"
        XDG_RUNTIME_DIR=$PWD systemd-analyze --$kind verify --man=no "$PWD/root/lib/systemd/$kind"/*.service \
            >verified 2>&1 || no "$kind units: $(cat verified)"
        is "$kind units" "" "$(grep -F mqx verified)"
    done
    [ "$(id -u)" = 0 ] || return 0
    systemd-tmpfiles --create --root="$PWD/made" "$PWD/root/lib/tmpfiles.d/mqx.conf" >log 2>&1 ||
        no "systemd-tmpfiles: $(cat log)"
    is "/run/mqx" "1777 0 0" "$(stat -c '%a %u %g' made/run/mqx)"
}

# As the unit does it: it forks, and what remains is what systemd is to watch.
as_the_unit() {
    local unit start
    unmount_it
    unit=$here/../../systemd/system/mqxfs.service
    start=$(sed -n 's|^ExecStart=@PREFIX@/bin/||p' "$unit")
    grep -q '^Type=forking$' "$unit" || no "it is not Type=forking"
    rmdir "$m"
    export MQX_MOUNT=$m
    eval "$(sed -n 's/^ExecStartPre=-//p' "$unit")" || no "ExecStartPre failed"
    $start >said 2>&1 </dev/null || no "it failed: $(cat said)"
    mounted || no "not mounted when it returned"
    umount "$m" || no "umount failed"
}

try "-o dir=, conf=" own_options
needs_root "mount -t fuse.mqxfs" by_mount
needs_root "/etc/fstab, and again after SIGKILL" by_fstab
if command -v systemd-analyze >/dev/null && command -v systemd-tmpfiles >/dev/null; then
    try "systemd's units, and /run/mqx" what_is_installed
else
    skip "systemd's units, and /run/mqx" "systemd is not installed"
fi
try "as the unit starts it" as_the_unit
finish
