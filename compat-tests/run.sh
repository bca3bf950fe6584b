#!/bin/bash
# Runs the tests.  `run.sh` is what `make test` does; `run.sh storm` is the
# long round of `make storm`, `run.sh fuzz` and `run.sh hostile` are that of
# `make fuzz`.
#
# Each test runs in an environment of its own (MQX_DIR, MQX_STORE, TMPDIR), in
# a bounded time, and what it leaves running or mounted is ended.  Its output
# is shown if it fails.  The last line is "N passed, N failed".

cd "$(dirname "$0")/.." || exit 1
export BUILD=${BUILD:-build}
case $BUILD in /*) ;; *) BUILD=$PWD/$BUILD ;; esac
PRELOAD=$BUILD/lib/libmqx_preload.so
PATIENCE=1 # times as long with sanitizers
passed=0 failed=0

unset MQX_DIR MQX_STORE MQX_MOUNT MQX_CONF MQX_LIMITS LD_PRELOAD
export MQX_CONF=/dev/null
if [ -n "$SANITIZE" ]; then
    PATIENCE=6
    # Its runtime must be loaded before what it instruments.
    case $SANITIZE in *thread*) runtime=libtsan.so ;; *) runtime=libasan.so ;; esac
    runtime=$(${CC:-cc} -print-file-name=$runtime)
    [ -e "$runtime" ] && PRELOAD="$runtime $PRELOAD"
    # ... which `mqx run` cannot see to; and the shells it runs leak as they please.
    # Handlers send on purpose: a first send makes room in this process's tables, by calls that the
    # thread sanitizer takes for unsafe in a handler.
    export TSAN_OPTIONS=report_signal_unsafe=0:$TSAN_OPTIONS
    export ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0:$ASAN_OPTIONS
fi

base=$(mktemp -d "${TMPDIR:-/tmp}/mqx-test.XXXXXX") || exit 1
memory=$(mktemp -d /dev/shm/mqx-test.XXXXXX 2>/dev/null) || memory=$base/shm
mkdir -p "$memory" "$BUILD/test-logs"
chmod 755 "$base" "$memory" # tests act as other users too

# End what still runs with this test's directories in its environment, and unmount.
sweep() { # text in the environment
    local pid mount
    for pid in $(grep -lsaF "$1" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); do
        [ "$pid" != $$ ] && [ "$pid" != $BASHPID ] && kill -KILL "$pid" 2>/dev/null
    done
    while read -r _ mount _; do
        case $mount in "$1"/*) umount -l "$mount" 2>/dev/null ;; esac
    done </proc/mounts
}

finish() {
    trap - EXIT
    sweep "$memory"
    sweep "$base"
    rm -rf "$base" "$memory"
}
trap finish EXIT
trap 'finish; exit 130' INT TERM HUP

count() { # PASSED, FAILED or SKIPPED, in cmocka's summaries; newer ones name the group
    sed -nE "s/^\[ +$1 +\] (.*: )?([0-9]+) test\(s\).*/\2/p" "$log" | awk '{n += $1} END {print n + 0}'
}

# try KIND NAME SECONDS COMMAND...: run a test.  KIND is how it counts: cmocka
# and shell report their cases, a whole one counts by its exit status.
try() {
    local kind=$1 name=$2 seconds=$(($3 * PATIENCE)) status good=0 bad=0 skipped=0 began=$SECONDS
    shift 3
    log=$BUILD/test-logs/$name.log
    mkdir -p "$base/$name/store" "$memory/$name"
    chmod 1777 "$memory/$name"
    # Waited for, so that a signal to us ends it; not ignoring SIGINT, as the shell makes such jobs.
    env --default-signal=INT,QUIT TMPDIR="$base/$name" MQX_DIR="$memory/$name" \
        MQX_STORE="$base/$name/store" timeout -k 10 "$seconds" "$@" >"$log" 2>&1 </dev/null &
    wait $!
    status=$?
    sweep "$memory/$name"
    sweep "$base/$name"
    rm -rf "${base:?}/$name" "${memory:?}/$name"
    case $kind in
    cmocka)
        good=$(count PASSED)
        bad=$(count FAILED)
        skipped=$(count SKIPPED)
        ;;
    shell)
        good=$(grep -c '^ok - ' "$log")
        bad=$(grep -c '^not ok - ' "$log")
        skipped=$(grep -c '^skip - ' "$log")
        ;;
    whole) [ $status -eq 0 ] && good=1 ;;
    esac
    # A crash, a hang, or a test that ran nothing.
    [ $status -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
    [ $((good + bad + skipped)) -eq 0 ] && bad=1
    passed=$((passed + good)) failed=$((failed + bad))
    if [ "$bad" -eq 0 ]; then
        printf 'pass  %-24s %4d passed%s, %d s\n' "$name" "$good" \
            "$([ "$skipped" -gt 0 ] && echo ", $skipped skipped")" $((SECONDS - began))
        grep -a '^skip - \|^\[  SKIPPED \]' "$log" | grep -v 'test(s)' | sort -u | sed 's/^/      /'
    else
        printf 'FAIL  %-24s %4d passed, %d failed, %d s: %s\n' "$name" "$good" "$bad" \
            $((SECONDS - began)) "$(why $status $seconds)"
        sed 's/^/    | /' "$log"
    fi
}

