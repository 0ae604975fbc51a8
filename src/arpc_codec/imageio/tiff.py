"""TIFF, exactly: the tags decide what can be kept, Pillow reads 8-bit samples and 16-bit grey, imagecodecs the rest."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from arpc_codec.container import COLOURS, Resolution, Unit
from arpc_codec.errors import ArpcError
from arpc_codec.imageio.depth import deep_codecs
from arpc_codec.imageio.opening import check_size
from arpc_codec.imageio.orientation import set_upright
from arpc_codec.imageio.picture import ExactPicture, Samples
from arpc_codec.imageio.samples import refused, samples_of
from arpc_codec.imageio.texts import from_tiff, to_tiff
from arpc_codec.warned import filtered

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BIG = SIGNATURES[2:]
# fmt: off
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION = 256, 257, 258, 259, 262, 274
_STRIP_OFFSETS, _CHANNELS, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_COLOUR_MAP, _SUB_FILES, _EXTRA, _FORMAT, _XMP, _ICC = 320, 330, 338, 339, 700, 34675
_ACROSS, _DOWN, _UNIT, _IPTC, _EXIF, _GPS = 282, 283, 296, 33723, 34665, 34853
# Tags that say how the pixels lie in the file, and those that are kept.
_UNDERSTOOD = {
    254, 255, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, 266, _STRIP_OFFSETS, _ORIENTATION, _CHANNELS,
    _ROWS_PER_STRIP, _STRIP_BYTES, 280, 281, _PLANAR, 292, 293, _PREDICTOR, _COLOUR_MAP, 322, 323, 324, 325, _EXTRA,
    _FORMAT, 347, _XMP, _ICC,
}
# fmt: on
# What a text must not be written over.
_TAKEN = {*_UNDERSTOOD, _ACROSS, _DOWN, _UNIT, _IPTC, _EXIF, _GPS, _SUB_FILES}
_UNITS = {1: Unit.NONE, 2: Unit.INCH, 3: Unit.CENTIMETRE}
_NUMBERS = {unit: number for number, unit in _UNITS.items()}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = range(4)
_REFUSED = {5: "CMYK colours", 6: "YCbCr colours", 8: "Lab colours", 9: "Lab colours", 10: "Lab colours"}
_UNSIGNED, _STRAIGHT_ALPHA, _DEFLATE, _DIFFERENCES, _CHUNKY, _SEPARATE = 1, 2, 8, 2, 1, 2
_JPEG = (6, 7)
_STRIP = 1 << 20


def read(data: bytes, max_pixels: int) -> ExactPicture:
    """TIFF or BigTIFF of 1 to 8 or 16 bits, grey, RGB or palette -> ExactPicture; ArpcError for anything else.

    An orientation becomes an EXIF block that has nothing else, since TIFF keeps it among its own tags.
    """
    tags = _tags(data)
    (width,), (height,), (photometric,) = ints(tags, _WIDTH), ints(tags, _HEIGHT), ints(tags, _PHOTOMETRIC)
    check_size(width, height, max_pixels)
    bits, _ = layout(tags, photometric)
    (orientation,) = ints(tags, _ORIENTATION, 1)
    samples, notes = samples_in(data, tags), []
    if photometric == _PALETTE:
        notes.append("palette coded as colours")
    elif bits < 8:
        notes.append(f"{bits}-bit samples coded as 8-bit grey")
    if photometric == _WHITE_IS_ZERO:
        notes.append("white was stored as 0: samples inverted")
    if ints(tags, _COMPRESSION, 1)[0] in _JPEG:
        notes.append("the pixels are kept as decoded from JPEG inside TIFF")
    described, left_out = describe(tags)
    return ExactPicture(
        samples,
        _bytes(tags, _ICC),
        None if orientation == 1 else _orientation_only(orientation),
        _bytes(tags, _XMP),
        notes=tuple(notes),
        left_out=left_out,
        **described,
    )


def describe(tags: ImageFileDirectory_v2) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(texts, resolution and IPTC of an ExactPicture, a line on the tags that it does not keep)."""
    texts, used = [], set[int]()
    for tag in sorted(set(tags) - _TAKEN):
        if tags.tagtype.get(tag) == TiffTags.ASCII and isinstance(tags[tag], str):
            texts.append(from_tiff(tag, tags[tag]))
            used.add(tag)
    found: dict[str, Any] = {"texts": tuple(filter(None, texts))}
    numbers = [_fraction(tags.get(tag)) for tag in (_ACROSS, _DOWN)]
    unit = _UNITS.get(tags.get(_UNIT, 2))
    if unit is not None and all(numbers):
        found["resolution"] = Resolution.of(numbers[0], numbers[1], unit)
        used |= {_ACROSS, _DOWN, _UNIT}
    words = tags.tagtype.get(_IPTC) == TiffTags.LONG
    if words:
        # Of several numbers Pillow would keep the first.
        tags.tagtype[_IPTC] = TiffTags.UNDEFINED
    iptc = tags.get(_IPTC)
    if isinstance(iptc, bytes) and iptc:
        if words and not iptc.startswith(b"\x1c"):
            # Some writers turn the bytes of each, as if they were numbers.
            iptc = np.frombuffer(iptc, np.uint32).byteswap().tobytes()
        found["iptc"] = iptc
        used.add(_IPTC)
    others = sorted(set(tags) - _UNDERSTOOD - used)
    return found, (f"TIFF tags not kept: {', '.join(map(_name, others))}",) if others else ()


