#!/bin/bash
# Run a command while mqxfs, root's, has the queues of $MQX_DIR mounted for everybody: its users may
# use each other's.  Ends with its status, or 1 where mqxfs said something or did not end well.
#   with_mount.sh COMMAND [ARGUMENT...]

BUILD=${BUILD:-build}
mount=$(mktemp -d "${TMPDIR:-/tmp}/mount.XXXXXX") && chmod 755 "$mount" || exit 1
log=$mount.log

"$BUILD/bin/mqxfs" -f "$mount" 2>"$log" &
mqxfs=$!
trap 'umount -l "$mount" 2>/dev/null; kill "$mqxfs" 2>/dev/null; wait; rm -rf "$mount" "$log"' EXIT

end=$((SECONDS + 60))
until mountpoint -q "$mount" && [ -n "$(stat -c %i "$mount" 2>/dev/null)" ]; do
    kill -0 $mqxfs 2>/dev/null && [ $SECONDS -lt $end ] || {
        echo "mqxfs is not serving: $(cat "$log")" >&2
        exit 1
    }
    sleep 0.01
done
"$@"
status=$?
umount "$mount" 2>/dev/null || umount -l "$mount" # busy: what the command left running has it
wait $mqxfs || {
    echo "mqxfs ended with $?" >&2
    status=1
}
# But for libfuse's word for a mount that is detached while it reads a request.
! grep -vqxF 'fuse: reading device: Software caused connection abort' "$log" || {
    echo "mqxfs said: $(cat "$log")" >&2
    status=1
}
exit $status
