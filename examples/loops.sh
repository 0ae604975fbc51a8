#!/bin/sh
# Many pictures: one call that loads the model once, then a loop without a model.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python "$here/photos.py" "$work/photos" 192
cd "$work"

arpc encode photos/*.png --out-dir coded --target-bytes 400 --quiet
for file in coded/*.arpc; do
    test "$(wc -c <"$file")" -le 400
    arpc truncate "$file" -o "${file%.arpc}-2.arpc" --scales 2
done

# Started again, only what is missing is done.
rm coded/coffee.arpc
arpc encode photos/*.png --out-dir coded --target-bytes 400 --skip-existing

arpc decode coded/*.arpc --out-dir back --quiet
test "$(ls back | wc -l)" -eq 6
arpc decode coded/chelsea.arpc --steps steps
arpc preview coded/chelsea.arpc -o chelsea-steps.png
ls steps/chelsea-01.png steps/chelsea-02.png chelsea-steps.png
