# shellcheck shell=bash
# A healthy queue beside a sick one, whose memory is scribbled on: what the cases of mqxd and of mqxfs
# share.  Read with `.`.
# SCRIBBLE_SECONDS: how long each case does so.

seconds=${SCRIBBLE_SECONDS:-1}
seed=${SCRIBBLE_SEED:-$RANDOM}
echo "# SCRIBBLE_SEED=$seed"

# Who uses the two queues, as the first words of a command; and what hammer is preloaded with.
as_sick='' as_well='' preload=''

# A command may fail, but not crash, and not hang when it is told to end.
may_fail() { # seconds command...
    timeout --kill-after=30 "$@"
    case $? in
    [0-3] | 124) ;;
    *) echo "'${*:2}' ended with $?: $(tail -n 1 "sick.err")" >>wrong ;;
    esac
}

ended() { # pid
    ! kill -0 "$1" 2>/dev/null
}

# Scribble on a file, if not said the sick queue's segment, while hammer uses the sick queue as fast as
# it can, and the functions both queues, until there is a file "stop".
expose() { # KINDS file hammered function...
    local kinds=$1 file=${2:-$MQX_DIR/queues/sick} hammered=$3 enemy hammer pid pids=()
    shift 3
    cp "$BUILD/test/scribble" "$BUILD/test/hammer" . # where other users can run them
    # shellcheck disable=SC2086 # words
    background $as_sick "$PWD/scribble" --seed "$seed" --kinds "$kinds" "$file" >scribbled
    enemy=$!
    # shellcheck disable=SC2086 # words
    background env ${preload:+"LD_PRELOAD=$preload"} $as_sick "$PWD/hammer" "$hammered" \
        >hammered 2>>wrong
    hammer=$!
    for part; do
        $part &
        echo $! >"$case_dir/$!.pid"
        pids+=($!)
    done
    sleep "$seconds" # no condition: the time it is exposed to this
    touch stop
    for pid in "${pids[@]}"; do
        await "a user of the queues to end" ended "$pid"
    done
    ended "$enemy" && no "scribble did not last"
    kill -TERM "$enemy"
    wait "$enemy"
    kill -TERM "$hammer"
    await "the fastest user of the queue to end" ended "$hammer"
    wait "$hammer" || no "hammer ended with $?: $(cat wrong)"
    grep -q "[1-9][0-9]* times" scribbled || no "nothing was scribbled: $(cat scribbled)"
    grep -q "[1-9][0-9]* calls succeeded" hammered || no "nothing was done: $(cat hammered)"
    [ ! -s wrong ] || no "$(sort wrong | uniq -c | head -5)"
}
