# Reads what workers wrote when they began (b) and ended (e) a message, which is a number, with a
# number of their own behind it; or that they ended well (x).  A worker that begins another message,
# or ended well, has acknowledged the one before.  Prints what came again although it was
# acknowledged, and of the messages 1 to `sent` those that nobody ended.
function acknowledge(worker) {
    if (worker in ended) {
        acknowledged[ended[worker]] = NR
        delete ended[worker]
    }
}
$1 == "b" {
    acknowledge($3)
    if ($2 in acknowledged)
        print $2 " came again in line " NR ", acknowledged by line " acknowledged[$2]
    if ($2 in begun)
        again++
    begun[$2] = 1
}
$1 == "e" { ended[$3] = $2; was[$2] = 1 }
$1 == "x" { acknowledge($2) }
END {
    for (i = 1; i <= sent; i++)
        if (!(i in was))
            print i " was lost"
    for (i in acknowledged)
        n++
    print sent " messages, " n + 0 " seen to be acknowledged, " again + 0 " times one came again" \
        >"/dev/stderr"
}
