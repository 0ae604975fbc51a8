#!/bin/sh
# A link that loses packets: what arrives is joined, in any order, and shown without holes.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python "$here/photos.py" "$work" 256
cd "$work"

arpc encode coffee.png -o coffee.arpc --codec progic --stages 3
arpc packets split coffee.arpc -o sent --mtu 120 --redundancy 0.25

# One is lost: the redundancy makes up for it, and nothing is missing (exit code 0).
mkdir received
cp sent/*.packet received
rm "$(ls received/*.packet | head -n 1)"
echo "no packet of ours" >received/noise.packet
arpc packets join received -o whole.arpc
arpc decode whole.arpc -o whole.png

# Four fifths are lost: a picture all the same, and exit code 6.
rm received/*[0-36-9].packet
code=0
arpc packets join received -o holes.arpc || code=$?
test "$code" -eq 6
arpc decode holes.arpc -o holes.png --allow-truncated
arpc verify whole.arpc
test -s holes.png