why() { # status seconds
    case $1 in
    0) echo "its output follows" ;;
    124) echo "not done after $2 seconds; its output follows" ;;
    *) echo "ended with status $1; its output follows" ;;
    esac
}

each() { # pattern: the files that match it
    compgen -G "$1"
}

skip() { # name why
    printf 'skip  %-24s %s\n' "$1" "$2"
}


# One storm on mqx; the arguments go to the program.
storm() { # seconds name program arguments...
    local seconds=$1 name=$2 program=$3
    shift 3
    if [ -x "$BUILD/test/$program" ]; then
        try whole "$name" "$seconds" env LD_PRELOAD="$PRELOAD" "$BUILD/test/$program" "$@"
    else
        failed=$((failed + 1))
        echo "FAIL  $name: there is no $BUILD/test/$program"
    fi
}

kernel_has_queues() {
    [ -e /proc/sys/fs/mqueue/queues_max ]
}

run_units() {
    local test
    for test in libmqx/*_test.c fusefs/*_test.c mqxd/*_test.c cli/*_test.c; do
        [ -e "$test" ] || continue
        test=$(basename "$test" .c)
        try cmocka "$test" 120 "$BUILD/test/$test"
    done
}

# The groups of compatibility cases that a header lists, but those that match.
groups_but() { # header, extended regular expression
    sed -n 's/^ *X(\([a-z_]*\)).*/\1/p' "$1" | grep -vxE "$2"
}

run_posix() {
    local but=none groups=() mounted=(compat-tests/with_mount.sh)
    case $SANITIZE in
    *address*)
        but='.*cancel'
        skip posix-cancel "AddressSanitizer does not understand how a cancelled C thread unwinds"
        ;;
    esac
    mapfile -t groups < <(groups_but compat-tests/posix/compat.h "$but")
    if kernel_has_queues; then
        try cmocka posix-kernel 300 "$BUILD/test/posix_compat" "${groups[@]}"
    else
        skip posix-kernel "this kernel has no message queues: only mqx runs the cases"
    fi
    if ! can_mount; then
        skip posix-mqx-users "several users need root, and /dev/fuse"
        mapfile -t groups < <(groups_but compat-tests/posix/compat.h "$but|users.*")
        mounted=()
    fi
    try cmocka posix-mqx 300 "${mounted[@]}" env LD_PRELOAD="$PRELOAD" \
        "$BUILD/test/posix_compat" "${groups[@]}"
}

run_sysv() {
    local but=none groups=() mounted=(compat-tests/with_mount.sh)
    case $SANITIZE in
    *address*) but=cancel ;; # as for posix
    esac
    mapfile -t groups < <(groups_but compat-tests/sysv/sysv.h "$but")
    if [ -e /proc/sysvipc/msg ]; then
        try cmocka sysv-kernel 300 "$BUILD/test/sysv_compat" "${groups[@]}"
    else
        skip sysv-kernel "this kernel has no System V queues: only mqx runs the cases"
    fi
    if ! can_mount; then
        skip sysv-mqx-users "several users need root, and /dev/fuse"
        mapfile -t groups < <(groups_but compat-tests/sysv/sysv.h "$but|users_.*")
        mounted=()
    fi
    try cmocka sysv-mqx 300 "${mounted[@]}" env LD_PRELOAD="$PRELOAD" \
        "$BUILD/test/sysv_compat" "${groups[@]}"
    run_sysv_others "$but" "${mounted[@]}"
}

