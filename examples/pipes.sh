#!/bin/sh
# Pictures through pipes: no file is needed in between.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python "$here/photos.py" "$work" 192
cd "$work"

arpc encode - --scales 5 <astronaut.png >astronaut.arpc
arpc truncate astronaut.arpc -o - --scales 3 | arpc decode - -o - >small.png
arpc decode astronaut.arpc -o - --format ppm | head -c 2 | grep -q P6
arpc info --json - <astronaut.arpc | python -c 'import json, sys; print(json.load(sys.stdin)["bpp"], "bits a pixel")'
test -s small.png
