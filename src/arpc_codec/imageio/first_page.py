"""The first picture of a TIFF file, for the lossy codecs: read by Pillow, or exactly where Pillow reads it wrong."""

from __future__ import annotations

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL import TiffImagePlugin as Tiff

from arpc_codec.errors import ArpcError
from arpc_codec.imageio.depth import reduced, sample_bits
from arpc_codec.imageio.described import by_tags
from arpc_codec.imageio.metadata import dropped
from arpc_codec.imageio.opening import Opened, check_size
from arpc_codec.imageio.orientation import stated
from arpc_codec.imageio.tiff import directory, ints, layout, opened, samples_in

Tags = Tiff.ImageFileDirectory_v2

_WHITE_IS_ZERO, _PALETTE = 0, 3
_MODELS = {0: "white-is-zero grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
_MODELS |= dict.fromkeys((8, 9, 10), "Lab")
# Channels of colour, where it is not one.
_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_PREMULTIPLIED, _STRAIGHT = 1, 2
_SEPARATE = 2


def open_first(data: bytes, max_pixels: int) -> Opened:
    """The first picture of TIFF or BigTIFF, of any kind that can be read right; ArpcError names another kind."""
    tags = directory(data)
    (width,), (height,) = ints(tags, Tiff.IMAGEWIDTH), ints(tags, Tiff.IMAGELENGTH)
    check_size(width, height, max_pixels)
    xmp = tags.get(Tiff.XMP)
    xmp = xmp if isinstance(xmp, bytes) and xmp else None
    turn = stated(tags.get(ExifTags.Base.Orientation), xmp)
    notes = _not_kept(tags)
    icc, more = by_tags(tags)
    notes += more
    if _only_exactly(tags):
        samples = samples_in(data, tags)
        grey = samples.shape[2] == 1
        image = Image.fromarray(reduced(samples[..., 0] if grey else samples))
        if tags.next:
            notes.append("only the first picture in the file is used")
        return Opened(image, turn, 8 * samples.itemsize, None, xmp, icc, tuple(notes))
    try:
        image = opened(data)
    except UnidentifiedImageError:
        raise _unsupported(tags) from None
    # Before anything loads the pixels: Pillow forgets the depth then.
    bits = sample_bits(image)
    notes += dropped(image)
    # Pillow has no unsigned integers of 32 bits.
    if image.mode == "I" and _format(tags) == _UNSIGNED and np.asarray(image).min() < 0:
        raise ArpcError("32-bit TIFF with samples beyond 2147483647 is not supported")
    return Opened(image, turn, bits, None, xmp, icc, tuple(notes))


def check_opened(image: Image.Image) -> None:
    """ArpcError for a TIFF picture that is open in Pillow, which reads its kind wrong."""
    if isinstance(image, Tiff.TiffImageFile) and _only_exactly(image.tag_v2):
        raise ArpcError(f"Pillow reads {_kind(image.tag_v2)} TIFF wrong: give the file itself")


def _only_exactly(tags: Tags) -> bool:
    """Whether Pillow reads a kind wrong or not at all, and the exact reader right; ArpcError when neither can."""
    photometric, bits, separate = _photometric(tags), _bits(tags), _separate(tags)
    try:
        layout(tags, photometric)
    except ArpcError:
        # Pillow takes signed bytes and samples of 12 bits for others, inverts no deep samples, and knows no planes of
        # more than 8 bits or under premultiplied alpha.
        deep = bits > 8 or _format(tags) != _UNSIGNED
        wrong = bits == 12 or (_format(tags), bits) == (_SIGNED, 8) or (photometric == _WHITE_IS_ZERO and deep)
        if wrong or (separate and (deep or _PREMULTIPLIED in ints(tags, Tiff.EXTRASAMPLES, 0))):
            raise _unsupported(tags) from None
        return False
    if photometric == _PALETTE:
        # Against the specification made of 8-bit values, which Pillow shows as black.
        return max(ints(tags, Tiff.COLORMAP)) < 256
    (channels,) = ints(tags, Tiff.SAMPLESPERPIXEL, 1)
    return (channels == 2 and (separate or bits == 16)) or (bits == 16 and (separate or photometric == _WHITE_IS_ZERO))


def _unsupported(tags: Tags) -> ArpcError:
    return ArpcError(f"{_kind(tags)} TIFF is not supported")


def _kind(tags: Tags) -> str:
    """What the pixels of a file are, in words: "16-bit planar RGB", "float grey"."""
    photometric, bits = _photometric(tags), _bits(tags)
    number = {_UNSIGNED: f"{bits}-bit", _SIGNED: f"signed {bits}-bit", _FLOAT: f"{bits}-bit float"}
    words = [number.get(_format(tags), f"{bits}-bit complex or untyped"), *["planar"] * _separate(tags)]
    return " ".join([*words, _MODELS.get(photometric, f"colour model {photometric}")]).replace("32-bit float", "float")


def _not_kept(tags: Tags) -> list[str]:
    """Notes on channels and metadata without a place in a picture of 8 bits."""
    notes = []
    colours = _COLOURS.get(_photometric(tags), 1)
    (channels,), meanings = ints(tags, Tiff.SAMPLESPERPIXEL, colours), ints(tags, Tiff.EXTRASAMPLES, 0)
    surplus = channels - colours - bool({_PREMULTIPLIED, _STRAIGHT}.intersection(meanings))
    if surplus > 0 and Tiff.EXTRASAMPLES not in tags:
        notes.append("alpha taken from a channel of unspecified meaning")
    elif surplus > 0:
        notes.append(f"{surplus} extra channel{'s' * (surplus > 1)}, not colours or alpha, dropped")
    if Tiff.IPTC_NAA_CHUNK in tags or Tiff.PHOTOSHOP_CHUNK in tags:
        notes.append("IPTC or Photoshop data dropped")
    return notes


def _photometric(tags: Tags) -> int:
    return ints(tags, Tiff.PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO)[0]


def _bits(tags: Tags) -> int:
    return max(ints(tags, Tiff.BITSPERSAMPLE, 1))


def _format(tags: Tags) -> int:
    return ints(tags, Tiff.SAMPLEFORMAT, _UNSIGNED)[0]


def _separate(tags: Tags) -> bool:
    return ints(tags, Tiff.SAMPLESPERPIXEL, 1)[0] > 1 and ints(tags, Tiff.PLANAR_CONFIGURATION, 1) == (_SEPARATE,)