# The same cases on queues that another user has created, but those about who that is.
run_sysv_others() { # groups to leave out, the command to run it with the mount
    local groups
    mapfile -t groups < <(groups_but compat-tests/sysv/sysv.h "$1|get|stat|info|users.*")
    shift
    [ $# -gt 0 ] || return
    if [ -e /proc/sysvipc/msg ]; then
        try cmocka sysv-others-kernel 300 "$BUILD/test/sysv_compat" --others "${groups[@]}"
    fi
    cp "$BUILD/lib/libmqx_preload.so" "$base" # a program that others execute gets it, too
    try cmocka sysv-others-mqx 300 "$@" env LD_PRELOAD="${PRELOAD/"$BUILD/lib"/"$base"}" \
        "$BUILD/test/sysv_compat" --others "${groups[@]}"
}

run_shell() {
    local case folder
    for folder in cli fs durable builds programs; do
        case $SANITIZE:$folder in
        ?*:builds | ?*:programs)
            skip "$folder" "other programs do not have a sanitizer's runtime"
            continue
            ;;
        esac
        for case in $(each "compat-tests/$folder/*.sh"); do
            [ -x "$case" ] || continue # a file of functions that cases read
            try shell "$folder-$(basename "$case" .sh)" 300 "$case"
        done
    done
}

# beside COMMAND...: what mostly waits runs beside the rest; what it prints comes with joined.
beside() {
    (
        trap - EXIT
        trap 'exit 130' INT TERM HUP
        passed=0 failed=0
        "$@"
        echo "$passed $failed" >"$base/beside.count"
    ) >"$base/beside.out" 2>&1 </dev/null &
    beside=$!
}

joined() {
    local good=0 bad=1 # should it have been killed
    wait "$beside"
    cat "$base/beside.out"
    [ -e "$base/beside.count" ] && read -r good bad <"$base/beside.count"
    passed=$((passed + good)) failed=$((failed + bad))
}

can_mount() {
    [ "$(id -u)" = 0 ] && (exec 3<>/dev/fuse) 2>/dev/null
}

# Users other than the queues' owner, through root's mqxfs; without that, they are skipped.
users_storm() { # kill or sysv, arguments...
    local program=$1_storm name=$1-storm-users
    shift
    if can_mount; then
        try whole "$name" 3600 compat-tests/with_mount.sh env LD_PRELOAD="$PRELOAD" \
            "$BUILD/test/$program" --users "$@"
    else
        skip "$name" "several users need root, and /dev/fuse"
    fi
}

# Power cuts and full disks, on a file system of our own.
disk_storm() { # name program arguments...
    local name=$1
    shift
    if can_mount; then
        storm 3600 "$name" "$@"
    else
        skip "$name" "a file system of our own needs root, and /dev/fuse"
    fi
}

run_short_storms() { # a queue that is scanned, one with a tree
    storm 300 kill-storm-8 kill_storm --kills 200 --maxmsg 8
    storm 300 kill-storm-300 kill_storm --kills 200 --maxmsg 300
    storm 300 stop-storm-8 stop_storm --stops 20 --maxmsg 8
    storm 300 stop-storm-300 stop_storm --stops 20 --maxmsg 300
    storm 300 reentry-storm reentry_storm --interruptions 5000
    storm 300 kill-storm-mixed kill_storm --kills 200 --mixed
    users_storm kill --kills 200 --maxmsg 8
    storm 300 stop-storm-mixed stop_storm --stops 10 --maxmsg 8 --mixed
    storm 300 reentry-storm-mixed reentry_storm --interruptions 5000 --mixed
    storm 300 poll-storm poll_storm --kills 120
    storm 300 notify-storm notify_storm --stride 900 --seconds 2
    storm 300 sysv-storm sysv_storm --kills 300 --stops 60
    users_storm sysv --kills 150 --stops 30
    storm 300 step-storm step_storm --stride 300
    disk_storm cut-storm cut_storm --cuts 200
    disk_storm cut-storm-fresh cut_storm --cuts 100 --fresh
    disk_storm fill-storm fill_storm --rounds 8
    storm 300 scribble-storm scribble_storm --seconds 2
    try shell linear-check 120 "$BUILD/test/linear_check_test"
    try shell linear-search 120 "$BUILD/test/linear_search_test" --rounds 20000
    try shell linear-right 120 "$BUILD/test/linear_right_test" --rounds 20000
    storm 300 linear-storm linear_storm --rounds 200
}

