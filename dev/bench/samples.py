"""Pictures that everybody has: scikit-image's sample photos."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.errors import ArpcError

Image_u8 = NDArray[np.uint8]
NAMES = ("astronaut", "coffee", "chelsea")


def photo(name: str) -> Image_u8:
    """RGB uint8 HxWx3 of one of `NAMES`. Raises ArpcError without scikit-image."""
    try:
        import skimage.data
    except ImportError as error:
        raise ArpcError("the sample photos need scikit-image: pip install scikit-image") from error
    return np.asarray(getattr(skimage.data, name)(), np.uint8)


def small_photos(side: int) -> Iterator[tuple[str, Image_u8]]:
    """Name and pixels of each photo, its longer side reduced to `side` pixels."""
    for name in NAMES:
        reduced = Image.fromarray(photo(name))
        reduced.thumbnail((side, side))
        yield name, np.asarray(reduced)


def mirrored(image: Image_u8, height: int, width: int) -> Image_u8:
    """A picture HxWx3 cut to a size, or continued to it by its mirror images."""
    more = [(0, max(0, wanted - had)) for wanted, had in zip((height, width), image.shape, strict=False)]
    return np.pad(image, (*more, (0, 0)), mode="symmetric")[:height, :width]
