"""Photos of a folder as training data: `python shards.py PHOTOS DIR`, or with --clean those of `arpc train hpac`.

Colours become sRGB and the right way up, as `arpc encode` reads them. --clean: pictures that were never compressed with
loss (PNG, TIFF, ...), stored without loss, every eighth of them for validation.
"""

import argparse
import csv
import io
import sys
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from PIL import Image

from arpc_codec.errors import ArpcError
from arpc_codec.imageio import read

PER_SHARD = 1000
LARGEST = 1024
"""Longest short side that is kept, in pixels."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic", ".avif"}
LOSSLESS = {".png", ".tif", ".tiff", ".bmp"}


def photos(folder: Path, suffixes: set[str]) -> Iterator[Image.Image]:
    """The pictures of a folder in the order of their names; what cannot be read is named."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes):
        try:
            yield Image.fromarray(read(path).pixels)
        except ArpcError as error:
            print(f"{path}: {error}; left out", file=sys.stderr)


def add(archive: tarfile.TarFile, name: str, photo: Image.Image, **options: object) -> None:
    stream = io.BytesIO()
    photo.save(stream, "WebP", **options)
    member = tarfile.TarInfo(f"{name}.webp")
    member.size = stream.tell()
    stream.seek(0)
    archive.addfile(member, stream)


def pack(source: Path, target: Path) -> int:
    """Shards of a thousand photos and their index.csv; returns how many photos."""
    number = 0
    with (target / "index.csv").open("w", newline="") as handle:
        index = csv.writer(handle)
        index.writerow(("key", "shard", "source_repo", "tier"))
        for part, group in groupby(enumerate(photos(source, SUFFIXES)), lambda numbered: numbered[0] // PER_SHARD):
            with tarfile.open(target / f"train-{part:03}.tar", "w") as archive:
                for number, photo in group:
                    scale = min(1.0, LARGEST / min(photo.size))
                    small = photo.resize((round(scale * photo.width), round(scale * photo.height)))
                    add(archive, f"{number:06}", small, quality=90)
                    index.writerow((f"{number:06}", f"train-{part:03}.tar", "own", "std"))
                    number += 1
    return number


def pack_clean(source: Path, target: Path) -> int:
    """One shard of pictures as they are, but for a last row or column that makes a side odd; returns how many."""
    number = 0
    with tarfile.open(target / "train-clean.tar", "w") as archive:
        for number, photo in enumerate(photos(source, LOSSLESS), 1):
            even = photo.crop((0, 0, photo.width // 2 * 2, photo.height // 2 * 2))
            add(archive, f"{'V' if number % 8 == 1 else 'C'}{number - 1:05}", even, lossless=True)
    return number


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photos", type=Path)
parser.add_argument("dir", type=Path)
parser.add_argument("--clean", action="store_true")
given = parser.parse_args()
given.dir.mkdir(parents=True, exist_ok=True)
count = (pack_clean if given.clean else pack)(given.photos, given.dir)
if not count:
    sys.exit(f"{given.photos}: no pictures")
print(f"{count} photos in {given.dir}")
