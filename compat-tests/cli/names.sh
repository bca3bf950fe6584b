#!/bin/bash
# Queues with any name that there can be, on the command line and on a terminal.
. "$(dirname "$0")/lib.sh"

names=("plain" "-n" "--help" ".hidden" "two words" " " "*" "%s%n" "a;b" "\$HOME" "a\\b" 'a"b' "caf"$'\xc3\xa9'
    $'new\nline' $'\033[2J\033]0;title\a' $'\x7f' $'\xff\xfe' $'\xc2\x9b''31m' $'\r' "~" "#"
    "$(printf '%255s' x)" "$(printf '%253s' x)"$'\xc3\xa9')

# What is on a terminal: no byte of a control character but the end of a line.
on_terminal() { # command...
    script -qec "$*" /dev/null </dev/null >tty || no "'$*' failed: $(cat tty)"
    tr -d '\r\n' <tty >lines
    # Those of ASCII, and U+0080 to U+009F.
    ! LC_ALL=C grep -q $'[\x01-\x1f\x7f]\|\xc2[\x80-\x9f]' lines || no "'$*' shows: $(od -c lines | head)"
    ! iconv -f utf-8 -t utf-8 <lines 2>&1 >/dev/null | grep -q . || no "'$*' shows no UTF-8"
}

each_name() {
    local name
    for name in "${names[@]}"; do
        status 0 mqx create --maxmsg 2 -- "$name"
        status 0 mqx send -- "$name" "to $name"
        status 0 mqx recv -- "$name"
        is "the message of '$name'" "to $name" "$(cat out)"
        status 1 mqx create -- "$name"
        says "there is such a queue already"
        is "lines on stderr" 1 "$(wc -l <err)"
        status 0 mqx stat -- "$name"
        is "lines of stat" 1 "$(grep -c '^name: ' out)"
        is "lines of stat" "$(mqx stat plain | wc -l)" "$(wc -l <out)"
    done
    printf '%s\n' "${names[@]}" | LC_ALL=C sort >wanted
    mqx ls | LC_ALL=C sort | cmp -s - wanted || no "ls: $(mqx ls | od -c | head)"
    is "the files" "${#names[@]}" "$(find "$MQX_DIR/queues" -type f -printf x | wc -c)"
    on_terminal mqx ls
    on_terminal mqx ls -l
    on_terminal mqx ls --json
    is "lines of ls on a terminal" "${#names[@]}" "$(mqx ls --json | grep -c '"name"')"
    status 0 mqx unlink -- "${names[@]}"
    is "left" "" "$(mqx ls)"
}

# Files that no mq_open makes, in a directory that everybody can write to.
no_queues() {
    local name
    status 0 mqx create good
    mkdir "$MQX_DIR/queues/"$'dir\033[31m'
    mkfifo "$MQX_DIR/queues/"$'fifo\n'
    ln -s /dev/zero "$MQX_DIR/queues/link"
    ln -s nowhere "$MQX_DIR/queues/dangling"
    : >"$MQX_DIR/queues/empty"
    head -c 100000 /dev/urandom >"$MQX_DIR/queues/random"
    status 0 timeout 20 mqx ls -l
    grep -q ' good$' out || no "ls -l: $(cat out)"
    status 0 timeout 20 mqx ls --json
    on_terminal timeout 20 mqx ls -l
    for name in $'dir\033[31m' $'fifo\n' link dangling empty random; do
        for command in stat recv "send x"; do
            # shellcheck disable=SC2086 # words
            timeout 20 mqx ${command% x} "$name" ${command#* } >out 2>err </dev/null
            case $? in
            1 | 2) ;;
            *) no "'mqx $command $name' ended with $?: $(cat err)" ;;
            esac
            ! LC_ALL=C grep -q $'[\x01-\x09\x0b-\x1f]' err || no "it said: $(od -c err)"
        done
    done
    is "the good one" 0 "$(mqx stat good | sed -n 's/^messages: //p')"
}

try "queues with any name" each_name
try "what is no queue, with any name" no_queues
finish