# Threads of one process, under the thread sanitizer, which must have nothing to report.  There are
# no suppressions; of the options, halt_on_error makes a report fail whichever process it is in,
# die_after_fork=0 lets children that a threaded process forked have threads of their own, and
# report_signal_unsafe=0 is explained above.
run_threads() { # operations-of-each-thread unit-tests...
    local tsan=$BUILD/tsan each=$1 runtime test
    local options="TSAN_OPTIONS=halt_on_error=1:die_after_fork=0:report_signal_unsafe=0"
    shift
    [ -z "$SANITIZE" ] || return # then all else is, or is for another's eyes
    if [ ! -x "$tsan/test/thread_storm" ]; then
        skip tsan "${CC:-cc} makes no programs with -fsanitize=thread that run here"
        return
    fi
    # gcc's runtime is a library, clang's is in the program.
    runtime=$(ldd "$tsan/test/thread_storm" | awk '$1 ~ /^libtsan/ {print $3}')
    for test; do
        try cmocka "tsan-$test" 720 env "$options" "$tsan/test/$test"
    done
    try whole tsan-thread-storm 1800 env "$options" \
        LD_PRELOAD="$runtime $tsan/lib/libmqx_preload.so" "$tsan/test/thread_storm" --each "$each"
    [ -x "$tsan/test/posix_compat" ] || return
    # Not those that need a handler to run at once, which the sanitizer puts off until the next call
    # that it knows: in a child that a process with threads forked, where it ignores all calls, for
    # ever (notify_when: registers_again_elsewhere).
    try cmocka tsan-posix 1800 env "$options" \
        LD_PRELOAD="$runtime $tsan/lib/libmqx_preload.so" "$tsan/test/posix_compat" \
        thread fork cancel close notify notify_end notify_thread poll poll_calls block epoll
}

# Hostile neighbours, for long; and where it can be had, with all of ours under a sanitizer.
run_scribble() {
    local asan=$BUILD-asan runtime case
    storm 3600 scribble-storm scribble_storm --seconds 20 --rounds 25 --scribblers 2
    for case in fs durable; do
        try shell "$case-scribble-long" 3600 env SCRIBBLE_SECONDS=60 compat-tests/$case/scribble.sh
    done
    try shell durable-damage-long 3600 env DAMAGES=1000 compat-tests/durable/damage.sh
    [ -z "$SANITIZE" ] && [ -x "$asan/test/scribble_storm" ] || return
    runtime=$(${CC:-cc} -print-file-name=libasan.so)
    for case in fs durable; do
        try shell "$case-scribble-asan" 3600 env BUILD="$asan" SCRIBBLE_SECONDS=20 \
            ASAN_OPTIONS=detect_leaks=0 compat-tests/$case/scribble.sh
    done
    try whole scribble-storm-asan 3600 env LD_PRELOAD="$runtime $asan/lib/libmqx_preload.so" \
        ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0 \
        "$asan/test/scribble_storm" --seconds 20 --rounds 10
}

# Shortages.  Programs that limit their memory, or fail their system calls, want it as it is.
run_resources() { # suffix programs-and-arguments...
    local suffix=$1 each name
    shift
    for each; do
        name=${each%% *}
        case $SANITIZE:$name in
        ?*:memory | ?*:faults)
            skip "resources-$name" "a sanitizer's own memory and calls are in the way"
            continue
            ;;
        esac
        # shellcheck disable=SC2086 # arguments
        try shell "resources-$name$suffix" 1800 env LD_PRELOAD="$PRELOAD" "$BUILD/test/"$each
    done
    try shell "resources-programs$suffix" 300 compat-tests/resources/programs.sh
}

run_fuzz() { # runs seconds
    local fuzzer
    for fuzzer in $(each 'fuzz/*_fuzz.c'); do
        fuzzer=$(basename "$fuzzer" .c)
        if [ -x "$BUILD/fuzz/$fuzzer" ]; then
            try whole "$fuzzer" "$2" scripts/fuzz.sh "$BUILD/fuzz/$fuzzer" "$1"
        else
            skip "$fuzzer" "fuzzing needs clang and its libraries (libclang-rt-*-dev), which are not installed"
        fi
    done
}

