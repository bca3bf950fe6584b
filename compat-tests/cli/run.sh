#!/bin/bash
# mqx run: whose queues does the program use?
. "$(dirname "$0")/lib.sh"

uses_mqx() {
    status 0 mqx run producer /prices 1:low 9:high
    is "the queue is ours" "messages: 2" "$(mqx stat prices | grep ^messages)"
    status 0 mqx run -- consumer /prices 2
    is "it received" "received with priority  9: high
received with priority  1: low" "$(cat out)"
}

arguments() {
    status 7 mqx run sh -c 'echo "$# $1" -- "$2"; exit 7' zero 'one one' -l
    is "its arguments" "2 one one -- -l" "$(cat out)"
}

preload() {
    status 0 mqx run sh -c 'echo "$LD_PRELOAD"'
    is "by its full path" "$(realpath "$BUILD/lib/libmqx_preload.so")" "$(cat out)"
    status 0 env LD_PRELOAD=libm.so.6 mqx run sh -c 'echo "$LD_PRELOAD"'
    is "before others" "$(realpath "$BUILD/lib/libmqx_preload.so"):libm.so.6" "$(cat out)"
    status 0 mqx run sh -c 'producer /grandchild 1:x'
    is "programs it starts too" grandchild "$(mqx ls)"
}

plugins() {
    cat >plugin.c <<'END'
#include <fcntl.h>
#include <mqueue.h>
int plugin(void)
{
    return mq_open("/plugin", O_CREAT | O_RDWR, 0600, (struct mq_attr *)0) < 0;
}
END
    cat >host.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
int main(int argc, char **argv)
{
    void *plugin = dlopen(argv[argc - 1], RTLD_NOW | RTLD_DEEPBIND);
    int (*f)(void) = plugin ? (int (*)(void))dlsym(plugin, "plugin") : (int (*)(void))0;
    return f ? f() : 9;
}
END
    ${CC:-cc} -shared -fPIC -o plugin.so plugin.c && ${CC:-cc} -o host host.c || no "cannot compile"
    status 0 mqx run ./host ./plugin.so
    is "the plug-in's queue is ours" plugin "$(mqx ls)"
}

scripts() {
    printf '#!/bin/sh\nproducer /script 1:x\n' >script
    printf 'producer /bare 1:x\n' >bare
    chmod +x script bare
    status 0 mqx run ./script
    status 0 mqx run ./bare
    is "both" "bare script" "$(mqx ls | paste -sd ' ')"
}

refuses() {
    echo 'int main(void) { return 0; }' >a.c
    if ${CC:-cc} -static -o static a.c 2>/dev/null; then
        status 1 mqx run ./static
        says "statically linked"
        says "mqxfs"
        printf '#!%s/static\n' "$PWD" >script
        chmod +x script
        status 1 mqx run ./script
        says "statically linked"
        printf '#!/usr/bin/env ./static\n' >script
        status 1 mqx run ./script
        says "statically linked"
        printf '#! /usr/bin/env -S A=1 ./static -x\n' >script
        status 1 mqx run ./script
        says "statically linked"
    fi
    printf '#!/usr/bin/env sh\nexit 5\n' >script
    chmod +x script
    status 5 mqx run ./script
    cp "$BUILD/examples/consumer" setuid
    if [ "$(id -u)" -eq 0 ]; then
        chown nobody setuid
        chmod 4755 setuid
        status 1 mqx run ./setuid /q 1
        says "setuid"
        says "mqxfs"
    fi
    status 1 mqx run no-such-program
    says "no such program"
    status 2 mqx run
    status 2 mqx run --frobnicate ls
}

installed() {
    mkdir -p root/bin root/lib "root with space/bin" "root with space/lib"
    cp "$BUILD/bin/mqx" root/bin
    status 1 root/bin/mqx run true
    says "libmqx_preload.so"
    cp "$BUILD/lib/libmqx_preload.so" root/lib
    status 0 root/bin/mqx run producer /q 1:x
    cp root/bin/mqx "root with space/bin"
    cp root/lib/libmqx_preload.so "root with space/lib"
    status 1 "root with space/bin/mqx" run true
    says "a space or a colon"
}

try "run: the program's queues are mqx's" uses_mqx
try "run: arguments and status are the program's" arguments
try "run: LD_PRELOAD, others in it, children" preload
try "a plug-in that is loaded with RTLD_DEEPBIND" plugins
try "run: scripts" scripts
try "run: refuses what would use the kernel's queues unseen" refuses
try "run: finds the library beside itself" installed
finish
