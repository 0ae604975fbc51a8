"""Pillow pictures -> samples, without the conversions that change them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from arpc_codec.errors import ArpcError
from arpc_codec.imageio.depth import key_of_8_bits
from arpc_codec.imageio.picture import Samples

_REFUSED = {
    "F": "float samples",
    "I": "32-bit integer samples",
    "CMYK": "CMYK colours",
    "YCbCr": "YCbCr colours",
    "HSV": "HSV colours",
    "LAB": "Lab colours",
    "La": "premultiplied alpha",
    "RGBa": "premultiplied alpha",
}


def refused(what: str) -> ArpcError:
    """The error for something that has no place in an ExactPicture."""
    return ArpcError(f"{what} cannot be kept exactly")


def check_mode(image: Image.Image) -> None:
    """ArpcError when the mode of a picture has no place in an ExactPicture."""
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA") and not image.mode.startswith("I;16"):
        raise refused(_REFUSED.get(image.mode, f"pixels of mode {image.mode}"))


def samples_of(image: Image.Image, bits: int = 8) -> tuple[Samples, list[str]]:
    """(samples [H, W, C] of a picture as Pillow holds it, notes); ArpcError when its mode has no place.

    bits: of a sample of its file. The result is native, contiguous and owned by the caller.
    """
    check_mode(image)
    notes = []
    key = None if image.mode in ("LA", "RGBA") else image.info.get("transparency")
    if image.mode in ("P", "PA"):
        notes.append("palette coded as colours")
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        key = None
    samples: Samples
    if image.mode == "1":
        notes.append("1-bit samples coded as 8-bit grey")
        samples = np.asarray(image).astype(np.uint8) * np.uint8(255)
        key = 255 if key else key
    elif image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)
    else:
        samples, key = np.array(image), key_of_8_bits(key, bits)
    samples = samples.reshape(image.height, image.width, -1)
    if key is not None:
        samples = with_key(samples, key if isinstance(key, Sequence) else (key,))
        notes.append("transparent colour coded as alpha")
    return samples, notes


def with_key(samples: Samples, key: Sequence[int]) -> Samples:
    """Samples [H, W, C] and a colour of C values -> [H, W, C + 1] with alpha 0 where a pixel has that colour."""
    if len(key) != samples.shape[2]:
        raise ArpcError("damaged: the transparent colour does not fit the picture")
    clear = (samples == np.array(key)).all(axis=2, keepdims=True)
    alpha = np.where(clear, 0, np.iinfo(samples.dtype).max).astype(samples.dtype)
    return np.concatenate([samples, alpha], axis=2)
