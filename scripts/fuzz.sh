#!/bin/bash
# fuzz.sh FUZZER RUNS: run a fuzz target for so many inputs (180s: for so many seconds), after those
# of its corpus in the tree and those that failed before.
# fuzz.sh FUZZER FILE: run this one input again.
#
# Inputs that reach new code are kept beside the target, where the next round begins; so is what it
# found: a crash, a hang, a leak.  Then the status is not 0.

fuzzer=$1 corpus=$1.corpus
name=$(basename "$fuzzer" _fuzz)
seeds=$(dirname "$0")/../fuzz/corpus/$name
MQX_DIR=$(mktemp -d "${MQX_DIR:-/dev/shm}/mqx-fuzz.XXXXXX") || exit 1
export MQX_DIR
trap 'rm -rf "$MQX_DIR"' EXIT
trap 'exit 130' INT TERM

run() {
    "$fuzzer" -max_len=2048 -len_control=0 -timeout="${TIMEOUT:-30}" -rss_limit_mb=4096 \
        -artifact_prefix="$fuzzer.found-" "$@"
}

if [ -f "$2" ]; then
    run "$2"
    exit
fi

mkdir -p "$corpus"
[ -d "$seeds" ] || seeds=
shopt -s nullglob
again=("$fuzzer".found-*)
if [ ${#again[@]} -gt 0 ] && ! run "${again[@]}"; then
    status=1
else
    case $2 in *s) most=-max_total_time=${2%s} ;; *) most=-runs=$2 ;; esac
    run "$most" -print_final_stats=1 "$corpus" $seeds
    status=$?
fi
[ $status -eq 0 ] && exit
echo "fuzz.sh: $name failed; to see it again: scripts/fuzz.sh $fuzzer FILE, where FILE is"
ls -t "$fuzzer".found-* 2>/dev/null | head -n 3 | sed 's/^/    /'
exit $status
