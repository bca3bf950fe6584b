# shellcheck shell=bash
# What the storms of acknowledged messages share: a seed, and acknowledged.awk over what the workers
# wrote.  Read with `.`.

awk=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/acknowledged.awk
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
echo "SEED=$SEED"

# None of the messages 1 to `sent` was lost, or came again once it was acknowledged: says the file
# `log`.  What else it says is in `summary`.
check_log() { # sent
    local wrong
    wrong=$(awk -v sent="$1" -f "$awk" log 2>summary) || no "awk failed: $(cat summary)"
    [ -z "$wrong" ] || no "$(head -n 5 <<<"$wrong"); log: $(wc -l <log) lines"
}