def _fraction(value: Any) -> Fraction:
    """A positive rational; 0 for anything else."""
    if not isinstance(value, IFDRational) or not value.denominator:
        return Fraction(0)
    return max(Fraction(0), Fraction(int(value.numerator), value.denominator))


def fit(picture: ExactPicture) -> ExactPicture:
    """The picture with the metadata that TIFF holds: resolution by inch or centimetre, texts that have a tag."""
    tags = to_tiff(picture.texts)
    texts = [from_tiff(tag, tags[tag].decode("latin-1")) for tag in sorted(tags.keys() - _TAKEN)]
    resolution = picture.resolution
    if resolution and resolution.unit is Unit.METRE:
        resolution = Resolution.of(resolution.x / 100, resolution.y / 100, Unit.CENTIMETRE)
    colours: dict[str, Any] = dict.fromkeys(COLOURS)
    return replace(picture, texts=tuple(filter(None, texts)), resolution=resolution, **colours)


def write(picture: ExactPicture) -> bytes:
    """ExactPicture -> TIFF (deflate, differences of neighbours); ArpcError with EXIF other than an orientation."""
    samples = picture.samples
    height, width, channels = samples.shape
    tags = ImageFileDirectory_v2()
    tags[_WIDTH], tags[_HEIGHT], tags[_CHANNELS] = width, height, channels
    tags[_BITS], tags[_FORMAT] = (picture.bits,) * channels, (_UNSIGNED,) * channels
    tags[_COMPRESSION], tags[_PREDICTOR], tags[_PLANAR] = _DEFLATE, _DIFFERENCES, _CHUNKY
    tags[_PHOTOMETRIC] = _RGB if channels > 2 else _BLACK_IS_ZERO
    if channels in (2, 4):
        tags[_EXTRA] = _STRAIGHT_ALPHA
    if picture.exif is not None:
        known = {_orientation_only(value): value for value in range(2, 9)}
        if picture.exif not in known:
            raise ArpcError("TIFF holds no EXIF block as it is")
        tags[_ORIENTATION] = known[picture.exif]
    tags.tagtype[_IPTC] = TiffTags.UNDEFINED
    for tag, value in ((_ICC, picture.icc), (_XMP, picture.xmp), (_IPTC, picture.iptc)):
        if value is not None:
            tags[tag] = value
    if picture.resolution is not None:
        x, y = picture.resolution.x, picture.resolution.y
        tags[_ACROSS], tags[_DOWN] = (IFDRational(n.numerator, n.denominator) for n in (x, y))
        tags[_UNIT] = _NUMBERS[picture.resolution.unit]
    for tag, text in to_tiff(picture.texts).items():
        tags.tagtype[tag] = TiffTags.ASCII
        tags[tag] = text
    rows = max(1, _STRIP // samples[0].nbytes)
    strips = [_strip(samples[top : top + rows]) for top in range(0, height, rows)]
    sizes = [len(strip) for strip in strips]
    tags[_ROWS_PER_STRIP], tags[_STRIP_BYTES] = rows, tuple(sizes)
    # Counted from the end of the tags; saving them adds where that is.
    tags[_STRIP_OFFSETS] = tuple(sum(sizes[:index]) for index in range(len(sizes)))
    file = BytesIO()
    try:
        tags.save(file)
    except struct.error as error:
        raise ArpcError("too large for TIFF (4 GiB)") from error
    return file.getvalue() + b"".join(strips)


def _tags(data: bytes) -> ImageFileDirectory_v2:
    """The tags of the only picture of a file; ArpcError when there are more."""
    # Of a damaged tag Pillow only warns, and goes on without it.
    with filtered("error"):
        tags = directory(data)
    if tags.next or _SUB_FILES in tags:
        raise refused("several pictures in one file")
    return tags


def directory(data: bytes) -> ImageFileDirectory_v2:
    """The tags of the first picture of a file."""
    if data.startswith(b"MM\0+"):
        raise ArpcError("BigTIFF with its most significant bytes first cannot be read")
    tags = ImageFileDirectory_v2(data[: 16 if data.startswith(_BIG) else 8])
    file = BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags


def _name(tag: int) -> str:
    known = TiffTags.lookup(tag).name
    return str(tag) if known == "unknown" else known


def ints(tags: ImageFileDirectory_v2, tag: int, *default: int) -> tuple[int, ...]:
    """The values of a tag; ArpcError when it is missing without a default, or holds anything but integers."""
    value = tags.get(tag, default)
    values = value if isinstance(value, tuple) else (value,)
    if (not values and not default) or not all(isinstance(value, int) for value in values):
        raise ArpcError(f"damaged TIFF: tag {_name(tag)}")
    return values


def _bytes(tags: ImageFileDirectory_v2, tag: int) -> bytes | None:
    value = tags.get(tag)
    if not isinstance(value, bytes | None):
        raise ArpcError(f"damaged TIFF: tag {_name(tag)}")
    return value or None


def layout(tags: ImageFileDirectory_v2, photometric: int) -> tuple[int, int]:
    """(bits of a sample, channels); ArpcError when the samples would not be those of an ExactPicture."""
    if photometric > _PALETTE:
        raise refused(_REFUSED.get(photometric, f"TIFF colour model {photometric}"))
    (channels,) = ints(tags, _CHANNELS, 1)
    depths = set(ints(tags, _BITS, 1))
    possible = {8, 16} if channels > 1 else {1, 2, 4, 8} if photometric == _PALETTE else {1, 2, 4, 8, 16}
    if any(kind != _UNSIGNED for kind in ints(tags, _FORMAT, _UNSIGNED)):
        raise refused("signed and float samples")
    if len(depths) > 1 or not depths <= possible:
        raise refused(f"samples of {' and '.join(map(str, sorted(depths)))} bits")
    extra = channels - (3 if photometric == _RGB else 1)
    meaning = tags.get(_EXTRA, ())
    if extra < 0 or extra > 1 or (extra and (photometric == _PALETTE or meaning not in (_STRAIGHT_ALPHA, (2,)))):
        raise refused(f"{channels} channels that are not colours and straight alpha")
    return depths.pop(), channels


def samples_in(data: bytes, tags: ImageFileDirectory_v2) -> Samples:
    """Samples [H, W, C] of a layout that `layout` allows, not turned; ArpcError when they do not fit the tags."""
    (width,), (height,), (photometric,) = ints(tags, _WIDTH), ints(tags, _HEIGHT), ints(tags, _PHOTOMETRIC)
    bits, channels = layout(tags, photometric)
    separate = channels > 1 and ints(tags, _PLANAR, _CHUNKY) == (_SEPARATE,)
    # Pillow reduces 16-bit colour, knows not all 16-bit grey, and mixes up separate planes of grey and alpha.
    deep = separate or (bits == 16 and (channels > 1 or photometric == _WHITE_IS_ZERO))
    samples = _by_imagecodecs(data, separate) if deep else _by_pillow(data)
    if samples.shape != (height, width, channels) or samples.itemsize != (2 if bits == 16 else 1):
        raise ArpcError("cannot be read as a picture: the pixels do not fit the tags of the TIFF file")
    if photometric == _PALETTE:
        samples = _colours(tags)[samples[..., 0]]
    # Pillow has inverted those of up to 8 bits.
    elif deep and photometric == _WHITE_IS_ZERO:
        samples[..., 0] ^= np.iinfo(samples.dtype).max
    return samples


def opened(data: bytes) -> Image.Image:
    """A file open in Pillow, which would turn the pixels by the tag, and without it by the XMP."""
    image = Image.open(BytesIO(set_upright(data)), formats=["TIFF"])
    image.info.pop("xmp", None)
    return image


def _by_pillow(data: bytes) -> Samples:
    """Samples [H, W, C], or palette indices [H, W, 1]."""
    with opened(data) as image:
        return np.array(image)[..., None] if image.mode == "P" else samples_of(image)[0]


def _by_imagecodecs(data: bytes, separate: bool) -> Samples:
    samples: Samples = deep_codecs().tiff_decode(data)
    if separate:
        return np.ascontiguousarray(np.moveaxis(samples, 0, -1))
    return samples[..., None] if samples.ndim == 2 else samples


def _colours(tags: ImageFileDirectory_v2) -> Samples:
    """The palette [N, 3]: TIFF has 16 bits for each value, made from 8 by one of three customs or by none."""
    colours = np.array(ints(tags, _COLOUR_MAP), np.uint16).reshape(3, -1).T
    if not (colours % 257).any() or not (colours & 255).any():
        return (colours >> 8).astype(np.uint8)
    return colours.astype(np.uint8) if colours.max() < 256 else np.ascontiguousarray(colours)


def _orientation_only(orientation: int) -> bytes:
    """The TIFF bytes of an EXIF block with one entry."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)


def _strip(samples: Samples) -> bytes:
    """Little-endian differences to the left neighbour, deflated."""
    samples = samples.astype(samples.dtype.newbyteorder("<"))
    samples[:, 1:] -= samples[:, :-1].copy()
    return zlib.compress(samples.tobytes())
