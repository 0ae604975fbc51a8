"""Pictures made small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.imageio.writing import to_image

# What is more than this much too large is first averaged in whole squares, which Pillow does faster.
_REDUCING_GAP = 3.0


def shrunk(
    pixels_hw3: NDArray[np.uint8], alpha_hw: NDArray[np.uint8] | None, longest: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """A picture and its alpha plane, uint8 [H, W, 3] and [H, W] or None, with sides of at most `longest` pixels.

    A smaller one stays as it is.
    """
    height, width = pixels_hw3.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return pixels_hw3, alpha_hw
    size = max(1, round(width * factor)), max(1, round(height * factor))
    # With alpha Pillow weighs colours by it.
    small = to_image(pixels_hw3, alpha_hw).resize(size, Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    samples = np.asarray(small)
    return samples[..., :3], None if alpha_hw is None else samples[..., 3]
