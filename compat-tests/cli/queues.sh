#!/bin/bash
# mqx create, ls, stat and unlink.
. "$(dirname "$0")/lib.sh"

creates() {
    umask 027
    status 0 mqx create --maxmsg 7 --msgsize=99 jobs
    status 0 mqx stat jobs
    is maxmsg "maxmsg: 7" "$(grep ^maxmsg out)"
    is msgsize "msgsize: 99" "$(grep ^msgsize out)"
    is "mode, less the umask" "mode: 0640" "$(grep ^mode out)"
    is durable "durable: off" "$(grep ^durable out)"
    status 0 mqx create --mode 0622 /other
    is "given mode" "mode: 0622" "$(mqx stat other | grep ^mode)"
    is defaults "maxmsg: 10 msgsize: 8192" \
        "$(mqx stat other | grep -E '^(maxmsg|msgsize)' | paste -sd ' ')"
}

creates_once() {
    status 0 mqx create jobs
    status 0 mqx send jobs keep
    status 1 mqx create jobs
    says "mqx unlink jobs"
    is "the message is still there" "messages: 1" "$(mqx stat jobs | grep ^messages)"
}

follows_policies() {
    printf '[bulk-*]\nmaxmsg = 33\nmsgsize = 44\n' >mqx.conf
    MQX_CONF=$PWD/mqx.conf status 0 mqx create bulk-1
    is "from mqx.conf" "maxmsg: 33 msgsize: 44" \
        "$(mqx stat bulk-1 | grep -E '^(maxmsg|msgsize)' | paste -sd ' ')"
}

refuses_nonsense() {
    local bad
    for bad in '' / a/b . .. "$(printf '%256s' x | tr ' ' x)"; do
        status 2 mqx create "$bad"
        says "a queue's name has"
    done
    status 2 mqx create --maxmsg 0 a
    status 2 mqx create --maxmsg 1x a
    status 2 mqx create --maxmsg 16777217 a
    status 2 mqx create --msgsize -1 a
    status 2 mqx create --mode 999 a
    status 2 mqx create --durable maybe a
    status 2 mqx create
    status 2 mqx create a b
    status 0 mqx ls
    is "nothing was created" "" "$(cat out)"
}

refuses_sync_without_mqxd() {
    status 1 mqx create --durable=sync orders
    says "start mqxd"
    status 0 mqx ls
    is "nothing was created" "" "$(cat out)"
}

refuses_unusable_directory() {
    local dir
    touch file
    for dir in "$PWD/no/where" "$PWD/file"; do
        MQX_DIR=$dir status 1 mqx create jobs
        says "mqx: create: $dir: cannot be made"
        says "set MQX_DIR"
    done
}

lists() {
    status 0 mqx ls
    is "no queues" "" "$(cat out)"
    status 0 mqx ls --json
    is "no queues" "[]" "$(cat out)"
    status 0 mqx create zebra
    status 0 mqx create ant
    status 0 mqx send ant 12345
    status 0 mqx ls
    is "sorted names" "ant zebra" "$(paste -sd ' ' out)"
    status 0 mqx ls -l
    grep -Eq '^rw-.* 1 +5 +10 +8192 off .* ant$' out || no "ls -l: $(cat out)"
    status 2 mqx ls ant
}

json() {
    local name
    name=$(printf 'say "a"\\\n\xff\xc3\xa9')
    status 0 mqx create --mode 600 "$name"
    status 0 mqx send "$name" 123
    status 0 mqx ls --json
    cp out list
    if command -v python3 >/dev/null; then
        status 0 python3 -c '
import json, sys
q, = json.load(open("list", encoding="utf-8"))
assert q["name"] == "say \"a\"\\\n\u00ff\u00e9", q
assert (q["messages"], q["bytes"], q["maxmsg"], q["msgsize"]) == (1, 3, 10, 8192), q
assert (q["mode"], q["durable"], q["sent"]) == ("0600", "off", 1), q
assert q["last_send"].endswith("Z"), q'
    fi
    grep -qF '"name": "say \"a\"\\\u000a\u00ff'"$(printf '\xc3\xa9')"'"' list || no "$(cat list)"
    status 0 mqx stat --json "$name"
    grep -q '^{"name": .*}$' out || no "stat --json: $(cat out)"
}

damaged() {
    status 0 mqx create good
    echo rubbish >"$MQX_DIR/queues/bad"
    status 1 mqx stat bad
    says "damaged"
    status 1 mqx send bad x
    says "mqx unlink bad"
    status 0 mqx ls -l
    is "both are listed" 2 "$(wc -l <out)"
    status 0 mqx ls --json
    grep -q '"name": "bad".*"error": ' out || no "no error in $(cat out)"
    status 0 mqx unlink bad
    is "one is left" good "$(mqx ls)"
}

unlinks() {
    status 0 mqx create a
    status 0 mqx create b
    status 0 mqx create c
    status 0 mqx unlink a /b
    is "one is left" c "$(mqx ls)"
    status 1 mqx unlink c c
    says "no such queue"
    is "none is left" "" "$(mqx ls)"
    status 2 mqx unlink
    is "no FIFO is left" "" "$(ls "$MQX_DIR/fifos")"
}

unlinks_durable() {
    status 0 mqx create --durable=async a
    status 0 mqx create b
    status 0 mqx unlink b
    is "nothing to say" "" "$(cat err)"
    status 0 mqx unlink a
    says "no mqxd is running"
    is "one line" 1 "$(wc -l <err)"
    is "none is left" "" "$(mqx ls)"
}

helps() {
    local command
    status 0 mqx --version
    grep -Eq '^mqx [0-9]+\.[0-9]+\.[0-9]+$' out || no "--version: $(cat out)"
    status 0 mqx --help
    cp out list
    for command in run create ls stat send recv unlink; do
        grep -q "^  $command " list || no "--help lacks $command"
        (status 0 mqx $command --help && grep -q "^usage: mqx $command" out) ||
            no "$command --help: $(cat out)"
    done
    status 2 mqx
    status 2 mqx frobnicate
    says "there is no command 'frobnicate'"
    for command in create ls stat send recv unlink; do
        status 2 mqx $command --frobnicate
        says "mqx: $command: unrecognized option"
        says "mqx: $command: see 'mqx $command --help'"
    done
    "$BUILD/bin/mqx" ls --help >/dev/full 2>err && no "a full disk was not noticed"
    says "standard output"
}

try "create: attributes, mode, umask" creates
try "create: an existing queue stays as it is" creates_once
try "create: policies of mqx.conf" follows_policies
try "create: bad names and numbers" refuses_nonsense
try "create: sync needs mqxd" refuses_sync_without_mqxd
try "create: a directory that cannot be made" refuses_unusable_directory
try "ls: names, long" lists
try "ls, stat: JSON of any name" json
try "a damaged queue is said to be so and can be removed" damaged
try "unlink: several, missing ones, nothing left behind" unlinks
try "unlink: a durable queue that mqxd does not hear of" unlinks_durable
try "help, version, unknown commands, a full disk" helps
finish
