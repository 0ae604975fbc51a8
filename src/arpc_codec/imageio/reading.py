"""Picture files -> Picture. The policy, and every departure from "as stored" is one of the picture's notes:

- The orientation of EXIF, TIFF or XMP is applied to the pixels, and what is kept says 1.
- Colours are converted to sRGB through the ICC profile, or the one that cICP, gAMA and cHRM, AVIF, EXIF or TIFF tags
  amount to (`described.py`); with `keep_icc` they stay as they are and the profile is kept. HDR (PQ, HLG) is refused.
  A broken profile, or one of another colour space, is ignored. CMYK becomes sRGB in any case.
- L, LA, 1-bit, 16-bit, 32-bit and float grey become 8-bit grey; a palette becomes RGB.
  16-bit and other deep samples are reduced to 8 bits; integers beyond 16 bits and floats beyond 0..1 are stretched.
- Alpha and transparent colours become a plane of 8 bits; a plane that is opaque everywhere is none.
- Of several frames or pages the first is used. Text comments, IPTC, extra channels and the resolution are dropped.
- A TIFF picture that Pillow reads wrong is read as for archives; what cannot be read right is refused by its kind.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from arpc_codec.files import Readable
from arpc_codec.imageio import tiff
from arpc_codec.imageio.colour import profile_problem, without_profile
from arpc_codec.imageio.depth import DEEP, key_of_8_bits, sample_bits, stored_grey, to_8_bits
from arpc_codec.imageio.described import described
from arpc_codec.imageio.first_page import check_opened, open_first
from arpc_codec.imageio.metadata import dropped, raw_exif_of, xmp_of
from arpc_codec.imageio.opening import Opened, check_size, contents, decoding, open_image
from arpc_codec.imageio.orientation import as_stored, orientation, upright_exif, upright_xmp
from arpc_codec.imageio.picture import MAX_PIXELS, Picture

# Of a picture that is converted, at a time.
BAND_PIXELS = 1 << 24


def read(source: Readable | Image.Image, *, max_pixels: int = MAX_PIXELS, keep_icc: bool = False) -> Picture:
    """A path, the bytes of a picture file, an open one, or a PIL picture -> Picture.

    Raises ArpcError when it cannot be read or has more than `max_pixels` pixels; OSError when the path cannot,
    UsageError for what is none of these.
    """
    if isinstance(source, Image.Image):
        check_size(*source.size, max_pixels)
        # One that Pillow opened may not be loaded yet.
        with decoding(max_pixels):
            return _convert(_opened(source), keep_icc)
    data = contents(source)
    with decoding(max_pixels):
        if data.startswith(tiff.SIGNATURES):
            return _convert(open_first(data, max_pixels), keep_icc)
        with open_image(data) as image:
            check_size(*image.size, max_pixels)
            return _convert(_opened(image), keep_icc)


def _opened(image: Image.Image) -> Opened:
    """A picture that Pillow has opened."""
    check_opened(image)
    # Before anything loads the pixels: Pillow forgets the depth then, and closes the file.
    bits, grey, (icc, more) = sample_bits(image), stored_grey(image), described(image)
    notes, exif = dropped(image), raw_exif_of(image)
    turn, problem = orientation(image)
    if problem:
        notes.append(problem)
        exif = None
    return Opened(image, turn, bits, exif, xmp_of(image), icc, (*notes, *more), grey)


def _convert(opened: Opened, keep_icc: bool) -> Picture:
    image, turn, notes = opened.image, opened.turn, [*opened.notes]
    if opened.bits > 8 and image.mode not in DEEP:
        notes.append(f"{opened.bits}-bit samples reduced to 8 bits")
    exif, xmp = opened.exif and upright_exif(opened.exif), opened.xmp and upright_xmp(opened.xmp)
    for name, before, after in (("EXIF", opened.exif, exif), ("XMP", opened.xmp, xmp)):
        if before and not after:
            notes.append(f"{name} with an orientation that cannot be set to 1 dropped")
    height, width = image.size if turn > 4 else image.size[::-1]
    pixels, alpha_hw = np.empty((height, width, 3), np.uint8), None
    for rows, band in _bands(image):
        base, alpha, more = _split(band, opened)
        base, kept, also = _colours(base, opened.icc, keep_icc)
        # One channel of grey goes into all three.
        as_stored(pixels, turn)[rows] = np.asarray(base).reshape(*band.size[::-1], -1)
        if alpha is not None:
            alpha_hw = np.empty((height, width), np.uint8) if alpha_hw is None else alpha_hw
            as_stored(alpha_hw, turn)[rows] = alpha
    if alpha_hw is not None and (alpha_hw == 255).all():
        alpha_hw = None
    return Picture(pixels, alpha_hw, base.mode == "L", kept, exif, xmp, (*notes, *more, *also))


def _bands(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Parts of a picture, so that conversions take no memory of its size; all where they depend on the whole."""
    step = image.height if image.mode in DEEP else max(1, BAND_PIXELS // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        whole = (top, bottom) == (0, image.height)
        yield slice(top, bottom), image if whole else image.crop((0, top, image.width, bottom))


def _split(image: Image.Image, opened: Opened) -> tuple[Image.Image, NDArray[np.uint8] | None, list[str]]:
    """(RGB, L or CMYK picture, alpha [H, W] or None, notes) of a part of an opened one."""
    if image.mode in DEEP:
        key = image.info.get("transparency")
        alpha_hw = np.where(np.asarray(image) == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
        grey, note = to_8_bits(image)
        return grey, alpha_hw, [note]
    if image.mode in ("L", "RGB", "CMYK") and "transparency" not in image.info:
        return image, None, []
    if image.mode == "LAB":
        lab = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        converted = ImageCms.applyTransform(image, lab)
        assert converted is not None
        return converted, None, ["colours converted to sRGB from Lab"]
    notes = ["1-bit samples coded as 8-bit grey"] if image.mode == "1" else []
    if image.mode in ("YCbCr", "HSV"):
        notes.append(f"colours converted to sRGB from {image.mode}")
    if not image.has_transparency_data:
        return image.convert("L" if image.mode == "1" else "RGB"), None, notes
    grey_mode, bits = opened.grey or image.mode in ("1", "L", "LA", "La"), opened.bits
    if image.mode == "La":
        image = image.convert("LA")
    if bits == 16 and "transparency" in image.info:
        notes.append("transparent colour compared in 8 bits")
    with_alpha = _eight_bit_key(image, bits).convert("LA" if grey_mode else "RGBA")
    alpha_hw = np.asarray(with_alpha.getchannel("A"))
    return with_alpha.convert("L" if grey_mode else "RGB"), alpha_hw, notes


def _eight_bit_key(image: Image.Image, bits: int) -> Image.Image:
    """A picture whose transparent colour is of 8 bits, as its samples are."""
    key = image.info.get("transparency")
    if (found := key_of_8_bits(key, bits)) == key:
        return image
    image = image.copy()
    image.info["transparency"] = found
    return image


def _colours(image: Image.Image, icc: bytes | None, keep_icc: bool) -> tuple[Image.Image, bytes | None, list[str]]:
    """(sRGB picture, RGB or L; profile that its colours are in, notes)."""
    if keep_icc and icc is not None and image.mode != "CMYK" and not profile_problem(icc, image.mode):
        return image, icc, []
    image, notes = without_profile(image, icc)
    if image.mode == "CMYK":
        image = image.convert("RGB")
        notes.append("CMYK without a usable ICC profile converted to RGB by the plain formula")
    return image, None, notes
