"""The one form in which pictures travel between files and codecs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arpc_codec.container import MAX_PIXELS

__all__ = ["MAX_PIXELS", "Picture"]


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 [H, W, 3], sRGB unless `icc` holds the profile they are in. alpha: uint8 [H, W] or None (opaque).

    grey: the picture has no colour and comes back as one channel. exif: TIFF bytes, orientation set to 1; xmp: packet.
    notes: one line for everything that the pixels could not keep.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    notes: tuple[str, ...] = ()
