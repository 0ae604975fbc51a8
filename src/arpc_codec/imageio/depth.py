"""Samples of more (or fewer) than 8 bits."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.errors import ArpcError
from arpc_codec.imageio.picture import Samples

DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# Headers, with profiles, of real files are shorter.
_HEAD = 1 << 20


def sample_bits(image: Image.Image) -> int:
    """Bits of a sample as stored in an opened file, of which Pillow may be about to make 8; 8 when unknown.

    5 stands for pixels of 5 to 6 bits a sample packed into 16.
    """
    if image.mode in DEEP:
        return 32 if image.mode in ("I", "F") else 16
    for tile in getattr(image, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if args[:1] in (("L;2",), ("L;4",)):
            return int(args[0][-1])
        if any(isinstance(arg, str) and arg.startswith(("BGR;1", "BGRA;1")) for arg in args):
            return 5
        if any(isinstance(arg, str) and ";16" in arg for arg in args):
            return 16
        if image.format == "PPM" and len(args) > 1 and isinstance(args[1], int) and args[1] > 255:
            return args[1].bit_length()
    return _header_bits(image) if image.format in ("JPEG2000", "AVIF") else 8


def stored_grey(image: Image.Image) -> bool:
    """Whether an opened file has grey with alpha of 16 bits, which Pillow takes for colours."""
    return any(tile[3] in ("LA;16B", ("LA;16B",)) for tile in getattr(image, "tile", ()))


def key_of_8_bits(key: Any, bits: int) -> Any:
    """The transparent colour of a picture whose samples Pillow made 8 bits, of the `bits` that its file has."""
    if isinstance(key, tuple):
        return tuple(key_of_8_bits(value, bits) for value in key)
    if not isinstance(key, int) or bits not in (2, 4, 16):
        return key
    return key >> 8 if bits == 16 else key * 255 // (2**bits - 1)


def deep_codecs() -> ModuleType:
    """The library imagecodecs, which reads 16-bit colour; ArpcError when it is not installed."""
    try:
        import imagecodecs
    except ImportError as error:
        raise ArpcError(
            "Pillow would reduce the samples of this picture: pip install 'arpc-codec[deep]' (imagecodecs)"
        ) from error
    return imagecodecs


def head(image: Image.Image, size: int = _HEAD) -> bytes:
    """How the file of an opened picture begins; nothing when it is closed."""
    file: Any = getattr(image, "fp", None)
    if file is None or getattr(file, "closed", False):
        return b""
    position = file.tell()
    file.seek(0)
    data: bytes = file.read(size)
    file.seek(position)
    return data


def _header_bits(image: Image.Image) -> int:
    """Bits of a sample from the SIZ marker (JPEG 2000) or the pixi box (AVIF) of a file that is still open."""
    data = head(image)
    if image.format == "AVIF":
        at = data.find(b"pixi")
        return data[at + 9] if 0 <= at < len(data) - 9 else 8
    at = data.find(b"\xff\x4f\xff\x51")
    return (data[at + 42] & 127) + 1 if 0 <= at < len(data) - 42 else 8


def to_8_bits(image: Image.Image) -> tuple[Image.Image, str]:
    """Picture of a mode in DEEP -> (L picture, what was done)."""
    values = np.asarray(image)
    if image.mode == "F":
        return _float(values.astype(np.float64))
    low, high = int(values.min()), int(values.max())
    if low >= 0 and high <= 0xFFFF:
        return Image.fromarray(reduced(values.astype(np.uint16))), "16-bit samples reduced to 8 bits"
    return _stretch(values.astype(np.float64), "32-bit")


def reduced(samples: Samples) -> NDArray[np.uint8]:
    """uint8 or uint16 samples of any shape, rounded to 8 bits."""
    if samples.dtype == np.uint8:
        return samples
    return ((samples.astype(np.uint32) * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8)


def _float(values: NDArray[np.float64]) -> tuple[Image.Image, str]:
    finite = np.isfinite(values)
    suffix = "" if finite.all() else ", values that are no numbers set to 0"
    values = np.where(finite, values, 0.0)
    if values.min() >= 0 and values.max() <= 1:
        return _grey(np.rint(values * 255)), "float samples 0..1 reduced to 8 bits" + suffix
    image, note = _stretch(values, "float")
    return image, note + suffix


def _stretch(values: NDArray[np.float64], kind: str) -> tuple[Image.Image, str]:
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255 / (high - low)) if high > low else np.zeros_like(values)
    return _grey(np.rint(scaled)), f"{kind} samples {low:g}..{high:g} stretched to 8 bits"


def _grey(values: NDArray[Any]) -> Image.Image:
    return Image.fromarray(values.astype(np.uint8))
