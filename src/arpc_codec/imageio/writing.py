"""Pixels -> picture files: PNG, PPM or PGM, lossless WebP, JPEG."""

from __future__ import annotations

import os
from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.imageio.colour import without_profile
from arpc_codec.imageio.metadata import PREFIX

FORMATS = ("png", "ppm", "pgm", "webp", "jpeg")
_SUFFIXES = {
    ".png": "png",
    ".ppm": "ppm",
    ".pgm": "pgm",
    ".pnm": "ppm",
    ".webp": "webp",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".pam": "pam",
}
_SETTINGS: dict[str, dict[str, Any]] = {
    "png": {},
    "ppm": {},
    "pgm": {},
    "webp": {"lossless": True, "exact": True},
    "jpeg": {"quality": 95, "subsampling": 0},
}
# Pillow's name of a format, where it has another. The codec of PPM writes grey pictures as PGM.
_PILLOW = {"pgm": "PPM"}
_WITH_ALPHA = ("png", "webp")
# An APP1 segment has a 16-bit length, and its identifier takes up to 29 bytes.
_JPEG_SEGMENT = 0xFFFF - 32


def format_of(name: str | os.PathLike[str], formats: Collection[str] = FORMATS) -> str:
    """Which of the formats a file name asks for; UsageError for a suffix that asks for none of them."""
    format = _SUFFIXES.get(Path(name).suffix.lower(), "")
    if format not in formats:
        raise UsageError(f"cannot tell the format of '{os.fspath(name)}': use --format {'|'.join(formats)}")
    return format


def to_image(
    pixels_hw3: NDArray[np.uint8],
    alpha_hw: NDArray[np.uint8] | None = None,
    grey: bool = False,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> Image.Image:
    """uint8 [H, W, 3] -> PIL picture of mode L, LA, RGB or RGBA; grey takes the mean of the channels.

    Metadata is put into `image.info`, where Pillow's writers find it.
    """
    if grey:
        total = pixels_hw3.sum(axis=2, dtype=np.uint16)
        total += 1
        total //= 3
        image = Image.fromarray(total.astype(np.uint8))
    else:
        image = Image.fromarray(pixels_hw3)
    if alpha_hw is not None:
        image.putalpha(Image.fromarray(alpha_hw))
    for key, value in (("icc_profile", icc), ("exif", exif and PREFIX + exif), ("xmp", xmp)):
        if value:
            image.info[key] = value
    return image


def written(
    pixels_hw3: NDArray[np.uint8],
    alpha_hw: NDArray[np.uint8] | None,
    grey: bool,
    format: str,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """(picture file in one of FORMATS, a note for everything else that the format cannot hold).

    Raises UsageError for an unknown format, ArpcError for colours in PGM and for what Pillow refuses.
    """
    if format not in FORMATS:
        raise UsageError(f"format must be one of {', '.join(FORMATS)}, not {format!r}")
    if format == "pgm" and not grey:
        raise ArpcError("PGM holds no colours: use PPM")
    notes = []
    if alpha_hw is not None and format not in _WITH_ALPHA:
        notes.append(f"{format.upper()} holds no transparency: dropped")
        alpha_hw = None
    image = to_image(pixels_hw3, alpha_hw, grey)
    metadata: dict[str, Any] = {"icc_profile": icc, "exif": exif and PREFIX + exif, "xmp": xmp}
    if format in ("ppm", "pgm"):
        image, more = without_profile(image, icc)
        notes += more
        notes += [f"{format.upper()} holds no metadata: dropped"] if exif or xmp else []
        metadata = {}
    elif format == "png" and xmp:
        metadata["pnginfo"] = _xmp_text(metadata.pop("xmp"))
    elif format == "jpeg":
        for key in ("exif", "xmp"):
            if len(metadata[key] or b"") > _JPEG_SEGMENT:
                metadata[key] = None
                notes.append(f"{key.upper()} too long for JPEG: dropped")
    file, name = BytesIO(), _PILLOW.get(format, format.upper())
    try:
        image.save(file, name, **_SETTINGS[format], **{k: v for k, v in metadata.items() if v})
    except (OSError, ValueError) as error:
        raise ArpcError(f"cannot be written as {format.upper()}: {error}") from error
    return file.getvalue(), tuple(notes)


def _xmp_text(xmp: bytes) -> PngInfo:
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    return text
