#!/bin/bash
# fuzz.sh FUZZER RUNS: run a fuzz target for so many inputs.  What it found
# lies beside it; inputs that reach new code are where the next round begins.

fuzzer=$1 runs=$2
corpus=$fuzzer.corpus
mkdir -p "$corpus"
MQX_DIR=$(mktemp -d /dev/shm/mqx-fuzz.XXXXXX) || exit 1
export MQX_DIR
trap 'rm -rf "$MQX_DIR"' EXIT
trap 'exit 130' INT TERM
"$fuzzer" -runs="$runs" -max_len=2048 -len_control=0 -timeout=20 \
    -artifact_prefix="$fuzzer.found-" -print_final_stats=1 "$corpus"
