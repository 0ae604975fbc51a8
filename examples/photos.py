"""Save scikit-image's sample photos as PNG files: `python photos.py DIR [LONGEST_SIDE]`."""

import sys
from pathlib import Path

import skimage.data
from PIL import Image

folder, side = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 4096
folder.mkdir(parents=True, exist_ok=True)
for name in ("astronaut", "coffee", "chelsea"):
    photo = Image.fromarray(getattr(skimage.data, name)())
    photo.thumbnail((side, side))
    photo.save(folder / f"{name}.png")
