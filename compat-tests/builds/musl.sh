#!/bin/bash
# libmqx and the compatibility cases built with musl.  Its own ways with queues
# show on the kernel's: what passes there must pass with mqx, linked and
# preloaded.
#
# Of what a musl system has as packages (the kernel's headers, inih, cmocka),
# Debian has glibc's only: the headers and libinih.a do as they are, and for
# libcmocka see musl/glibc.c.
. "$(dirname "$0")/lib.sh"
MUSL=$BUILD/musl
musl=musl-gcc
[ "${CC%% *}" = ccache ] && musl="ccache musl-gcc"

objects=("$MUSL/obj/compat-tests/builds/musl/glibc.o")
for source in "$root"/compat-tests/*.c "$root"/compat-tests/posix/*.c; do
    source=${source#"$root/"}
    objects+=("$MUSL/obj/${source%.c}.o")
done

prepare() {
    local arch libs
    arch=$(gcc -print-multiarch) libs=$(dirname "$(gcc -print-file-name=libcmocka.so)")
    mkdir -p "$MUSL/include" "$MUSL/lib"
    ln -sfn -t "$MUSL/include" /usr/include/linux /usr/include/asm-generic \
        "/usr/include/$arch/asm" /usr/include/ini.h /usr/include/cmocka.h
    ln -sf -t "$MUSL/lib" "$libs/libcmocka.so" "$(realpath "$libs/libcmocka.so")"
    ln -sf "$libs/libcmocka.so" "$MUSL/lib/libcmocka.so.0"
    # glibc's dynamic linker, which libcmocka asks for, is musl's own library.
    musl-gcc -shared -nostdlib -x c /dev/null \
        -o "$MUSL/lib/$(basename "$(ldd "$(command -v gcc)" | sed -n 's/.*\(ld-linux[^ ]*\).*/\1/p')")"
}

compile() {
    local inih
    inih=$(gcc -print-file-name=libinih.a)
    prepare >log 2>&1 || no "$(tail -3 log)"
    make -C "$root" -j2 B="$MUSL" SANITIZE= CC="$musl" CFLAGS=-O1 LDFLAGS= INIH="$inih" \
        CPPFLAGS="-isystem $MUSL/include -include $here/musl/glibc.h" "${objects[@]}" \
        "$MUSL/lib/libmqx.a" "$MUSL/lib/libmqx_preload.so" >log 2>&1 || no "$(tail -5 log)"
    link "$MUSL/test-plain"
    link "$MUSL/test-linked" "$MUSL/lib/libmqx.a" "$inih"
}

link() { # output libraries...
    compiler=musl-gcc
    build "$1" -rdynamic "${objects[@]}" "${@:2}" -pthread -L"$MUSL/lib" -lcmocka \
        -Wl,-rpath,"$MUSL/lib" -Wl,--unresolved-symbols=ignore-in-shared-libs
}

# Users reach each other's queues through mqxfs.
mounted=(env BUILD="$BUILD" "$root/compat-tests/with_mount.sh") apart='signal\|block'
if [ "$(id -u)" != 0 ] || ! (exec 3<>/dev/fuse) 2>/dev/null; then
    mounted=() apart+='\|users.*'
fi

# cases FILE COMMAND...: their outcomes, a line for each.  Those that wait much go beside the rest.
cases() {
    timeout 200 "${@:2}" signal block >"$1.slow" 2>&1 &
    # shellcheck disable=SC2046 # words
    timeout 200 "${@:2}" $(sed -n 's/^ *X(\([a-z_]*\)).*/\1/p' "$root/compat-tests/posix/compat.h" |
        grep -vx "$apart") >"$1.rest" 2>&1
    wait $!
    cat "$1.slow" "$1.rest" | awk -f "$root/scripts/outcomes.awk" | sort >"$1"
}

# worse FILE: what fails there, or did not run, but passed on the kernel.
worse() {
    comm -23 <(grep 'OK$' kernel) "$1"
}

same() {
    cases kernel "$MUSL/test-plain" &
    cases linked "${mounted[@]}" "$MUSL/test-linked"
    wait
    [ "$(grep -c 'OK$' kernel)" -gt 400 ] || no "on the kernel: $(grep -v 'OK$' kernel)"
    is "worse than on the kernel" "" "$(worse linked)"
}

# Of what starts no other program: Debian's are glibc's, and cannot load it.
preloaded() {
    timeout 60 env LD_PRELOAD="$MUSL/lib/libmqx_preload.so" "$MUSL/test-plain" \
        close attr send receive order thread notify >log 2>&1
    awk -f "$root/scripts/outcomes.awk" log >outcomes
    if [ "$(id -u)" != 0 ]; then sed -i '/SKIPPED$/d' outcomes; fi # what only root can
    is "did not pass" "" "$(grep -v 'OK$' outcomes)"
    [ "$(wc -l <outcomes)" -gt 70 ] || no "only $(wc -l <outcomes) cases were run"
    MQX_DIR=/dev/null status 1 env LD_PRELOAD="$MUSL/lib/libmqx_preload.so" "$MUSL/test-plain" send
}

if ! command -v musl-gcc >/dev/null; then
    skip "musl" "musl-gcc (musl-tools) is not installed"
    exit 0
fi
try "libmqx and the cases are built with musl-gcc" compile
[ $bad -eq 0 ] || exit 1
try "linked with libmqx, the cases end as on the kernel" same
try "preloaded by musl's dynamic linker, too" preloaded
finish
