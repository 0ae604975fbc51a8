"""What all readers share: the bytes of a source, the limit on pixels, one line for any decoder's error."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from arpc_codec import files
from arpc_codec.container.header import MAGIC
from arpc_codec.errors import ArpcError, UsageError, whole_number
from arpc_codec.files import Readable
from arpc_codec.forks import after_fork
from arpc_codec.warned import filtered

# Raster formats only: a reader such as EPS would start another program.
# fmt: off
_FORMATS = (
    "PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF", "AVIF", "JPEG2000", "MPO", "TGA", "QOI", "ICO", "DIB", "PCX",
    "SGI", "PSD", "SUN", "DDS", "ICNS", "CUR", "DCX", "MSP", "XBM", "XPM",
)
# fmt: on
# Pillow's own limit, while it is replaced.
_limits: list[int | None] = []


@dataclass(frozen=True)
class Opened:
    """A picture file that Pillow has opened, not turned: its orientation is in `turn`, its depth in `bits`.

    exif: TIFF bytes as stored. icc: the profile of its colours, None for sRGB. notes: one line for everything that has
    no place beside it. grey: whatever Pillow makes of it, the file has no colours.
    """

    image: Image.Image
    turn: int
    bits: int
    exif: bytes | None
    xmp: bytes | None
    icc: bytes | None
    notes: tuple[str, ...]
    grey: bool = False


def contents(source: Readable) -> bytes:
    """The bytes of a picture file; ArpcError for none and for an arpc file, else as `files.contents`."""
    data = files.contents(source)
    if not data:
        raise ArpcError("the file is empty")
    if data.startswith(MAGIC):
        raise ArpcError("is an arpc file already")
    return data


def formats() -> list[str]:
    """The formats that Pillow may try."""
    Image.preinit()
    known = [name for name in _FORMATS if name in Image.OPEN]
    if len(known) < len(_FORMATS):
        Image.init()
        known = [name for name in _FORMATS if name in Image.OPEN]
    return known


def open_image(data: bytes) -> Image.Image:
    """A picture file, open in Pillow; ArpcError, with the format that it begins as, when Pillow cannot read it."""
    try:
        return Image.open(BytesIO(data), formats=formats())
    except UnidentifiedImageError:
        for name in formats():
            _, accept = Image.OPEN[name]
            if accept and accept(data[:16]) is True:
                raise ArpcError(f"a {name} picture that is damaged, or of a kind that cannot be read") from None
        raise ArpcError("not a picture in a format that can be read") from None


def suffixes(exact: bool = False) -> frozenset[str]:
    """How names of pictures that can be read end, in small letters with the dot; exact: by `read_exact`."""
    known = formats()
    found = {suffix for suffix, name in Image.registered_extensions().items() if name in known}
    return frozenset(found | {".pam"} if exact else found)


@contextmanager
def decoding(max_pixels: int) -> Iterator[None]:
    """Within it Pillow's own limit is ours, warnings are silent, and a damaged picture raises ArpcError."""
    try:
        with _limit(max_pixels), _silent_libtiff():
            yield
    except (ArpcError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise ArpcError(f"its pixels exceed the limit of {max_pixels} (--max-pixels)") from None
    # Decoders raise many types on damaged files (OSError, SyntaxError, ValueError, struct.error, zlib.error, ...).
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ArpcError(f"cannot be read as a picture: {reason}") from error


@contextmanager
def _limit(max_pixels: int) -> Iterator[None]:
    """Pillow's own limit, a module variable, replaced by ours (it refuses above twice its value)."""
    # One thread at a time: filters keep the others out.
    with filtered("ignore"):
        _limits.append(Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = _limits.pop()


@after_fork
def _unlimited() -> None:
    # Who was reading a picture is not here any more.
    while _limits:
        Image.MAX_IMAGE_PIXELS = _limits.pop()


@contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Pillow's libtiff does not write to stderr by itself; what is wrong Pillow says, too."""
    handlers = _libtiff_handlers()
    before = [replace(None) for replace in handlers]
    try:
        yield
    finally:
        for replace, handler in zip(handlers, before, strict=True):
            replace(handler)


@lru_cache
def _libtiff_handlers() -> tuple[Any, ...]:
    """Functions that replace the handlers of errors and warnings; none where Pillow hides them, as on Windows."""
    found = []
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        try:
            # Found by way of the libraries that Pillow's own is linked to.
            function = getattr(ctypes.CDLL(Image.core.__file__), name)
        except (OSError, AttributeError):
            continue
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_void_p
        found.append(function)
    return tuple(found)


def check_size(width: int, height: int, max_pixels: int) -> None:
    """UsageError without pixels, ArpcError beyond the limit."""
    if not width or not height:
        raise UsageError("the picture has no pixels")
    if width * height > whole_number("max_pixels", max_pixels):
        raise ArpcError(f"{width} x {height} pixels exceed the limit of {max_pixels} (--max-pixels)")
