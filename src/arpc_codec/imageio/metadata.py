"""The metadata that a picture file carries."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from PIL import Image

from arpc_codec.container import COLOURS, Resolution, Unit

PREFIX = b"Exif\0\0"
# Of Photoshop's resources, in a JPEG file.
IPTC_RESOURCE = 0x0404
_JFIF_UNITS = {0: Unit.NONE, 1: Unit.INCH, 2: Unit.CENTIMETRE}
_KNOWN_TEXTS = ("XML:com.adobe", "Raw profile type")


def without_prefix(exif: bytes) -> bytes:
    """TIFF bytes of an EXIF block, whether or not they come behind the prefix, or several."""
    while exif.startswith(PREFIX):
        exif = exif.removeprefix(PREFIX)
    return exif


def load_for_exif(image: Image.Image) -> None:
    """Load a PNG picture whose EXIF may follow the pixels, as Pillow would: damage is not malformed EXIF."""
    if image.format == "PNG" and "exif" not in image.info:
        image.load()


def raw_exif_of(image: Image.Image) -> bytes | None:
    """TIFF bytes of the EXIF block as stored; None when there is none."""
    raw = image.info.get("exif")
    return (without_prefix(raw) or None) if isinstance(raw, bytes) else None


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
        used = f"number {image.tell() + 1}" if image.tell() else "the first"
        notes.append(f"only {used} of {frames} pictures in the file is used")
    texts = getattr(image, "text", None) or {}
    # Every JPEG 2000 encoder leaves its name as the comment.
    comment = image.info.get("comment") if image.format != "JPEG2000" else None
    if comment or any(not key.startswith(_KNOWN_TEXTS) for key in texts):
        notes.append("text comments dropped")
    resources = image.info.get("photoshop")
    if (isinstance(resources, dict) and 0x0404 in resources) or "Raw profile type iptc" in image.info:
        notes.append("IPTC dropped")
    if image.format == "TIFF" and any(tag in image.getexif() for tag in (0x8769, 0x8825)):
        notes.append("EXIF inside TIFF tags dropped")
    return notes
