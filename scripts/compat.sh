#!/bin/bash
# The compatibility cases on the kernel's queues and on mqx: writes a table of
# both outcomes, to stdout and to docs/compat.md.
#
# Each case must pass on the kernel, or it checks something else than it says;
# and it must pass on mqx, too, unless its sentence stands among the README's
# chosen differences.  One that the kernel cannot be asked (SKIPPED: more messages
# than it allows, no second user) is not compared.

cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
unset LD_PRELOAD MQX_LIMITS
export MQX_CONF=/dev/null

if [ ! -e /proc/sys/fs/mqueue/queues_max ] || [ ! -e /proc/sysvipc/msg ]; then
    echo "compat: this kernel lacks message queues to compare with; run it on one that has them" >&2
    exit 1
fi
scratch=$(mktemp -d) && MQX_DIR=$(mktemp -d /dev/shm/mqx-compat.XXXXXX) || exit 1
chmod 1777 "$MQX_DIR"
export MQX_DIR
trap 'rm -rf "$scratch" "$MQX_DIR"' EXIT
trap 'exit 130' INT TERM

# Users reach each other's queues through mqxfs.
mounted=(env TMPDIR="$scratch" compat-tests/with_mount.sh)
if [ "$(id -u)" != 0 ] || ! (exec 3<>/dev/fuse) 2>/dev/null; then
    echo "compat: several users need root, and /dev/fuse: those cases are left out" >&2
    mounted=()
fi
chmod 755 "$scratch"

# cases WHERE COMMAND...: for each, a line "sentence<TAB>outcome", in their order.
cases() {
    local log=$scratch/$1.log
    shift
    timeout 600 "$@" >"$log" 2>&1
    awk -f scripts/outcomes.awk "$log"
}

rows() { # posix or sysv, group: "case<TAB>sentence<TAB>kernel<TAB>mqx" for each
    local program=$BUILD/test/$1_compat name=${2//_/-}
    [ "$1" = posix ] || name=$1-$name
    cases kernel "$program" "$2" >"$scratch/kernel"
    cases mqx "${mounted[@]}" env LD_PRELOAD="$BUILD/lib/libmqx_preload.so" "$program" "$2" \
        >"$scratch/mqx"
    awk -F '\t' -v OFS='\t' -v group="$name" '
        NR == FNR { mqx[$1] = $2; next }
        { print group "-" FNR, $1, $2, $1 in mqx ? mqx[$1] : "NOT RUN" }' \
        "$scratch/mqx" "$scratch/kernel"
}

# Those to be compared, as "posix GROUP" and "sysv GROUP".
groups() {
    {
        sed -n 's/^ *X(\([a-z_]*\)).*/posix \1/p' compat-tests/posix/compat.h
        sed -n 's/^ *X(\([a-z_]*\)).*/sysv \1/p' compat-tests/sysv/sysv.h
    } | if [ ${#mounted[@]} -gt 0 ]; then cat; else grep -vE 'posix users|sysv users_'; fi
}

# Every row is shown as it is ready.
table() {
    local name sentence kernel mqx suite group
    cat <<'END'
# The same cases on the kernel's queues and on mqx

Written by `make compat`.  A case is named after the sentence that it checks, of POSIX or of a page
of the Linux manual; "Linux", "glibc" and the like stand for what these do beyond that.  Cases are
numbered by the files of `compat-tests/posix/`, those of System V queues, "sysv-", by the files of
`compat-tests/sysv/`.  SKIPPED: not possible there, or for who ran it.

| case | what it checks | kernel | mqx |
|---|---|---|---|
END
    groups | while read -r suite group; do
        rows "$suite" "$group" </dev/null | tee -a "$scratch/rows" |
            while IFS=$'\t' read -r name sentence kernel mqx; do
                echo "| $name | ${sentence//|/\\|} | $kernel | $mqx |"
            done
    done
}

wrong() { # why
    echo "compat: $name: $sentence: $1 (kernel: $kernel, mqx: $mqx)" >&2
    bad=$((bad + 1))
}

table | tee "$scratch/compat.md"
total=0 bad=0
while IFS=$'\t' read -r name sentence kernel mqx; do
    total=$((total + 1))
    case $kernel:$mqx in
    OK:OK | SKIPPED:*) ;;
    OK:*) grep -qF -- "$sentence" README.md || wrong "mqx differs, and the README does not say so" ;;
    *) wrong "does not hold on the kernel" ;;
    esac
done <"$scratch/rows"
cp "$scratch/compat.md" docs/compat.md
echo "compat: $total cases, $bad of them wrong"
[ "$total" -gt 0 ] && [ $bad -eq 0 ]
