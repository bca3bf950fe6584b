#!/bin/bash
# Is everything there that building, testing and the demo need?  As root on a
# Debian-like system, install what is missing; else say the one command to run.
#
#   deps.sh [PROGRAM...]    these as well, each the package of its name, but only
#                           if that is easily done: what needs them is skipped else

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
    need_header ini.h libinih-dev
    need_header cmocka.h libcmocka-dev
}

install() { # packages; says what it does, and why it failed
    echo "deps: installing $*"
    log=$({ apt-get update && apt-get install -y --no-install-recommends "$@"; } 2>&1)
}

wanted() { # programs
    local program programs=()
    for program; do
        command -v "$program" >/dev/null || programs+=("$program")
    done
    [ ${#programs[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null || ! install "${programs[@]}"; then
        echo "deps: without ${programs[*]}, what needs that is skipped"
    fi
}

export DEBIAN_FRONTEND=noninteractive
look
if [ ${#missing[@]} -eq 0 ]; then
    wanted "$@"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "deps: missing, by their Debian names: ${missing[*]}; install them and try again" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "deps: missing: ${missing[*]}; run, as root:" >&2
    echo "    apt-get update && apt-get install -y ${missing[*]}" >&2
    exit 1
fi
if ! install "${missing[@]}"; then
    echo "$log" >&2
    echo "deps: apt-get could not install ${missing[*]}; its messages are above" >&2
    exit 1
fi
look
if [ ${#missing[@]} -ne 0 ]; then
    echo "deps: still missing after the installation: ${missing[*]}" >&2
    exit 1
fi
wanted "$@"
