# shellcheck shell=bash
# What the builds share: a compiler, and programs that use mqx's queues.
# Read with `.`; cases are as in compat-tests/cases.sh.

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cli/lib.sh"
root=$(cd "$here/../.." && pwd)
CC=${CC:-cc}

# build OUTPUT ARGUMENTS...: compile and link one of the small programs.
build() {
    local out=$1
    shift
    # shellcheck disable=SC2086 # CC may be "ccache gcc"
    ${compiler:-$CC} -o "$out" "$@" >log 2>&1 || no "cannot build $out: $(head -5 log)"
}

# talks COMMAND...: does this build of talk.c use a queue of mqx's?  It is given a name and a text.
talks() {
    status 0 "$@" /talk "by mqx"
    is "the message is in mqx's queue" "by mqx" "$(mqx recv --nonblock talk 2>&1)"
    mqx unlink talk
}
