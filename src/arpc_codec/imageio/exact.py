"""Picture files <-> ExactPicture, for archives. Samples and metadata stay as stored, or the picture is refused.

Pixels are neither turned nor converted, and those under full transparency keep their colours. What changes its form
without losing anything is one of the picture's notes: palettes become RGB, 1 to 6 bits become 8, a transparent colour
becomes alpha. Colour description, resolution, texts, IPTC, EXIF and XMP are kept; what else surrounds the pixels is
named in `left_out`: other TIFF tags and PNG chunks, EXIF inside TIFF, bytes behind the end, MPF pictures, gain maps.
Float, signed and 32-bit samples, CMYK, Lab, premultiplied alpha, animations and several pages are refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.container import COLOURS, METADATA, Resolution, Unit
from arpc_codec.errors import ArpcError, UsageError
from arpc_codec.files import Readable
from arpc_codec.hints import FROM_JPEG
from arpc_codec.imageio import jpeg, netpbm, png, tiff
from arpc_codec.imageio.depth import sample_bits
from arpc_codec.imageio.described import bmp_profile
from arpc_codec.imageio.first_page import check_opened
from arpc_codec.imageio.metadata import colours_of, iptc_of, raw_exif_of, resolution_of, xmp_of
from arpc_codec.imageio.opening import check_size, contents, decoding, open_image
from arpc_codec.imageio.picture import MAX_PIXELS, ExactPicture
from arpc_codec.imageio.samples import check_mode, refused, samples_of
from arpc_codec.imageio.texts import texts_of, without_profiles
from arpc_codec.imageio.writing import FORMATS, format_of, written

# Of these Pillow changes no sample of 8 bits. Others it may convert, or they have parts that it does not show.
_BY_PILLOW = ("JPEG", "MPO", "WEBP", "BMP", "GIF", "TGA", "QOI", "PCX")


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
        with open_image(data) as image:
            check_mode(image)
            if image.format not in _BY_PILLOW:
                raise ArpcError(f"{image.format} files cannot be read exactly: convert the picture to PNG or TIFF")
            return _from_pillow(image, max_pixels, data)


def write_exact(picture: ExactPicture, target: str | os.PathLike[str] = "png") -> bytes:
    """The bytes of a picture file that `read_exact` turns into an equal picture.

    target: one of EXACT_FORMATS, or a file name whose suffix tells the format; nothing is written to it.
    Raises ArpcError when the format cannot hold the picture exactly, UsageError for a format that never can.
    """
    format = exact_format(target)
    held, notes = fitted(picture, format)
    if notes:
        raise ArpcError(f"{format.upper()} cannot hold this picture exactly: {'; '.join(notes)}")
    return _WRITERS[format](held)


def fitted(picture: ExactPicture, target: str | os.PathLike[str]) -> tuple[ExactPicture, tuple[str, ...]]:
    """(the picture as `write_exact` can write it, notes on what that changes of colour description, resolution, texts).

    Other metadata stay: a format that lacks them is refused. Raises UsageError as `exact_format`.
    """
    format = exact_format(target)
    fit = _FITS.get(format, _bare)
    held = fit(picture)
    return held, tuple(_changes(picture, held, format.upper()))


def _bare(picture: ExactPicture) -> ExactPicture:
    """Without what only PNG and TIFF have places for."""
    nothing: dict[str, Any] = dict.fromkeys((*COLOURS, "resolution", "iptc"))
    return replace(picture, texts=(), **nothing)


def _changes(picture: ExactPicture, held: ExactPicture, format: str) -> Iterator[str]:
    gone = [name for name in METADATA if name in picture.metadata and name not in held.metadata]
    if gone:
        yield f"{format} holds no {', '.join(gone)}: left out"
    if held.resolution not in (None, picture.resolution):
        yield f"resolution of {picture.resolution} written as {held.resolution}"
    changed = [text.keyword for text in picture.texts if text not in held.texts]
    if changed and "texts" not in gone:
        yield f"texts that {format} cannot hold left out or changed: {', '.join(changed)}"


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
    check_opened(image)
    check_mode(image)
    check_size(*image.size, max_pixels)
    # The second picture of an MPO file is a preview or a map for its first; pages and frames are pictures of their own.
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise refused("several pictures in one file")
    # Before anything loads the pixels: Pillow forgets the depth then.
    bits, notes = sample_bits(image), []
    if bits > 8 and not image.mode.startswith("I;16"):
        raise ArpcError(f"Pillow reduces the {bits}-bit samples of this picture: give the file itself")
    if bits == 5:
        notes.append("samples of 5 or 6 bits coded as 8 bits")
    left_out: list[str] = []
    metadata = metadata_of(image)
    if image.format in ("JPEG", "MPO"):
        notes.append(FROM_JPEG)
        left_out += jpeg.left_out(image, data)
    if image.format == "GIF" and (b"ICCRGBG1" in data or b"XMP DataXMP" in data):
        left_out.append("ICC profile or XMP inside GIF not kept")
    if tags := getattr(image, "tag_v2", None):
        described, others = tiff.describe(tags)
        metadata |= described
        left_out += others
    if image.format == "BMP" and data:
        metadata |= {"icc": bmp_profile(data), "resolution": _bmp_resolution(data)}
    samples, more = samples_of(image, bits)
    return ExactPicture(samples, notes=(*notes, *more), left_out=tuple(left_out), **metadata)


def metadata_of(image: Image.Image) -> dict[str, Any]:
    """The metadata of an ExactPicture, from where Pillow keeps them."""
    info = image.info
    found = {"icc": info.get("icc_profile") or None, "exif": raw_exif_of(image), "xmp": xmp_of(image)}
    found |= colours_of(info) | {"resolution": resolution_of(image), "iptc": iptc_of(image)}
    profiles, texts = without_profiles(texts_of(image), found)
    return {**found, **profiles, "texts": texts}


def _bmp_resolution(data: bytes) -> Resolution | None:
    """Pixels a metre of a BMP file, where its header has them."""
    if int.from_bytes(data[14:18], "little") < 40:
        return None
    across, down = (int.from_bytes(data[at : at + 4], "little", signed=True) for at in (38, 42))
    return Resolution.of(across, down, Unit.METRE)


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
_FITS = {"png": png.fit, "tiff": tiff.fit}
