#!/bin/bash
# Is everything there that building, testing and the demo need?  As root on a
# Debian-like system, install what is missing; else say the one command to run.
# `deps.sh test` does so too for what tests make use of, if it can: those that lack
# it are skipped.

missing=()

need_command() { # command package
    command -v "$1" >/dev/null || missing+=("$2")
}

need_header() { # header package [pkg-config module]
    local flags=
    [ -n "$3" ] && flags=$(pkg-config --cflags "$3" 2>/dev/null)
    echo "#include <$1>" | ${CC:-cc} -E -D_FILE_OFFSET_BITS=64 -DFUSE_USE_VERSION=35 \
        -include stddef.h -include stdarg.h -include setjmp.h -include stdint.h $flags - \
        >/dev/null 2>&1 || missing+=("$2")
}

look() {
    missing=()
    need_command gcc gcc
    need_command make make
    need_command pkg-config pkgconf
    need_command fusermount3 fuse3
    need_command stress-ng stress-ng
    need_command pgrep procps
    need_header stdio.h libc6-dev
    need_header fuse_lowlevel.h libfuse3-dev fuse3
    need_header lmdb.h liblmdb-dev
    need_header xxhash.h libxxhash-dev
    need_header sodium.h libsodium-dev libsodium
    need_header ini.h libinih-dev
    need_header cmocka.h libcmocka-dev
}

# Other compilers, libcs and languages, a model checker, and programs that use queues.
look_for_tests() {
    missing=()
    need_command g++ g++
    need_command clang clang
    need_command musl-gcc musl-tools
    need_command spin spin
    need_command pmqtest rt-tests
    need_command fakeroot fakeroot
    need_command gnatmake gnat
    need_command php php-cli
    need_command zsh zsh
    need_command busybox busybox
    need_command jq jq
    need_command getfattr attr
    need_command python3 python3
    need_command node nodejs
    need_command script bsdutils
    need_command strace strace
    # Sanitizers and the fuzzer: a package of its own, by the version of clang's.
    compgen -G "$(clang -print-resource-dir 2>/dev/null)/lib/*/libclang_rt.fuzzer*" >/dev/null ||
        missing+=("$(apt-cache depends clang | sed -n 's/.* clang-\(.*\)/libclang-rt-\1-dev/p')")
    perl -MIPC::Msg -e 1 2>/dev/null || missing+=(perl)
    /usr/bin/python3 -c 'import sysv_ipc' 2>/dev/null || missing+=(python3-sysv-ipc)
    [ -x /usr/bin/cargo ] || missing+=(cargo)
    [ -e /usr/share/doc/librust-nix-dev ] || missing+=(librust-nix-dev)
    compgen -G '/usr/share/doc/libflorist*-dev' >/dev/null ||
        missing+=("$(apt-cache search --names-only '^libflorist.*-dev$' | awk 'END {print $1}')")
}

install() { # package...
    echo "deps: installing $*" >&2
    apt-get install -y --no-install-recommends "$@" 2>&1
}

# One by one: what this release does not have does not keep the others away.
install_for_tests() {
    local package
    look_for_tests
    [ ${#missing[@]} -eq 0 ] && return
    apt-get update >/dev/null 2>&1
    look_for_tests # by the names that apt knows now
    for package in "${missing[@]}"; do
        [ -n "$package" ] && log=$(install "$package") ||
            echo "deps: could not install ${package:-what apt does not know}: tests that need it are skipped" >&2
    done
}

say_for_tests() {
    look_for_tests
    [ ${#missing[@]} -eq 0 ] && return
    echo "deps: tests that need what is not installed are skipped; to have them all, run, as root:" >&2
    echo "    apt-get update && apt-get install -y ${missing[*]}" >&2
}

export DEBIAN_FRONTEND=noninteractive
if [ "$1" = test ] && command -v apt-get >/dev/null; then
    if [ "$(id -u)" -eq 0 ]; then install_for_tests; else say_for_tests; fi
fi
look
[ ${#missing[@]} -eq 0 ] && exit 0
if ! command -v apt-get >/dev/null; then
    echo "deps: missing, by their Debian names: ${missing[*]}; install them and try again" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing: ${missing[*]}; run, as root:" >&2
    echo "    apt-get update && apt-get install -y ${missing[*]}" >&2
    exit 1
fi
if ! log=$(apt-get update 2>&1 && install "${missing[@]}"); then
    echo "$log" >&2
    echo "deps: apt-get could not install ${missing[*]}; its messages are above" >&2
    exit 1
fi
look
if [ ${#missing[@]} -ne 0 ]; then
    echo "deps: still missing after the installation: ${missing[*]}" >&2
    exit 1
fi