run_hostile() { # stride seconds: of the damaged queues in fuzz/corpus, every so many-th
    local case
    try whole segment-sweep "$2" "$BUILD/test/segment_sweep" $([ "$1" = 1 ] || echo 6)
    for case in $(each "compat-tests/hostile/*.sh"); do
        [ -x "$case" ] || continue
        try shell "hostile-$(basename "$case" .sh)" "$2" env HOSTILE_STRIDE="$1" "$case"
    done
}

run_bench() {
    [ -x "$BUILD/bench/bench" ] || return
    if [ -n "$SANITIZE" ]; then
        skip bench "sanitizers make times meaningless"
    elif ! kernel_has_queues; then
        skip bench "this kernel has no message queues to compare with"
    else
        try whole bench 300 "$BUILD/bench/bench" --quick --preload "$BUILD/lib/libmqx_preload.so"
    fi
    [ -n "$SANITIZE" ] || try whole bench-files 300 "$BUILD/bench/bench_files" --quick \
        --mqxfs "$BUILD/bin/mqxfs"
    [ -n "$SANITIZE" ] || try whole bench-durable 300 "$BUILD/bench/bench_durable" --quick \
        --mqxd "$BUILD/bin/mqxd" --dir "$BUILD"
}

run_long_storms() {
    local maxmsg msgsize
    for maxmsg in 8 64 300 5000; do
        for msgsize in 64 3000; do # in the slot, and in its overflow area
            storm 3600 "kill-storm-$maxmsg-$msgsize" kill_storm --kills 1300 \
                --maxmsg $maxmsg --msgsize $msgsize
        done
    done
    storm 3600 stop-storm stop_storm --stops 1000 --seconds 3000 # sizes in turn
    storm 3600 reentry-storm reentry_storm --interruptions 200000
    storm 3600 kill-storm-mixed kill_storm --kills 5000 --mixed
    users_storm kill --kills 3000 --mixed
    storm 3600 stop-storm-mixed stop_storm --stops 500 --seconds 1500 --mixed
    storm 3600 reentry-storm-mixed reentry_storm --interruptions 200000 --mixed
    storm 3600 poll-storm poll_storm --kills 6000
    for msgsize in 40 200 1000; do
        storm 3600 "sysv-storm-$msgsize" sysv_storm --kills 20000 --stops 2000 --msgsize $msgsize
    done
    users_storm sysv --kills 6000 --stops 600
    storm 7200 notify-storm notify_storm --stride 10 --seconds 300
    storm 3600 step-storm step_storm --stride 1
    disk_storm cut-storm cut_storm --cuts 6000
    disk_storm cut-storm-undisturbed cut_storm --cuts 2000 --disturb 0
    disk_storm cut-storm-fresh cut_storm --cuts 3000 --fresh
    disk_storm fill-storm fill_storm --rounds 500
    try shell linear-search 3600 "$BUILD/test/linear_search_test" --rounds 1000000
    try shell linear-right 3600 "$BUILD/test/linear_right_test" --rounds 2000000
    storm 3600 linear-storm linear_storm --rounds 6000
    try shell cli-each-storm-long 3600 env EACH_ROUNDS=3000 compat-tests/cli/each_storm.sh
    try shell fs-ack-storm-long 3600 env ACK_ROUNDS=3000 compat-tests/fs/ack_storm.sh
    try shell fs-storm-long 3600 env STORM_SECONDS=240 compat-tests/fs/storm.sh
    try shell fs-crowd-latency 600 env CROWD_RATIO=2 compat-tests/fs/crowd.sh
    run_threads 100000 $(basename -as .c libmqx/*_test.c)
    run_scribble
    run_resources -long "churn --rounds 50 --kills 5000" "crowd --rounds 50" \
        "namespaces --trials 100"
}

case ${1:-test} in
test)
    beside run_shell
    run_units
    run_posix
    run_sysv
    run_short_storms
    joined
    run_threads 1000 concurrency_test handles_test thread_test
    run_resources "" tmpfs_full descriptors faults registry memory churn namespaces \
        "crowd --processes $([ -n "$SANITIZE" ] && echo 100 || echo 1000)"
    run_fuzz 1500 600
    run_hostile 25 300
    try shell model 600 model/run.sh quick
    run_bench
    ;;
storm) run_long_storms ;;
fuzz) run_fuzz "${RUNS:-500000}" 36000 ;;
hostile) run_hostile 1 3600 ;;
*)
    echo "usage: run.sh [test | storm | fuzz | hostile]" >&2
    exit 2
    ;;
esac
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
