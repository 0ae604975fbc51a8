"""Photos of a folder as training data of `arpc train`: `python shards.py PHOTOS DIR`."""

import csv
import io
import sys
import tarfile
from pathlib import Path

from PIL import Image, ImageOps

PER_SHARD = 1000
LARGEST = 1024
"""Longest short side that is kept, in pixels."""

source, target = Path(sys.argv[1]), Path(sys.argv[2])
files = sorted(path for path in source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
target.mkdir(parents=True, exist_ok=True)
with (target / "index.csv").open("w", newline="") as handle:
    index = csv.writer(handle)
    index.writerow(("key", "shard", "source_repo", "tier"))
    for first in range(0, len(files), PER_SHARD):
        shard = f"train-{first // PER_SHARD:03}.tar"
        with tarfile.open(target / shard, "w") as archive:
            for number, path in enumerate(files[first : first + PER_SHARD], first):
                with Image.open(path) as opened:
                    photo = ImageOps.exif_transpose(opened).convert("RGB")
                scale = min(1.0, LARGEST / min(photo.size))
                stream = io.BytesIO()
                photo.resize((round(scale * photo.width), round(scale * photo.height))).save(stream, "WebP", quality=90)
                member = tarfile.TarInfo(f"{number:06}.webp")
                member.size = stream.tell()
                stream.seek(0)
                archive.addfile(member, stream)
                index.writerow((f"{number:06}", shard, "own", "std"))
print(f"{len(files)} photos in {target}")
