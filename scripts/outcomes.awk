# From what cmocka prints: "case<TAB>outcome" for each, in their order.  One that did not come to
# its end, since the program crashed or hung, has the outcome ENDED.
/^\[ RUN / {
    sub(/^\[ RUN *\] /, "")
    name[++n] = $0
    outcome[n] = "ENDED"
}
/^\[ *(OK|FAILED|SKIPPED) *\] / { # repeated after all, under no name that is the last one's
    sub(/^\[ */, "")
    word = $1
    sub(/^[A-Z]+ *\] /, "")
    if ($0 == name[n] && outcome[n] == "ENDED")
        outcome[n] = word
}
END {
    for (i = 1; i <= n; i++)
        print name[i] "\t" outcome[i]
}
