"""Picture files <-> ExactPicture, for archives. Samples and metadata stay as stored, or the picture is refused.

Pixels are neither turned nor converted, and those under full transparency keep their colours. What changes its form
without losing anything is one of the picture's notes: palettes become RGB, 1 to 6 bits become 8, a transparent colour
becomes alpha. So is what surrounds the pixels and has no place: text, print resolution, TIFF tags, PNG chunks.
Float, signed and 32-bit samples, CMYK, Lab, premultiplied alpha, animations and several pages are refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.files import Readable
from arpc_codec.imageio import netpbm, png, tiff
from arpc_codec.imageio.depth import sample_bits
from arpc_codec.imageio.metadata import dropped, raw_exif_of, xmp_of
from arpc_codec.imageio.opening import check_size, contents, decoding, formats
from arpc_codec.imageio.picture import MAX_PIXELS, ExactPicture
from arpc_codec.imageio.samples import check_mode, refused, samples_of
from arpc_codec.imageio.writing import FORMATS, format_of, written

# Of these Pillow changes no sample of 8 bits. Others it may convert, or they have parts that it does not show.
_BY_PILLOW = ("JPEG", "MPO", "WEBP", "BMP", "GIF", "TGA", "QOI", "PCX")
_JPEG_KEPT = (b"JFIF", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"Adobe")


def read_exact(source: Readable | Image.Image | NDArray[Any], *, max_pixels: int = MAX_PIXELS) -> ExactPicture:
    """A picture file (path, bytes, binary stream), PIL picture, or array [H, W] or [H, W, 1 to 4] -> ExactPicture.

    An array is uint8 or uint16, and not copied when contiguous. A PIL picture is taken as Pillow holds it. Raises
    ArpcError when the source cannot be read, cannot be kept exactly, has more than `max_pixels` pixels or needs
    imagecodecs where that is not installed; UsageError for any other source; OSError when the path cannot be read.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, Image.Image):
        with decoding(max_pixels):
            return _from_pillow(source, max_pixels)
    data = contents(source)
    with decoding(max_pixels):
        if data.startswith(png.SIGNATURE):
            return png.read(data, max_pixels)
        if data.startswith(tiff.SIGNATURES):
            return tiff.read(data, max_pixels)
        if netpbm.SIGNATURE.match(data):
            return netpbm.read(data, max_pixels)
        with Image.open(BytesIO(data), formats=formats()) as image:
            check_mode(image)
            if image.format not in _BY_PILLOW:
                raise ArpcError(f"{image.format} files cannot be read exactly: convert the picture to PNG or TIFF")
            return _from_pillow(image, max_pixels, data)


def write_exact(picture: ExactPicture, target: str | os.PathLike[str] = "png") -> bytes:
    """The bytes of a picture file that `read_exact` turns into an equal picture.

    target: one of EXACT_FORMATS, or a file name whose suffix tells the format; nothing is written to it.
    Raises ArpcError when the format cannot hold the picture exactly, UsageError for a format that never can.
    """
    return _WRITERS[exact_format(target)](picture)


def exact_format(target: str | os.PathLike[str]) -> str:
    """Which of EXACT_FORMATS a format or file name asks for; UsageError when that never holds pictures exactly."""
    known = (*EXACT_FORMATS, *FORMATS)
    name = os.fspath(target)
    format = name if name in known else format_of(name, known)
    if format not in _WRITERS:
        raise UsageError(f"{format.upper()} cannot hold pictures exactly: use {'|'.join(EXACT_FORMATS)}")
    return format


def _from_array(array: NDArray[Any], max_pixels: int) -> ExactPicture:
    if array.dtype.kind != "u" or array.ndim not in (2, 3):
        raise UsageError(f"an array must be uint8 or uint16 [H, W, 1 to 4], not {array.dtype} {list(array.shape)}")
    samples = array[..., None] if array.ndim == 2 else array
    check_size(samples.shape[1], samples.shape[0], max_pixels)
    return ExactPicture(np.ascontiguousarray(samples, samples.dtype.newbyteorder("=")))


def _from_pillow(image: Image.Image, max_pixels: int, data: bytes = b"") -> ExactPicture:
    """A picture that Pillow has opened, perhaps from `data`."""
    check_mode(image)
    check_size(*image.size, max_pixels)
    # The second picture of an MPO file is a preview or a map for its first; pages and frames are pictures of their own.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise refused("several pictures in one file")
    # Before anything loads the pixels: Pillow forgets the depth then.
    bits, notes = sample_bits(image), dropped(image)
    if bits > 8 and not image.mode.startswith("I;16"):
        raise ArpcError(f"Pillow reduces the {bits}-bit samples of this picture: give the file itself")
    if bits < 8:
        notes.append("samples of 5 or 6 bits coded as 8 bits")
    if image.format in ("JPEG", "MPO"):
        notes.append("the pixels are kept as decoded from JPEG")
    segments = {name for name, body in getattr(image, "applist", ()) if not body.startswith(_JPEG_KEPT)} - {"COM"}
    if segments:
        notes.append(f"JPEG segments not kept: {', '.join(sorted(segments))}")
    if image.format == "GIF" and (b"ICCRGBG1" in data or b"XMP DataXMP" in data):
        notes.append("ICC profile or XMP inside GIF not kept")
    icc = image.info.get("icc_profile") or _bmp_profile(data)
    samples, more = samples_of(image)
    return ExactPicture(samples, icc, raw_exif_of(image), xmp_of(image), (*notes, *more))


def _bmp_profile(data: bytes) -> bytes | None:
    """The ICC profile behind the pixels of a BMP file with header version 5, which Pillow does not look for."""
    header = data[14:138]
    if not data.startswith(b"BM") or header[:4] != (124).to_bytes(4, "little") or header[56:60] != b"DEBM":
        return None
    start, size = (int.from_bytes(header[at : at + 4], "little") for at in (112, 116))
    profile = data[14 + start : 14 + start + size]
    if len(profile) != size:
        raise ArpcError("the file ends early")
    return profile or None


def _write_webp(picture: ExactPicture) -> bytes:
    """WebP has no grey and decides itself whether there is alpha: what it gives back must be what went in."""
    samples = picture.samples
    if samples.dtype == np.uint8 and samples.shape[2] in (3, 4):
        rgb_hw3 = np.ascontiguousarray(samples[..., :3])
        alpha_hw = np.ascontiguousarray(samples[..., 3]) if samples.shape[2] == 4 else None
        metadata = {"icc": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
        file, _ = written(rgb_hw3, alpha_hw, False, "webp", **metadata)
        if read_exact(file, max_pixels=samples.size) == picture:
            return file
    raise ArpcError("WebP cannot hold this picture exactly")


_WRITERS: dict[str, Callable[[ExactPicture], bytes]] = {
    "png": png.write,
    "tiff": tiff.write,
    "ppm": netpbm.write_pnm,
    "pgm": netpbm.write_pgm,
    "pam": netpbm.write_pam,
    "webp": _write_webp,
}
EXACT_FORMATS = tuple(_WRITERS)
