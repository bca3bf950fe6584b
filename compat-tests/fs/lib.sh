# shellcheck shell=bash
# What the file cases share.  Read with `.`; cases are as in compat-tests/cases.sh, and each has an
# mqxfs of its own on $m, which `try` ends and unmounts however the case ends.

. "$(dirname "${BASH_SOURCE[0]}")/../cases.sh"
for_all "$BUILD"/bin/*
# By itself, where a mount is detached at the very moment in which it reads a request.
libfuse_says='fuse: reading device: Software caused connection abort'

fails() { # errno text, command...: it fails, and says so
    local text=$1
    shift
    LC_ALL=C "$@" >/dev/null 2>err && no "'$*' succeeded"
    grep -qF "$text" err || no "'$*' did not say '$text': $(cat err)"
}

# By mqxfs, which says why; who is not root is refused by the kernel before that, for the mode.
refused() { # errno text, command...
    local text=$1
    shift
    [ "$(id -u)" = 0 ] || text="Permission denied"
    fails "$text" "$@"
}

# The users are ordinary ones, by number: they need not be in the password file.
as() { # mine or user[:group,...], command...
    local user=${1%%:*} groups=--clear-groups
    [ "$user" = "$1" ] || groups=--groups=${1#*:}
    shift
    case $user in
    mine) "$@" ;;
    *) setpriv --reuid="$user" --regid="$user" "$groups" -- "$@" ;;
    esac
}

# Not ignoring SIGINT, as the shell makes its background jobs.
background() { # command...: run it; $! is its process
    env --default-signal=INT "$@" &
    echo $! >"$case_dir/$!.pid"
}

# The processes that `background` started.
started() {
    jobs -p | grep -vx "$fs"
}

wait_for_all() {
    local pid
    for pid in $(started); do
        wait "$pid"
    done
}

case $(uname -m) in
x86_64) reads=0 writes=1 ;;
*) reads=63 writes=64 ;; # the numbers of newer architectures
esac

# Is the process in a read or write that mqxfs has not answered?
is_blocked() { # pid
    local call
    read -r call _ <"/proc/$1/syscall" && { [ "$call" = $reads ] || [ "$call" = $writes ]; } &&
        grep -q request_wait_answer "/proc/$1/wchan"
}

blocked() { # pid: wait until it is
    await "process $1 to block" is_blocked "$1"
}

# Mounted, and not by one that died.
mounted() {
    grep -qF " $m fuse.mqxfs " /proc/mounts && stat "$m" >/dev/null 2>&1
}

# First that it answers: a mount whose mqxfs was killed does not, and stands there until the next
# mqxfs removes it.
serving() {
    ls "$m" && mounted
}

mount_it() { # option...
    mqxfs -f "$@" "$m" 2>>mqxfs.err &
    fs=$!
    echo $fs >"$case_dir/mqxfs.pid"
    await "the mount" serving
}

unmount_it() {
    umount "$m" || no "umount failed"
    wait $fs || no "mqxfs ended with $?: $(cat mqxfs.err)"
}

start_mqxd() {
    rm -f mqxd.err
    mqxd --store "$PWD/store" 2>mqxd.err &
    mqxd=$!
    echo $mqxd >mqxd.pid
    await "mqxd" grep -qs "mqxd: ready" mqxd.err
}

run_case() { # function
    m=$case_dir/m
    mkdir "$m" || no "mkdir failed"
    mount_it
    "$1"
    [ ! -e mqxfs.err ] || ! grep -vqxF "$libfuse_says" mqxfs.err || no "mqxfs said: $(cat mqxfs.err)"
}

if ! (exec 3<>/dev/fuse) 2>/dev/null; then
    skip "$(basename "$0")" "/dev/fuse cannot be opened"
    finish
    exit
fi
