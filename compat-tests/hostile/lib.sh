# shellcheck shell=bash
# What the cases with damaged queues and hostile files share.  Read with `.`,
# before the library of the cases' own kind.
#
# HOSTILE_STRIDE: of the corpus, every so many-th input (`make fuzz`: all).

CORPUS=$(cd "$(dirname "$0")/../../fuzz/corpus/segment" && pwd) || exit 1

# Our programs are to leave nothing behind, too.
[ -z "$ASAN_OPTIONS" ] || export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=1

inputs() {
    find "$CORPUS" -type f | sort | awk -v n="${HOSTILE_STRIDE:-12}" 'NR % n == 1 || n == 1'
}

# A program of ours reports, with a sanitizer or without.
reported() { # file
    grep -qE 'Sanitizer|runtime error|not as it must be|stack smashing|free\(\)' "$1" 2>/dev/null
}

# ends COMMAND...: it ends by itself, soon, with one of mqx's statuses, and where it fails it says
# why.  Its output is in the files out and err.
ends() {
    local status
    timeout -s KILL "${PATIENCE:-30}" "$@" >out 2>err </dev/null
    status=$?
    reported err && no "'$*': $(cat err)"
    case $status in
    0) ;;
    1 | 3) [ -s err ] || no "'$*' failed and did not say why" ;;
    *) no "'$*' ended with $status: $(cat err)" ;;
    esac
    return 0
}

# The same, but it may wait for a message or for room, and is then ended after a moment.
ends_or_waits() {
    ends sh -c '"$@"; status=$?; [ $status = 124 ] || exit $status' sh \
        timeout --signal=TERM --kill-after=20 0.1 "$@"
}
