#!/bin/bash
# Random operations by several shells, while mqxfs is killed, ended, lazily unmounted, and mounted
# again: nothing is lost, and nothing is doubled but what an mqxfs had handed over in the moment in
# which it was killed.  STORM_SECONDS, and STORM_SEED of a storm that is to be repeated.
. "$(dirname "$0")/lib.sh"
seconds=${STORM_SECONDS:-6} seed=${STORM_SEED:-$((RANDOM * 32768 + RANDOM))}

# What all shells have in common.  A message is NUMBER.NUMBER; and a newline: one that came whole
# ends so.  Sent is what a command said was sent; where it failed, it may be.
cat >"$scratch/worker" <<'END'
role=$1 id=$2 r=$3 n=0
random() { # below: in $x
    r=$(((r * 1103515245 + 12345) & 2147483647))
    x=$(((r / 65536) % $1))
}
put() { # queue text
    random 6
    case $x in
    0) printf '%s\n' "$2" >"$m/$1" ;;
    1) echo "$2" >>"$m/$1" ;;
    2) env printf '%s\n' "$2" | dd of="$m/$1" bs=64 conv=notrunc ;;
    3) echo "$2" | tee "$m/.prio/7/$1" ;;
    4) echo "{\"priority\": 3, \"text\": \"$2\\n\"}" >"$m/.json/$1" ;;
    5) printf '%s\n\n' "$2" >put.$id && cp put.$id "$m/.lines/$1" ;;
    esac >/dev/null
}
take() { # queue
    random 7
    case $x in
    0) x=$(cat "$m/$1"); echo "$x" ;;
    1) cat "$m/.nonblock/$1" ;;
    2) dd if="$m/$1" bs=100 count=1 iflag=nonblock ;;
    3) head -n 1 "$m/.nonblock/$1" ;;
    4) cat "$m/.drain/$1" ;;
    5) cat "$m/.drain/.lines/$1" ;;
    6) sed -n 's/.*"text": *"\([0-9.]*;\).*/\1/p' "$m/.drain/.json/$1" ;;
    esac >>taken.$id
}
aside() { # queue
    random 6
    case $x in
    0) ls -l "$m" ;;
    1) cat "$m/.peek/.drain/$1" ;;
    2) stat "$m/$1" ;;
    3) cat "$m/.stat/$1" ;;
    4) head -c 2 "$m/.nonblock/$1" ;;
    5) touch "$m/mine.$id" && rm "$m/mine.$id" ;;
    esac >/dev/null
}
while [ ! -e stop ]; do
    random 3
    queue=q$x
    random 10
    if [ $x = 0 ]; then
        aside $queue
    elif [ $role = producer ]; then
        n=$((n + 1))
        if put $queue "$id.$n;"; then echo "$id.$n;"; else echo "$id.$n;" >&3; fi
    else
        take $queue
    fi
    [ $? = 0 ] || sleep 0.02
done >>sent.$id 3>>perhaps.$id 2>/dev/null
END

shells() {
    local shell
    for shell in "bash" "dash" "zsh" "busybox sh"; do
        # It must know when a builtin's write has failed.
        $shell -c 'echo x >/dev/full' 2>/dev/null && continue
        $shell -c : 2>/dev/null && echo "$shell"
    done
}

end_it() { # 0 to 3
    case $1 in
    0 | 1)
        kill -KILL $fs
        kills=$((kills + 1))
        ;;
    2) kill -TERM $fs ;;
    3) umount -l "$m" && kill -TERM $fs ;;
    esac
    wait $fs 2>/dev/null
}

rounds_of_death() {
    local end=$((SECONDS + seconds)) round=0
    while [ $SECONDS -lt $end ] || [ $round -lt 4 ]; do
        sleep 0.$((RANDOM % 6 + 1))
        end_it $((round % 4))
        round=$((round + 1))
        mount_it
    done
    echo "# $round mounts, $kills of which were killed"
}

start_workers() {
    local shell id=0
    while read -r shell; do
        for role in producer consumer producer consumer; do
            id=$((id + 1))
            # shellcheck disable=SC2086 # busybox sh
            background $shell "$scratch/worker" $role $id $((seed + id * 7919)) </dev/null
        done
    done < <(shells)
    [ $id -ge 8 ] || no "only one shell was found"
}

# Who waits is released by the end of the mount.
stop_workers() {
    local pid
    touch stop
    for pid in $(started); do
        until ! kill -0 "$pid" 2>/dev/null; do
            end_it 2
            mount_it
            sleep 0.2
        done
        wait "$pid"
    done
}

count_up() {
    local queue
    for queue in q0 q1 q2; do
        cat "$m/.drain/$queue" >>taken.rest
    done
    sort -u sent.* >sent
    sort -u perhaps.* >perhaps
    # What was cut off, by the death of mqxfs, was not taken.
    cat taken.* | grep -x '[0-9]*\.[0-9]*;' | sort >taken
    sort -u taken >received
    echo "# $(wc -l <sent) sent, $(wc -l <perhaps) perhaps, $(wc -l <received) received," \
        "$(uniq -d taken | wc -l) twice"
    [ "$(wc -l <received)" -gt 100 ] || no "too little happened"
    is "lost" "" "$(comm -23 sent received | head -5 | xargs)"
    is "from nowhere" "" "$(sort -u sent perhaps | comm -13 - received | head -5 | xargs)"
    [ "$(($(wc -l <taken) - $(wc -l <received)))" -le $kills ] ||
        no "$(($(wc -l <taken) - $(wc -l <received))) messages too many, of $kills kills: $(uniq -d taken | head -5 | xargs)"
}

# Between two mounts, a write must not make a file in the directory below.
mount_on_what_is_read_only() {
    unmount_it
    mkdir below
    mount -t tmpfs tmpfs below || no "no tmpfs"
    mkdir below/m
    mount -o remount,ro below || no "no tmpfs that is read-only"
    m=$PWD/below/m
    mount_it
}

random_operations() {
    local kills=0
    RANDOM=$seed
    mount_on_what_is_read_only
    touch "$m/q0" "$m/q1" "$m/q2"
    export m
    start_workers
    rounds_of_death
    stop_workers
    count_up
    rm -f mqxfs.err
}

echo "# STORM_SEED=$seed"
try_as_root "shells at random, mqxfs killed and mounted again" random_operations
finish
