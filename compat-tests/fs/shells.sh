#!/bin/bash
# Shells and the tools that are used in them: the same lines by bash, dash, zsh and busybox, each by
# root and two ordinary users.  What they print must be the same.
. "$(dirname "$0")/lib.sh"

shells=(bash dash)
for shell in zsh "busybox sh"; do
    if command -v "${shell%% *}" >/dev/null; then
        shells+=("$shell")
    else
        skip "$shell" "it is not installed"
    fi
done
users=(mine)
if [ "$(id -u)" = 0 ]; then
    users=(mine 1501 1502)
else
    skip "the shells of other users" "only root can act as others"
fi

# 1502's is 1501's, who lets him.
new_queue() { # user name
    local owner=$1
    [ "$1" = 1502 ] && owner=1501
    rm -f "$m/$2"
    as $owner touch "$m/$2" && as $owner chmod 666 "$m/$2" || no "no queue"
}

# The script, with q and r as empty queues in $m, prints what is said; in a directory that is everybody's.
each() { # shell,... output script
    local i user run got
    mkdir -p -m 1777 common && chmod 1777 common
    for i in "${shells[@]}"; do
        case ",$1," in *,all,* | *,"${i%% *}",*) ;; *) continue ;; esac
        for user in "${users[@]}"; do
            new_queue $user q
            new_queue $user r
            rm -rf common/*
            read -ra run <<<"$i"
            got=$(cd common && as $user env m="$m" timeout 200 "${run[@]}" -c "$3" sh 2>&1) ||
                no "$i, $user: status $?: $got"
            is "$i, $user: ${3%%$'\n'*}" "$2" "$got"
            is "$i, $user: what is left in the queues" "0 0" "$(stat -c %s "$m/q" "$m/r" | xargs)"
        done
    done
}

# --- output --------------------------------------------------------------------------------------

writes() {
    each all "one
two
three four five" '
        echo one >$m/q; cat $m/q
        echo two >>$m/q; cat $m/q
        printf "%s %s" three four >$m/q; cat $m/q
        printf " five\n" >|$m/q; cat $m/q'
    each all "a line+two lines+no newline+" '
        echo "a line" >$m/q
        cat >$m/q <<END
two
lines
END
        printf "no newline" >$m/q
        for i in 1 2 3; do cat $m/q | tr -d "\n" | sed "s/two/two /"; echo +; done | tr -d "\n"'
    each all "3 messages" '
        { echo 1; echo 2; echo 3; } >$m/q
        for i in 1 2 3; do read x <$m/.nonblock/q && [ "$x" = $i ] || echo "not $i: $x"; done
        echo 3 messages'
    each all "through tee+" 'echo "through tee" | tee $m/q $m/r >/dev/null
        a=$(cat $m/q) b=$(cat $m/r); [ "$a" = "$b" ] && printf "%s+" "$a"'
    each all "appended" 'echo appended | tee -a $m/q >copy; cat copy >$m/r; cat $m/q; cat $m/r >/dev/null'
    each all "by dd
by cp
by cat
by sed" '
        echo "by dd" | dd of=$m/q 2>/dev/null; cat $m/q
        echo "by cp" >file; cp file $m/q; cat $m/q
        echo "by cat" >file; cat file >$m/q; cat $m/q
        sed s/cat/sed/ file >$m/q; cat $m/q'
    each all "the message stays 1" 'echo "the message stays" >$m/q; : >$m/q; >>$m/q
        printf "%s " "$(cat $m/q)"; cat $m/.nonblock/q 2>/dev/null; echo $?'
    each all "refused 2" '
        echo x >$m/q; (set -C; echo y >$m/q) 2>/dev/null || echo refused $(cat $m/q | wc -c)' # as any file
}

# --- input ---------------------------------------------------------------------------------------

reads() {
    each all "<one><two words>< as it is \n><>" '
        echo one >$m/q; read x <$m/q; printf "<%s>" "$x"
        echo "two words" >$m/q; read -r x <$m/q; printf "<%s>" "$x"
        printf "%s\n" " as it is \\n" >$m/q; IFS= read -r x <$m/q; printf "<%s>" "$x"
        echo >$m/q; read x <$m/q; printf "<%s>" "$x"'
    each all "no newline 1" 'printf "no newline" >$m/q; read x <$m/q; echo "$x" $?'
    each all "a b c" 'echo "a b c" >$m/q; read x y <$m/q; echo $x $y'
    each all "one two three" '
        for i in one two three; do echo $i >$m/q; done
        x=$(cat $m/q); for i in 2 3; do x="$x $(cat $m/q)"; done; echo $x'
    each all "first line
second line" 'cat >$m/q <<END
first line
second line
END
        while read -r x; do echo "$x"; done <$m/q'
    each all "1
10
9
10
7" '     seq 10 >file
        cat file >$m/q; head -n 1 $m/q
        cat file >$m/q; tail -n 1 $m/q
        cat file >$m/q; tail -n 2 $m/q
        cat file >$m/q; sed -n 7p $m/q'
    each all "3 6 a-b same" '
        echo "a b c" >$m/q; wc -w <$m/q | tr -d " \n"; printf " "
        echo "a b c" >$m/q; cat $m/q | wc -c | tr -d " \n"; printf " "
        echo "a b" >$m/q; xargs printf "%s-%s " <$m/q
        echo same >file; cat file >$m/q; cmp file $m/q && echo same'
    each all "whole whole" 'printf "whole " >$m/q; head -c 2 $m/q >/dev/null; cat $m/q
        echo whole >$m/q; dd if=$m/q bs=1 2>/dev/null'
    each all "<x><y>" 'printf "x y" | tee $m/q >/dev/null; for i in $(cat $m/q); do printf "<%s>" $i; done'
    each bash,zsh "<in one>" 'echo "in one" >$m/q; x=$(<$m/q); echo "<$x>"'
    each bash "a+b 2" 'cat <<<"a
b" >$m/q; mapfile -t x <$m/q; echo "${x[0]}+${x[1]} ${#x[@]}"'
    each bash "a+b" 'cat <<<"a
b" >$m/q; readarray -t x <$m/q; echo "${x[0]}+${x[1]}"'
    each bash,zsh "from a process: x" 'echo x >$m/q; cat <(sed "s/^/from a process: /" $m/q)'
    each bash,zsh "x" 'cat <<<x >$m/q; cat $m/q'
    each bash,zsh "n 0 N 0 2" 'printf "nN22" >$m/q; exec 3<$m/q
        read -k 1 -u 3 x 2>/dev/null || read -n 1 -u 3 x; printf "%s %s " $x $?
        read -k 1 -u 3 x 2>/dev/null || read -N 1 -u 3 x; printf "%s %s " $x $?; head -c 1 <&3; cat <&3 >/dev/null'
}

# read -t: bash looks at the clock for terminals and pipes only; -t 0 tells whether there is a message.
reads_in_time() {
    each zsh,busybox "1 0 there" '
        read -t 0.2 x <$m/q; printf "%s " $?
        echo there >$m/q; read -t 60 x <$m/q; printf "%s %s" $? "$x"'
    each bash "1 0 there" '
        read -t 0 x <$m/q; printf "%s " $?
        echo there >$m/q; exec 3<$m/q; read -t 0 -u 3; printf "%s " $?; cat <&3'
    each bash "0 there" 'echo there >$m/q; read -t 60 x <$m/q; printf "%s %s" $? "$x"'
    # What does it in every shell, and takes nothing when it is late.
    each all "124 there" 'x=$(timeout 0.1 cat $m/q); printf "%s " $?; echo there >$m/q; timeout 60 cat $m/q'
}

binary() {
    head -c 8192 /dev/urandom >common.bin
    chmod 644 common.bin
    each all "same same same same" "
        cat $PWD/common.bin >\$m/q; cat \$m/q | cmp - $PWD/common.bin && printf 'same '
        cp $PWD/common.bin \$m/q; cp \$m/q copy; cmp copy $PWD/common.bin && printf 'same '
        dd if=$PWD/common.bin of=\$m/q bs=8192 2>/dev/null; dd if=\$m/q of=copy bs=100 2>/dev/null
        cmp copy $PWD/common.bin && printf 'same '
        tee \$m/q <$PWD/common.bin >/dev/null; cat \$m/q >\$m/r; cmp \$m/r $PWD/common.bin && printf same"
}

# The tools that busybox has, instead of the system's.
busybox_tools() {
    head -c 8192 /dev/urandom >common.bin
    chmod 644 common.bin
    each busybox "same same same 1 10 a-b a" "
        B=busybox
        \$B cat $PWD/common.bin >\$m/q; \$B cat \$m/q | \$B cmp - $PWD/common.bin && printf 'same '
        \$B cp $PWD/common.bin \$m/q; \$B cp \$m/q copy; cmp copy $PWD/common.bin && printf 'same '
        \$B dd if=$PWD/common.bin of=\$m/q bs=8192 2>/dev/null; \$B dd if=\$m/q of=copy bs=100 2>/dev/null
        cmp copy $PWD/common.bin && printf 'same '
        \$B seq 10 >file; \$B cat file >\$m/q; printf '%s ' \$(\$B head -n 1 \$m/q)
        \$B cat file >\$m/q; printf '%s ' \$(\$B tail -n 1 \$m/q)
        \$B echo a b | \$B tee \$m/q \$m/r >/dev/null; \$B xargs printf '%s-%s ' <\$m/q; \$B cut -d ' ' -f 1 \$m/r"
}

json() {
    each dash '1 text' '
        echo "{\"a\": 1, \"b\": \"text\"}" >$m/q; jq -j "\"\\(.a) \\(.b)\"" $m/q'
    each bash '[2,3]' 'jq -nc "[2,3]" >$m/q; jq -c . <$m/q'
    each busybox '9 urgent' 'jq -nc "{priority: 9, text: \"urgent\"}" >$m/.json/q
        jq -j "\"\\(.priority) \\(.text)\"" $m/.json/q'
}

# --- descriptors ---------------------------------------------------------------------------------

descriptors() {
    each all "a request, its answer" '
        exec 3<>$m/q 4<>$m/r
        echo "a request" >&3; read x <&3
        echo "its answer" >&4; read y <&4; echo "$x, $y"
        exec 3>&- 4>&-'
    each all "1 2 3 " '
        exec 3<>$m/q
        for i in 1 2 3; do echo $i >&3; done
        for i in 1 2 3; do cat <&3 | tr "\n" " "; done'
    each all "both at once: late" '
        exec 3<>$m/q
        cat <&3 >got & cat=$!
        sleep 0.1; echo late >&3; wait $cat; echo "both at once: $(cat got)"' # the sleep is not needed
    each all "created 1" 'rm -f $m/r 2>/dev/null; : <>$m/r; echo 1 1<>$m/r; printf "created "; cat $m/r'
    each all "in a pipe: 6" 'seq 3 | { while read i; do echo $i >$m/q; done; }
        for i in 1 2 3; do cat $m/q; done | { while read i; do n=$((n + i)); done; echo "in a pipe: $n"; }'
    each all "<1><2><3>" 'exec 5>$m/q; for i in 1 2 3; do echo $i >&5; done; exec 5>&-
        exec 6<$m/.stream/q; for i in 1 2 3; do read x <&6; printf "<%s>" $x; done; exec 6<&-'
    each all "a copy" 'exec 5>$m/q 6>&5; exec 5>&-; echo "a copy" >&6; exec 6>&-; cat $m/q'
    each all "errors too" 'sh -c "echo errors too >&2" 2>$m/q; cat $m/q'
    each all "0 none" 'cat $m/.drain/q | wc -c | tr -d " \n"; cat $m/.nonblock/q 2>/dev/null || echo " none"'
}

# --- workers -------------------------------------------------------------------------------------

# Several share the work; each job is done once.
workers() {
    local i user pids w
    for i in "${shells[@]}"; do
        for user in "${users[@]}"; do
            new_queue $user q
            rm -rf done.*
            pids=
            for w in 1 2 3; do
                install -m 666 /dev/null done.$w
                background setpriv $([ $user = mine ] || echo --reuid=$user --regid=$user --clear-groups) \
                    $i -c 'while msg=$(cat $1) && [ "$msg" != stop ]; do echo "$msg" >>$2; done' sh "$m/q" "$PWD/done.$w"
                pids="$pids $!"
            done
            for w in $(seq 40); do echo "job $w"; done |
                as $user $i -c 'while read -r x; do echo "$x" >$1; done' sh "$m/q"
            for w in 1 2 3; do echo stop >"$m/q"; done
            wait $pids || no "$i, $user: a worker failed"
            is "$i, $user: each once" "$(seq -f 'job %g' 40 | sort)" "$(sort done.*)"
        done
    done
}

try "echo, printf, here-documents, tee, dd, cp" writes
try "read, cat, head, tail, wc, xargs, mapfile" reads
try "read -t" reads_in_time
try "binary messages" binary
command -v busybox >/dev/null && try "busybox's own tools" busybox_tools
if command -v jq >/dev/null; then try "jq" json; else skip "jq" "it is not installed"; fi
try "<>, exec 3<>q, pipes" descriptors
try "while msg=\$(cat jobs): workers share" workers
finish
