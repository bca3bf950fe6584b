#!/bin/bash
# Messages that are encrypted in the store (encrypt = yes), and their keys.
. "$(dirname "$0")/lib.sh"

prints() { # text
    grep -qF -- "$1" out || no "stdout lacks '$1': $(cat out)"
}

hex() { # digit: a key's line
    printf "%064d\n" 0 | tr 0 "$1"
}

keys() { # file digit...: a key file
    local file=$1
    shift
    for digit; do hex "$digit"; done >"$file.new"
    chmod 600 "$file.new" && mv "$file.new" "$file"
}

conf() { # line...
    printf '%s\n' "key_file = $PWD/key" "$@" >mqx.conf
    export MQX_CONF=$PWD/mqx.conf
}

logs() { # text
    grep -qF -- "$1" mqxd.log
}

reload() { # the line that it ends with
    : >mqxd.log
    kill -HUP "$mqxd"
    await "mqxd to read its configuration" logs "the configuration $1"
}

# mqxd does not start, says why, and leaves the store as it is.
refuses() { # text
    cp "$MQX_STORE/data.mdb" before
    status 1 timeout 60 mqxd
    says "$1"
    cmp -s before "$MQX_STORE/data.mdb" || no "the store was changed"
}

restarts() { # as after a power cut
    kill_mqxd
    lose_memory
    start_mqxd
}

not_readable() {
    keys key 1
    conf '[*]' 'durable = sync' '[secret*]' 'encrypt = yes' '[.sysv/*]' 'durable = sync' 'encrypt = yes'
    start_mqxd
    status 0 mqx create --maxmsg=100 --msgsize=9000 secret
    status 0 mqx create plain
    for i in 1 2 3; do status 0 mqx send -p $i secret "a word of $i"; done
    printf 'a word of 9000 %8985d' 0 >long
    mqx send secret <long || no "cannot send"
    status 0 mqx send plain "said openly"
    id=$(mqx run ipcmk -Q | grep -o '[0-9]*$') || no "no System V queue"
    status 0 mqx send --type=42 ".sysv/$id" "a word of a type"
    in_store "said openly" || no "what is not encrypted is not found, so nothing would be"
    in_store "a word of" && no "an encrypted message can be read"
    in_store "00000000000000000000" && no "a large one can be read"
    status 0 mqx store dump
    prints '"text": "a word of 3"'
    prints '"type": 42, '
    status 0 mqx store check
    prints "encrypted, and decrypted by their keys: 5"
    restarts
    status 0 mqx recv --line --count 3 secret
    is "in their order" "a word of 3 a word of 2 a word of 1" "$(paste -sd ' ' out)"
    status 0 mqx recv secret
    cmp -s out long || no "the large one came back otherwise"
    status 0 mqx recv --type=42 ".sysv/$id"
    is "that of a type" "a word of a type" "$(cat out)"
    in_store "a word of" && no "it can be read after a restart"
    true
}

other_keys() {
    keys key 1
    conf '[q]' 'durable = sync' 'encrypt = yes'
    start_mqxd
    status 0 mqx create q
    status 0 mqx send q "a word"
    stop_mqxd
    lose_memory
    keys key 2
    refuses "it has messages that are encrypted with key "
    says "$PWD/key does not have that one"
    status 1 mqx store check
    says "does not have that one"
    status 0 mqx store --key-file /dev/null --help # given for nothing
    rm key
    refuses "key file $PWD/key: No such file"
    keys key 1
    chmod 640 key
    refuses "others can read or write it"
    chmod 600 key
    echo "no key" >key
    refuses "must be 32 bytes, or lines of 64 hexadecimal digits"
    keys key 1
    printf '[q]\ndurable = sync\n' >mqx.conf
    refuses "no key is given"
    printf '[q]\ndurable = sync\n\n[r]\nencrypt = yes\n' >mqx.conf
    refuses "mqx.conf:5: encrypt = yes, and there is no key"
    printf '[q]\nencrypt = perhaps\n' >mqx.conf
    refuses "mqx.conf:2: encrypt = perhaps: must be yes or no"
    printf 'key_file = key\n' >mqx.conf
    refuses "mqx.conf:1: key_file = key: must be a whole path"
    export MQX_CONF=/dev/null
    status 0 mqx store check # what it can
    prints "encrypted, and not looked into, since no key is given: 1"
    prints "all is well"
    status 1 mqx store dump
    says "no key is given"
    status 0 mqx store backup copy # needs none
    in_store "a word" && no "it can be read"
    conf '[q]' 'durable = sync' 'encrypt = yes'
    start_mqxd --store "$PWD/copy"
    status 0 mqx recv q
    is message "a word" "$(cat out)"
}

