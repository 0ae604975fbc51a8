#!/bin/sh
# Every exit code that a script may have to tell apart.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python "$here/photos.py" "$work" 192
cd "$work"

# expect CODE COMMAND...: fails unless the command ends with that code
expect() {
    wanted=$1
    shift
    code=0
    "$@" || code=$?
    if [ "$code" -ne "$wanted" ]; then
        echo "exit code $code instead of $wanted: $*" >&2
        exit 1
    fi
}

expect 0 arpc encode coffee.png -o coffee.arpc --scales 5
expect 1 arpc encode coffee.png -o coffee.arpc
expect 1 arpc encode missing.png -o missing.arpc
expect 2 arpc encode coffee.png --scales none
expect 3 arpc info coffee.png
expect 5 arpc encode coffee.png -o other.arpc --model no-such-model

# A file of a format version that is to come.
printf '\247A\n\310' >future.arpc
expect 4 arpc info future.arpc

# A download that stopped: the picture is written all the same.
size=$(wc -c <coffee.arpc)
head -c $((size - 3)) coffee.arpc >cut.arpc
expect 0 arpc info cut.arpc
expect 6 arpc decode cut.arpc -o cut.png
expect 0 arpc decode cut.arpc -o cut-too.png --allow-truncated
cmp cut.png cut-too.png

# Of several files the worst code counts, and the good ones are done.
expect 1 arpc decode missing.arpc coffee.arpc cut.arpc --out-dir out
ls out/coffee.png out/cut.png
