"""Photographs as they often reach a lossless codec: graded anew, their chroma once halved and enlarged again.

Decoded JPEG and PhotoCD pictures and demosaiced raw ones have such chroma; untouched or reduced pictures do not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Plane = NDArray[np.float32]

# Full-range YCbCr of JPEG (ITU-T T.871), chroma centred at 0.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
SMALLER = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)


def regrade(samples_hwc: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One picture [H, W, 3] of even sides with another contrast and saturation and with chroma of half the size."""
    x = samples_hwc.astype(np.float32)
    luma = x @ LUMA
    chroma = [(x[..., c] - luma) * weight for c, weight in ((2, 0.564), (0, 0.713))]
    contrast, saturation = (np.exp(rng.uniform(*span)) for span in ((-0.15, 0.25), (-0.2, 0.3)))
    filter_, co_sited = SMALLER[rng.integers(len(SMALLER))], rng.random() < 0.7
    gain = rng.choice([1.0, 1.36])
    halved = [_through_half((saturation * plane).astype(np.float32), filter_, co_sited) for plane in chroma]
    blue, red = (gain * np.round(plane) for plane in halved)
    luma = gain * np.round((luma - 128) * contrast) + 128
    green = luma - 0.344 * blue - 0.714 * red
    return np.clip(np.round(np.stack([luma + 1.402 * red, green, luma + 1.772 * blue], -1)), 0, 255).astype(np.uint8)


def _through_half(plane: Plane, filter_: Image.Resampling, co_sited: bool) -> Plane:
    """Halved and enlarged. co_sited: every second sample stays, the others become means of their neighbours."""
    size = plane.shape[1], plane.shape[0]
    half = Image.fromarray(plane).resize((size[0] // 2, size[1] // 2), filter_)
    if not co_sited:
        return np.asarray(half.resize(size, Image.Resampling.BILINEAR), np.float32)
    out = np.asarray(half, np.float32)
    for axis in (0, 1):
        following = np.concatenate([np.delete(out, 0, axis), np.take(out, [-1], axis)], axis)
        out = np.stack([out, (out + following) / 2], axis + 1).reshape(*(out.shape[:axis]), -1, *out.shape[axis + 1 :])
    return out
