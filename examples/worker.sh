#!/bin/sh
# A worker: takes jobs, one message each, and does them until it is told to
# stop.  Start as many as you like: each job goes to one of them.
#
#     worker.sh QUEUE
#     mqx send QUEUE 'make this'; mqx send QUEUE stop

queue=${1:?usage: worker.sh QUEUE}

while job=$(mqx recv "$queue"); do
    [ "$job" = stop ] && exit 0
    echo "worker: doing '$job'"
done
echo "worker: cannot receive from $queue" >&2
exit 1