# Whoever changes a byte of it is found out.
changed() {
    keys key 1
    conf '[q]' 'durable = sync' 'encrypt = yes'
    start_mqxd
    status 0 mqx create --msgsize=9000 q
    mqx send q <<<"$(printf '%4000d' 0)" || no "cannot send"
    stop_mqxd
    lose_memory
    cp "$MQX_STORE/data.mdb" good
    python3 - "$MQX_STORE/data.mdb" <<'END' || no "no record to be changed"
import sys
name, = sys.argv[1:]
data = bytearray(open(name, 'rb').read())
# Where 3,000 bytes in a row look random, a message is.
for at in range(8192, len(data) - 3000, 512):
    if len(set(data[at:at + 3000])) == 256:
        data[at + 2900] ^= 1
        open(name, 'wb').write(data)
        sys.exit(0)
sys.exit(1)
END
    refuses "an encrypted message was changed, or is another slot's or queue's"
    status 1 mqx store check
    prints "queue /q: slot 0: an encrypted message was changed"
    status 1 mqx store dump
    cp good "$MQX_STORE/data.mdb"
    start_mqxd
    status 0 mqx recv q
    is size 4001 "$(wc -c <out)"
}

rotated() {
    keys key 1
    conf '[q]' 'durable = sync' 'encrypt = yes'
    start_mqxd
    status 0 mqx create --maxmsg=100 q
    status 0 mqx send q first
    keys key 2 # the old one is still needed
    reload "stays as it was"
    status 0 mqx send q second
    keys key 2 1
    reload "was read again"
    status 0 mqx send q third
    status 1 mqx store rekey
    says "another mqxd is using it"
    stop_mqxd
    keys key 2
    refuses "it has messages that are encrypted with key "
    keys key 2 1
    status 0 mqx store rekey
    prints "encrypted anew, messages: 2"
    status 0 mqx store rekey
    prints "encrypted anew, messages: 0"
    keys key 1
    refuses "it has messages that are encrypted with key "
    keys key 2
    lose_memory
    start_mqxd
    status 0 mqx recv --line --count 3 q
    is messages "first second third" "$(paste -sd ' ' out)"
}

# A queue that becomes encrypted in use, and what there is of it.
switched() {
    keys key 1
    conf '[q]' 'durable = sync'
    start_mqxd
    status 0 mqx create --maxmsg=100 q
    status 0 mqx send q "said openly"
    in_store "said openly" || no "nothing is there to be found"
    conf '[q]' 'durable = sync' 'encrypt = yes'
    reload "was read again"
    logs "queue /q: encrypted what was stored of it in the clear, messages: 1" || no "$(cat mqxd.log)"
    status 0 mqx send q "in secret"
    status 0 mqx store check
    prints "decrypted by their keys: 2"
    stop_mqxd
    status 0 mqx store compact
    in_store "said openly" && no "it is in the file after all was written anew"
    in_store "in secret" && no "a new one can be read"
    lose_memory
    start_mqxd
    conf '[q]' 'durable = sync'
    reload "was read again"
    status 0 mqx send q "openly again"
    in_store "openly again" || no "it is still encrypted"
    status 0 mqx store check
    prints "decrypted by their keys: 2"
    kill_mqxd
    lose_memory
    conf '[q]' 'durable = sync' 'encrypt = yes'
    start_mqxd # now at its start
    status 0 mqx store check
    prints "decrypted by their keys: 3"
    status 0 mqx recv --line --count 3 q
    is messages "said openly,in secret,openly again" "$(paste -sd , out)"
}

# mv in a mount of mqxfs: it has the name, and mqxd is told.
renamed() {
    keys key 1
    conf '[*]' 'durable = sync' '[secret*]' 'encrypt = yes'
    start_mqxd
    status 0 mqx create plain
    status 0 mqx send plain a-text-from-before
    mv "$MQX_DIR"/queues/plain "$MQX_DIR"/queues/secret
    status 0 mqx create other
    await "mqxd to see its name" logs "queue /secret: encrypted what was stored of it in the clear"
    status 0 mqx send secret a-text-from-after
    in_store a-text-from-after && no "what was sent to it is in the clear"
    restarts
    status 0 mqx recv --count 2 --line secret
    is "what comes back" "a-text-from-before a-text-from-after" "$(paste -sd ' ' out)"
}

from_systemd() {
    mkdir credentials
    head -c 32 /dev/urandom >credentials/mqx-key
    chmod 400 credentials/mqx-key
    printf '[q]\ndurable = sync\nencrypt = yes\n' >mqx.conf
    export MQX_CONF=$PWD/mqx.conf CREDENTIALS_DIRECTORY=$PWD/credentials
    start_mqxd
    status 0 mqx create q
    status 0 mqx send q "a message"
    in_store "a message" && no "it can be read"
    unset CREDENTIALS_DIRECTORY
    status 1 mqx store dump
    status 0 mqx store --key-file "$PWD/credentials/mqx-key" dump
    prints '"text": "a message"'
}

explained() {
    keys key 1
    conf '[q*]' 'encrypt = yes'
    status 0 mqx conf
    prints "key_file = $PWD/key ; $PWD/mqx.conf:1"
    status 0 mqx conf quick
    prints "encrypt = yes ; $PWD/mqx.conf:3 [q*]"
    status 0 mqx conf other
    prints "encrypt = no ; the default"
    grep -q 1111 out err && no "a key is shown"
    true
}

try "nothing can be read in the file, all comes back" not_readable
try "another key, none, or one that others can read" other_keys
needs python3 "a changed record" changed
try "keys are rotated" rotated
try "a queue becomes encrypted in use, and not any longer" switched
try "a queue gets a name whose messages are encrypted" renamed
try "the key as a systemd credential" from_systemd
try "mqx conf shows what is encrypted, and by which file" explained
finish
