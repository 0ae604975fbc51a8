"""EXIF orientation and the metadata that a picture file carries."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.container import COLOURS, Resolution, Unit

PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
# Of Photoshop's resources, in a JPEG file.
IPTC_RESOURCE = 0x0404
_JFIF_UNITS = {0: Unit.NONE, 1: Unit.INCH, 2: Unit.CENTIMETRE}
_KNOWN_TEXTS = ("XML:com.adobe", "Raw profile type")
_STORED: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}


def orientation(image: Image.Image) -> tuple[int, str | None]:
    """(EXIF orientation 1 to 8, a note when the EXIF cannot be read)."""
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    # Pillow raises almost anything on malformed EXIF, and a picture is not worse for it.
    except Exception as error:
        return 1, f"unreadable EXIF ignored ({type(error).__name__})"
    return (found if found in _STORED else 1), None


def as_stored(upright_hw: NDArray[Any], turn: int) -> NDArray[Any]:
    """A view of an upright picture [H, W, ...] as a file of that orientation has it."""
    return _STORED[turn](upright_hw) if turn in _STORED else upright_hw


def raw_exif_of(image: Image.Image) -> bytes | None:
    """TIFF bytes of the EXIF block as stored; None when there is none."""
    raw = image.info.get("exif")
    return (raw.removeprefix(PREFIX) or None) if isinstance(raw, bytes) else None


def exif_of(image: Image.Image) -> bytes | None:
    """TIFF bytes of the EXIF block with the orientation set to 1; None when there is none."""
    raw = raw_exif_of(image)
    return raw and set_upright(raw)


def set_upright(tiff: bytes) -> bytes:
    """TIFF bytes with orientation 1, patched in place: nothing else moves, so offsets inside maker notes stay right."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return tiff
    out = bytearray(tiff)
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if (tag, kind) == (_ORIENTATION, 3):
                struct.pack_into(order + "H", out, entry + 8, 1)
    except struct.error:
        return tiff
    return bytes(out)


def xmp_of(image: Image.Image) -> bytes | None:
    """The XMP packet; None when there is none."""
    raw = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if isinstance(raw, str):
        raw = raw.encode()
    return raw if isinstance(raw, bytes) and raw else None


def resolution_of(image: Image.Image) -> Resolution | None:
    """The resolution of a picture that Pillow has opened, as its file has it where Pillow still knows."""
    info = image.info
    density = info.get("jfif_density")
    if density and info.get("jfif_unit") in _JFIF_UNITS:
        return Resolution.of(density[0], density[1], _JFIF_UNITS[info["jfif_unit"]])
    # Of a JPEG file without one Pillow takes it from the EXIF block, or 72 for certain.
    if image.format in ("JPEG", "MPO"):
        return None
    for key, unit in (("dpi", Unit.INCH), ("aspect", Unit.NONE)):
        try:
            x, y = info[key]
            x, y = (Fraction(float(number)).limit_denominator(10_000) for number in (x, y))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        return Resolution.of(x, y, unit)
    return None


def colours_of(info: Mapping[str | tuple[int, int], Any]) -> dict[str, bytes | None]:
    """cicp, gama, chrm and srgb as PNG has them, of the `info` of a Pillow picture."""
    found: dict[str, bytes | None] = dict.fromkeys(COLOURS)
    try:
        if "gamma" in info:
            found["gama"] = struct.pack(">I", round(info["gamma"] * 100_000))
        if "chromaticity" in info:
            found["chrm"] = struct.pack(">8I", *(round(value * 100_000) for value in info["chromaticity"]))
        if "srgb" in info:
            found["srgb"] = bytes([info["srgb"]])
        if "cicp" in info:
            found["cicp"] = struct.pack("4B", *info["cicp"])
    # Anybody may put anything there.
    except (TypeError, ValueError, OverflowError, struct.error):
        pass
    return found


def iptc_of(image: Image.Image) -> bytes | None:
    """IPTC records, from the Photoshop resources of a JPEG file or the tag of TIFF; None when there are none."""
    resources = image.info.get("photoshop")
    raw = resources.get(IPTC_RESOURCE) if isinstance(resources, dict) else None
    return raw if isinstance(raw, bytes) and raw else None


def dropped(image: Image.Image) -> list[str]:
    """Notes on what a file says about its picture and this codec has no place for."""
    notes = []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"only the first of {frames} pictures in the file is used")
    texts = getattr(image, "text", None) or {}
    # Every JPEG 2000 encoder leaves its name as the comment.
    comment = image.info.get("comment") if image.format != "JPEG2000" else None
    if comment or any(not key.startswith(_KNOWN_TEXTS) for key in texts):
        notes.append("text comments dropped")
    gamma = image.info.get("gamma")
    if isinstance(gamma, float) and abs(gamma - 0.45455) > 0.01 and not image.info.get("icc_profile"):
        notes.append(f"gamma {gamma:g} in the file ignored: colours taken as sRGB")
    if image.format == "TIFF" and any(tag in image.getexif() for tag in (0x8769, 0x8825)):
        notes.append("EXIF inside TIFF tags dropped")
    return notes
