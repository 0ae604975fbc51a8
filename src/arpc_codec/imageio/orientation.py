"""Orientation: decided here for every format, and set to 1 in whatever is kept of a picture that was turned."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from arpc_codec.imageio.metadata import load_for_exif, without_prefix, xmp_of

_TAG = 0x0112
_SHORT = 3
_NAMESPACE = re.compile(r"""xmlns:([\w.-]+)\s*=\s*["']http://ns\.adobe\.com/tiff/1\.0/["']""")
# A property with a prefix (1), and where its value (3) follows. Each takes time in proportion to the text.
_NAMED = re.compile(r"(?<![\w/.:-])([\w.-]+):Orientation\b")
_SPELLED = re.compile(_NAMED.pattern + r"""(\s*=\s*["']\s*|(?:\s[^<>]{0,80})?>\s*)([0-9]{1,9})(?=\s*["'<])""")
_STORED: dict[Any, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def orientation(image: Image.Image) -> tuple[int, str | None]:
    """(orientation 1 to 8 of a picture's EXIF, or else of its XMP; a note when the EXIF cannot be read)."""
    if isinstance(image, TiffImageFile):
        # Pillow turns a TIFF picture when it loads it.
        image.load()
        return 1, None
    found, note = None, None
    load_for_exif(image)
    try:
        found = image.getexif().get(_TAG)
    # Pillow raises almost anything on malformed EXIF, and a picture is not worse for it.
    except Exception as error:
        note = f"unreadable EXIF ignored ({type(error).__name__})"
    return stated(found, xmp_of(image)), note


def stated(value: Any, xmp: bytes | None) -> int:
    """Orientation 1 to 8: the value of the tag in any of its types, or without one (None) what the XMP says."""
    if value is None and xmp:
        value = _by_xmp(xmp)
    if isinstance(value, (tuple, bytes)) and value:
        value = value[0]
    return int(value) if value in _STORED else 1


def as_stored(upright_hw: NDArray[Any], turn: int) -> NDArray[Any]:
    """A view of an upright picture [H, W, ...] as a file of that orientation has it."""
    return _STORED[turn](upright_hw) if turn in _STORED else upright_hw


def set_upright(tiff: bytes) -> bytes:
    """TIFF or BigTIFF bytes with orientation 1, patched in place: offsets inside maker notes stay right."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return tiff
    entries = []
    # Whatever its type was: the value 1 as one SHORT.
    upright = struct.pack(order + "HHIH2x", _TAG, _SHORT, 1, 1)
    try:
        if struct.unpack_from(order + "H", tiff, 2) == (43,):
            upright = struct.pack(order + "HHQH6x", _TAG, _SHORT, 1, 1)
            (start,) = struct.unpack_from(order + "Q", tiff, 8)
            # Real files have some dozens; a claim must not cost time.
            count = min(0xFFFF, *struct.unpack_from(order + "Q", tiff, start))
            start += 8
        else:
            (start,) = struct.unpack_from(order + "I", tiff, 4)
            (count,) = struct.unpack_from(order + "H", tiff, start)
            start += 2
        for entry in range(start, start + len(upright) * count, len(upright)):
            if struct.unpack_from(order + "H", tiff, entry) == (_TAG,):
                entries.append(entry)
    except (struct.error, OverflowError):
        pass
    # Files are large, and most are upright.
    if all(tiff[entry : entry + len(upright)] == upright for entry in entries):
        return tiff
    out = bytearray(tiff)
    for entry in entries:
        out[entry : entry + len(upright)] = upright
    return bytes(out[: len(tiff)])


def upright_exif(tiff: bytes) -> bytes | None:
    """EXIF, as TIFF bytes, that says 1 to every reader; None when it cannot be made to."""
    tiff = set_upright(without_prefix(tiff))
    exif = Image.Exif()
    try:
        exif.load(tiff)
        return tiff if exif.get(_TAG, 1) == 1 else None
    # As above.
    except Exception:
        return None


def upright_xmp(xmp: bytes) -> bytes | None:
    """An XMP packet that says 1, as attribute or element under any prefix; None when it cannot be made to."""
    text = _text(xmp)
    if text is None:
        return xmp if b"Orientation" not in xmp.replace(b"\0", b"") else None
    prefixes = _prefixes(text)
    if not any(match[1] in prefixes for match in _NAMED.finditer(text)):
        return xmp
    text = _SPELLED.sub(lambda match: match[0][: -len(match[3])] + "1" if match[1] in prefixes else match[0], text)
    left = sum(match[1] in prefixes for match in _NAMED.finditer(_SPELLED.sub("", text)))
    return None if left else text.encode(json.detect_encoding(xmp), "surrogateescape")


def _by_xmp(xmp: bytes) -> int:
    """What a packet says first, 1 when it says nothing."""
    text = _text(xmp) or ""
    prefixes = _prefixes(text)
    return next((int(match[3]) for match in _SPELLED.finditer(text) if match[1] in prefixes), 1)


def _text(xmp: bytes) -> str | None:
    """XMP is UTF-8, UTF-16 or UTF-32, told by its first bytes as JSON is."""
    try:
        return xmp.decode(json.detect_encoding(xmp), "surrogateescape")
    except UnicodeError:
        return None


def _prefixes(text: str) -> set[str]:
    """Under which a packet has the namespace of TIFF."""
    return {"tiff", *_NAMESPACE.findall(text)}
