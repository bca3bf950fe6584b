#!/bin/bash
# A thousand readers and a hundred writers on one queue (mount_crowd.c).  CROWD_RATIO: at most so
# many times the idle latency for other queues; without it nothing depends on time.
. "$(dirname "$0")/lib.sh"

a_crowd_waits() {
    "$BUILD/test/mount_crowd" "$m" ${CROWD_RATIO:+--ratio "$CROWD_RATIO"} >crowd.out 2>&1 ||
        no "$(grep -v '^ok' crowd.out)"
    grep '^#' crowd.out
    is "steps" "$([ -z "$CROWD_RATIO" ] && echo 5 || echo 6)" "$(grep -c '^ok' crowd.out)"
}

try "1000 readers and 100 writers on one queue: in order, all interruptible" a_crowd_waits
finish
