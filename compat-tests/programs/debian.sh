#!/bin/bash
# Debian's own programs and language bindings, unmodified, under `mqx run`.
# Each must use mqx's queues: it fails where $MQX_DIR cannot be, and its queue
# can be seen there.
. "$(dirname "$0")/../builds/lib.sh"
WORK=$BUILD/programs
mkdir -p "$WORK"

# needs_mqx COMMAND...: does it fail where mqx cannot have queues?
needs_mqx() {
    ! MQX_DIR=/dev/null timeout 60 mqx run "$@" >out 2>err ||
        no "it does not use mqx: '$*' goes without \$MQX_DIR"
}

stress() {
    local pid
    status 0 timeout 120 mqx run stress-ng --mq 4 --mq-ops 100000 --verify --metrics-brief
    grep -q ' mq  *100000 ' out err || no "not 100000 operations: $(cat out err)"
    ! grep -qi 'fail:' out err || no "$(cat out err)"
    needs_mqx stress-ng --mq 1 --mq-ops 100 --verify
    mqx run stress-ng --mq 1 --timeout 60 >out 2>&1 &
    pid=$!
    await "its queue in mqx" sh -c 'mqx ls | grep "^mq-"'
    kill $pid
    wait $pid
}

latency() {
    status 0 timeout 120 mqx run pmqtest -q -t 2 -l 300 -i 500
    is "both pairs of threads report" 2 "$(grep -c '^#[0-9]* -> #[0-9]*, Min ' out)"
    grep -q 'Cycles 300' out || no "it ended before its last round: $(cat out)"
    needs_mqx pmqtest -q -l 10 -i 500
}

leaves() { # text command...: it ends well, and leaves that in the queue /binding
    local text=$1
    shift
    status 0 timeout 120 mqx run "$@" /binding
    is "its message in mqx's queue" "3	$text" "$(mqx recv -p --nonblock binding 2>&1)"
    needs_mqx "$@" /binding
}

ada() {
    local adalib
    adalib=/usr/lib/$(gcc -print-multiarch)/ada/adalib/florist
    gnatmake -q -D "$PWD" -aI/usr/share/ada/adainclude/florist -aO"$adalib" -o florist \
        "$root/compat-tests/programs/florist.adb" -largs -lflorist >log 2>&1 || no "$(cat log)"
    ldd florist | grep -q libflorist.so || no "it is not linked with Debian's library"
    leaves "from Ada" ./florist
}

rust() {
    mkdir -p "$WORK/nix/.cargo"
    cat >"$WORK/nix/Cargo.toml" <<END
[package]
name = "nix-queue"
version = "0.0.0"
edition = "2021"
[[bin]]
name = "nix-queue"
path = "$root/compat-tests/programs/nix.rs"
[dependencies]
nix = { version = "*", default-features = false, features = ["mqueue"] }
END
    cat >"$WORK/nix/.cargo/config.toml" <<END
[source.crates-io]
replace-with = "debian"
[source.debian]
directory = "/usr/share/cargo/registry"
END
    # Debian's compiler, and nothing from the network.
    (cd "$WORK/nix" && PATH=/usr/bin:/bin CARGO_HOME=$PWD/home timeout 200 \
        cargo build -q --offline) >log 2>&1 || no "$(tail -5 log)"
    leaves "from Rust" "$WORK/nix/target/debug/nix-queue"
}

needs stress-ng "stress-ng --mq --verify" stress
if chrt -f 1 true 2>/dev/null; then
    needs pmqtest "pmqtest, of rt-tests" latency
else
    skip "pmqtest, of rt-tests" "it runs at real-time priorities, which are not allowed here"
fi
if [ -e /usr/share/gpr/florist.gpr ]; then
    needs gnatmake "Ada: POSIX.Message_Queues of Florist" ada
else
    skip "Ada" "libflorist-dev is not installed"
fi
if compgen -G '/usr/share/cargo/registry/nix-*' >/dev/null && [ -x /usr/bin/cargo ]; then
    try "Rust: mqueue of the crate nix" rust
else
    skip "Rust" "librust-nix-dev and cargo are not installed"
fi
finish
