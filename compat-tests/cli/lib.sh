# shellcheck shell=bash
# What the command line's cases share.  Read with `.`; cases are as in compat-tests/cases.sh.

. "$(dirname "${BASH_SOURCE[0]}")/../cases.sh"
PATH=$BUILD/bin:$BUILD/examples:$PATH
