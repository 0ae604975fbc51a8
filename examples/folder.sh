#!/bin/sh
# A folder of pictures: coded by two processes, gone on with after a stop, and back.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python "$here/photos.py" "$work/photos/2024" 192
cd "$work"

arpc encode photos/ --out-dir coded/ -j 2 --codec progic --stages 2
test "$(wc -l <coded/manifest.jsonl)" -eq 3

# What is done is not done again; what is new, missing or changed is.
rm coded/2024/coffee.arpc
cp photos/2024/chelsea.png photos/cat.png
arpc encode photos/ --out-dir coded/ -j 2 --codec progic --stages 2 --resume
test "$(wc -l <coded/manifest.jsonl)" -eq 5

arpc decode coded/ --out-dir back/ -j 2 --quiet
ls back/cat.png back/2024/astronaut.png back/2024/coffee.png back/2024/chelsea.png
