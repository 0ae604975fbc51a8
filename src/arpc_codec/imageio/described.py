"""Colours that a file describes without an ICC profile: cICP, gAMA and cHRM of PNG, nclx of AVIF, EXIF, TIFF tags.

Primaries with a gamma or the curve of sRGB become an ICC profile, and from there on there is one way. What is sRGB
under another name is none: a gamma of about 1/2.2 with the primaries of sRGB, and the curves of television (BT.709),
which displays show as they show sRGB. PQ and HLG are refused: there is no one way to show them as sRGB.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ICCPROFILE, PHOTOMETRIC_INTERPRETATION, ImageFileDirectory_v2, TiffImageFile

from arpc_codec.errors import ArpcError
from arpc_codec.imageio.depth import head
from arpc_codec.imageio.metadata import load_for_exif
from arpc_codec.imageio.profiles import made_profile

_D65, _C = (0.3127, 0.329), (0.31, 0.316)
_SRGB = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_P3 = (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
_170M = (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)
_ADOBE = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
# ColourPrimaries of ITU-T H.273: (name, white, red, green, blue). 2 is unspecified.
_PRIMARIES = {
    1: ("sRGB", _SRGB),
    2: ("sRGB", _SRGB),
    4: ("BT.470 M", (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.470 BG", (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06)),
    6: ("SMPTE 170M", _170M),
    7: ("SMPTE 240M", _170M),
    8: ("film", (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)),
    11: ("DCI-P3", (0.314, 0.351, *_P3)),
    12: ("Display P3", (*_D65, *_P3)),
    22: ("EBU 3213", (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077)),
}
# Its TransferCharacteristics: the exponent, None for curves that displays show as sRGB; and those of HDR.
_CURVES = dict.fromkeys((1, 2, 6, 7, 11, 12, 13, 14, 15)) | {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_HDR = {16: "PQ", 18: "HLG"}
# How far chromaticities and 1/gamma of sRGB may be off where writers have rounded them.
_SAME, _SAME_GAMMA = 0.003, 0.01
_ADOBE_GAMMA = 563 / 256
_TRANSFER_TAG, _WHITE_TAG, _PRIMARIES_TAG = 301, 318, 319
# RGB and palette, as TIFF numbers them.
_RGB = (2, 3)


def described(image: Image.Image) -> tuple[bytes | None, list[str]]:
    """(ICC profile of an opened picture's colours, its own or a made one, or None for sRGB; notes).

    Raises ArpcError for colours that cannot be shown as sRGB. Reads the file, where it is still open.
    """
    if isinstance(image, TiffImageFile):
        return by_tags(image.tag_v2)
    icc = image.info.get("icc_profile") or None
    grey = Image.getmodebase(image.mode) == "L"
    if image.mode in ("CMYK", "LAB"):
        return icc, []
    points = image.info.get("cicp") or (_png_chunk(head(image), b"cICP") if image.format == "PNG" else None)
    if isinstance(points, (bytes, tuple)) and len(points) == 4:
        return _by_points(points[0], points[1], range_=points[3], grey=grey)
    if icc is not None:
        return icc, []
    if image.format == "AVIF":
        _, _, points = head(image).partition(b"colrnclx")
        return _by_points(points[1], points[3], range_=1, grey=grey) if len(points) > 3 else (None, [])
    if image.format == "JPEG2000":
        return _jp2_profile(head(image)), []
    if image.format == "BMP":
        return bmp_profile(head(image, -1)), []
    if "srgb" in image.info:
        return None, []
    gamma, chromaticities = image.info.get("gamma"), image.info.get("chromaticity")
    if isinstance(gamma, float) or isinstance(chromaticities, tuple):
        return _by_gamma(gamma, chromaticities, grey)
    if _is_adobe(image):
        return _profile("Adobe RGB (EXIF)", _ADOBE, _ADOBE_GAMMA, grey)
    return None, []


def by_tags(tags: ImageFileDirectory_v2) -> tuple[bytes | None, list[str]]:
    """As `described`, of the tags of a TIFF picture."""
    icc = tags.get(ICCPROFILE)
    if isinstance(icc, bytes) and icc:
        return icc, []
    primaries, white = tags.get(_PRIMARIES_TAG), tags.get(_WHITE_TAG, _D65)
    if tags.get(PHOTOMETRIC_INTERPRETATION) not in _RGB or primaries is None or len((*white, *primaries)) != 8:
        return None, []
    # The exponent without a TransferFunction (TIFF 6.0, section 20).
    icc, notes = _profile("TIFF chromaticities", [float(value) for value in (*white, *primaries)], 2.2, grey=False)
    return icc, [
        *notes,
        *["TransferFunction ignored: taken as gamma 2.2"] * (icc is not None and _TRANSFER_TAG in tags),
    ]


def bmp_profile(data: bytes) -> bytes | None:
    """The ICC profile behind the pixels of a BMP file with header version 5, which Pillow does not look for."""
    header = data[14:138]
    if not data.startswith(b"BM") or header[:4] != (124).to_bytes(4, "little") or header[56:60] != b"DEBM":
        return None
    start, size = (int.from_bytes(header[at : at + 4], "little") for at in (112, 116))
    profile = data[14 + start : 14 + start + size]
    if len(profile) != size:
        raise ArpcError("the file ends early")
    return profile or None


def _profile(
    name: str, chromaticities: Sequence[float], gamma: float | None, grey: bool
) -> tuple[bytes | None, list[str]]:
    """(profile as of `made_profile`, or None for sRGB and when there is none such; notes)."""
    if _is_srgb(chromaticities) and (gamma is None or abs(1 / gamma - 1 / 2.2) <= _SAME_GAMMA):
        return None, []
    try:
        return made_profile(name, chromaticities, gamma, grey), []
    except ValueError:
        return None, [f"unusable colours ({name}) taken as sRGB"]


def _is_srgb(chromaticities: Sequence[float]) -> bool:
    return all(abs(a - b) <= _SAME for a, b in zip(chromaticities, _SRGB, strict=True))


def _by_points(primaries: int, curve: int, *, range_: int, grey: bool) -> tuple[bytes | None, list[str]]:
    """From code points of ITU-T H.273."""
    if curve in _HDR:
        raise ArpcError(f"HDR colours ({_HDR[curve]}) cannot be shown as sRGB: tone-map the picture first")
    if not range_:
        raise ArpcError("narrow-range samples (cICP) are not supported")
    if primaries not in _PRIMARIES or curve not in _CURVES:
        return None, [f"unknown colours (cICP {primaries}/{curve}) taken as sRGB"]
    name, chromaticities = _PRIMARIES[primaries]
    gamma = _CURVES[curve]
    return _profile(f"{name} (cICP)" + (f", gamma {gamma}" if gamma else ""), chromaticities, gamma, grey)


def _by_gamma(
    gamma: float | None, chromaticities: Sequence[float] | None, grey: bool
) -> tuple[bytes | None, list[str]]:
    """From gAMA and cHRM, one of which may be missing."""
    if gamma is not None and not 0.05 <= gamma <= 20:
        return None, [f"gamma {gamma:g} in the file ignored: colours taken as sRGB"]
    name = " and ".join(["cHRM"] * (chromaticities is not None) + ([] if gamma is None else [f"gamma {gamma:g}"]))
    return _profile(name, chromaticities or _SRGB, None if gamma is None else 1 / gamma, grey)


def _is_adobe(image: Image.Image) -> bool:
    """Cameras say Adobe RGB by an entry of EXIF (DCF 2.0)."""
    load_for_exif(image)
    try:
        exif = image.getexif()
        found = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    # Pillow raises almost anything on malformed EXIF.
    except Exception:
        return False
    return str(found).strip("\0 ") == "R03"


def _png_chunk(data: bytes, wanted: bytes) -> bytes | None:
    """The body of a chunk before the pixels of a PNG file."""
    at = 8
    while (name := data[at + 4 : at + 8]) and name != b"IDAT":
        size = int.from_bytes(data[at : at + 4], "big")
        if name == wanted:
            return data[at + 8 : at + 8 + size]
        at += size + 12
    return None


def _jp2_profile(data: bytes) -> bytes | None:
    """The ICC profile in the box colr of a JP2 file, which Pillow does not look for."""
    at = data.find(b"colr")
    if not data.startswith(b"\0\0\0\x0cjP  ") or at < 4 or data[at + 4 : at + 5] not in (b"\2", b"\3"):
        return None
    return data[at + 7 : at - 4 + int.from_bytes(data[at - 4 : at], "big")] or None
