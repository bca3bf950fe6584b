#!/bin/bash
# The ways in which programs are compiled, linked and loaded.
. "$(dirname "$0")/lib.sh"
# What programs link to.  The static library needs inih's; -u: what only a plug-in would refer to.
SO="-L$BUILD/lib -lmqx -Wl,-rpath,$BUILD/lib"
A="$BUILD/lib/libmqx.a -linih -pthread"

fortified() {
    build talk -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 "$here/talk.c" -lrt
    nm -D talk | grep -q 'U __mq_open_2' || no "it was not built to call __mq_open_2"
    talks mqx run ./talk
    status 134 mqx run sh -c './talk /talk text "with O_CREAT and no mode"; exit $?'
    says "O_CREAT without mode and attr"
}

shared() {
    build talk "$here/talk.c" $SO
    talks ./talk
}

static_library() {
    build talk "$here/talk.c" $A
    talks ./talk
    build static -static "$here/talk.c" $A
    talks ./static
}

cplusplus() {
    compiler=g++
    for standard in c++98 c++20; do
        build talk -x c++ -std=$standard -Wall -Wextra "$here/talk.c" -x none $SO
        talks ./talk
        build talk -x c++ -std=$standard -I"$root/include" "$here/talk.c" -x none $A
        talks ./talk
    done
    build plain -x c++ "$here/talk.c" -x none -lrt
    talks mqx run ./plain
}

early_and_late() { # command...
    rm -rf "${MQX_DIR:?}"/*
    status 0 "$@"
    is "$*: sent before and after main" "early late" \
        "$(mqx recv --count=2 --line --nonblock early 2>&1 | paste -sd ' ')"
}

static_objects() {
    compiler=g++
    build shared -std=c++17 "$here/early.cc" $SO
    early_and_late ./shared
    build static -std=c++17 -static "$here/early.cc" $A
    early_and_late ./static
    build plain -std=c++17 "$here/early.cc" -lrt
    early_and_late mqx run ./plain
}

constructors() {
    echo 'int main(void) { return 0; }' >main.c
    build libearly.so -shared -fPIC "$here/early.c"
    build first main.c -Wl,--no-as-needed -L. -learly -Wl,-rpath,"$PWD" $SO
    early_and_late ./first
    build last main.c -Wl,--no-as-needed $SO -L. -learly -Wl,-rpath,"$PWD"
    early_and_late ./last
    build plain main.c -Wl,--no-as-needed -L. -learly -Wl,-rpath,"$PWD"
    early_and_late mqx run ./plain
    early_and_late mqx run sh -c 'LD_PRELOAD=$LD_PRELOAD:$PWD/libearly.so exec true'
}

unloaded() {
    build unload "$here/dlclose.c" -pthread -ldl
    status 0 ./unload "$BUILD/lib/libmqx.so"
    status 0 ./unload "$BUILD/lib/libmqx_preload.so"
}

strict() { # header: can a program include it alone, first and twice?
    printf '#include <%s>\n#include <%s>\n' "$1" "$1"
    echo 'extern mqd_t q; extern struct mq_attr attr; extern mqx_attr_long_ number;'
    echo 'int f(void); int f(void) { return mq_open("/q", O_RDONLY) == q && mq_close(q)'
    echo '    && mq_getattr(q, &attr) && mq_timedsend(q, "", 0, 0, (const struct timespec *)0)'
    echo '    && mq_notify(q, (const struct sigevent *)0) && attr.mq_maxmsg == number; }'
}

alone() {
    local header standard
    for header in mqueue.h mqx.h; do
        strict $header >alone.c
        for standard in c99 c11 c17 gnu11; do
            build alone.o -c -std=$standard -pedantic -Wall -Wextra -Wsystem-headers -Werror \
                -I"$root/include" alone.c
        done
    done
}

# The requests to files: nothing of the library.
requests() {
    local standard
    printf '%s\n' '#include <mqx_ioctl.h>' 'unsigned long f(void);' \
        'unsigned long f(void) { struct { struct mqx_message head; char bytes[9]; } m = {{0, 9, MQX_NOWAIT, 0}, ""};' \
        '    return MQX_SET_PRIORITY + MQX_SEND(9) + MQX_RECEIVE(MQX_MESSAGE_MOST) + m.head.size; }' >alone.c
    for standard in c99 c11 c17 gnu11; do
        build alone.o -c -std=$standard -pedantic -Wall -Wextra -Werror \
            -I"$root/include" alone.c
    done
    cp alone.c alone.cc
    compiler=g++
    build alone.o -c -std=c++98 -Wall -Wextra -Werror -I"$root/include" alone.cc
}

alone_in_cplusplus() {
    local header standard
    compiler=g++
    for header in mqueue.h mqx.h; do
        strict $header | sed 's/int f(void);//' >alone.cc
        for standard in c++98 c++11 c++20; do
            build alone.o -c -std=$standard -pedantic -Wall -Wextra -Werror -I"$root/include" \
                alone.cc
        done
    done
}

clang_too() {
    compiler=clang
    build talk -O2 -Wall -Wextra -Wpedantic -Werror -I"$root/include" "$here/talk.c" $SO
    talks ./talk
    build talk -O2 -D_FORTIFY_SOURCE=3 "$here/talk.c" $A
    talks ./talk
    strict mqx.h >alone.c
    build alone.o -c -std=c11 -pedantic -Wall -Wextra -Werror -I"$root/include" alone.c
}

packaged() {
    local flags
    make -C "$root" -s -o all B="$BUILD" PREFIX="$PWD/root" install >log 2>&1 ||
        no "make install: $(tail -3 log)"
    export PKG_CONFIG_PATH=$PWD/root/lib/pkgconfig
    flags=$(pkg-config --cflags --libs mqx) || no "pkg-config does not know mqx"
    build talk "$here/talk.c" $flags -Wl,-rpath,"$PWD/root/lib"
    talks ./talk
    build static -static "$here/talk.c" $(pkg-config --static --cflags --libs mqx)
    talks ./static
    is "its version" "$(sed -n 's/.*MQX_VERSION "\(.*\)"/\1/p' "$root/include/mqx.h")" \
        "$(pkg-config --modversion mqx)"
    make -C "$root" -s B="$BUILD" PREFIX="$PWD/root" uninstall >log 2>&1
    is "make uninstall leaves nothing" "" "$(find root ! -type d)"
}

# shellcheck disable=SC2086 # lists of arguments
true
try "_FORTIFY_SOURCE=3: mq_open of two arguments" fortified
try "linked with libmqx.so" shared
try "linked with libmqx.a, and static altogether" static_library
needs g++ "a C++ program: shared, static, preloaded" cplusplus
needs g++ "C++: static objects use queues before and after main" static_objects
try "constructors and destructors of other libraries use queues" constructors
try "dlclose of libmqx leaves a process that works" unloaded
try "our headers alone, in strict C" alone
needs g++ "the header of requests to files, in C and C++" requests
needs g++ "our headers alone, in strict C++" alone_in_cplusplus
needs clang "clang: linked with libmqx.so and libmqx.a" clang_too
needs pkg-config "installed: pkg-config, shared and static; removed" packaged
finish
