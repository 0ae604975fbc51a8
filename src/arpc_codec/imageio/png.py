"""PNG, exactly. Pixels go through Pillow or imagecodecs; the chunks around them are read and written here.

So 16 bits stay 16, metadata keeps its bytes whatever limits a decoder has, and what is not kept can be named.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from arpc_codec.container import COLOURS, Resolution, Text, Unit
from arpc_codec.errors import ArpcError
from arpc_codec.imageio.depth import deep_codecs
from arpc_codec.imageio.opening import check_size
from arpc_codec.imageio.picture import ExactPicture, Samples
from arpc_codec.imageio.samples import refused, samples_of, with_key
from arpc_codec.imageio.texts import (
    MAX_INFLATED,
    XMP_KEYWORD,
    from_png,
    inflate,
    iptc_profile,
    png_holds,
    to_png,
    without_profiles,
)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_COLOUR_TYPES = {1: _GREY, 2: _GREY_ALPHA, 3: _RGB, 4: _RGBA}
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
# Of each pass of interlacing: first row and column, step of rows and columns.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_XMP = XMP_KEYWORD.encode() + b"\0"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"tIME")
# Chunks whose content is kept as it is, and the names of it.
_AS_IS = {b"cICP": "cicp", b"gAMA": "gama", b"cHRM": "chrm", b"sRGB": "srgb"}
# This says nothing.
_SQUARE_PIXELS = (b"pHYs", struct.pack(">IIB", 1, 1, 0))
_METRES = {Unit.INCH: Fraction("0.0254"), Unit.CENTIMETRE: Fraction("0.01"), Unit.METRE: Fraction(1)}
_MAX_NUMBER = (1 << 31) - 1
# Bytes that are filtered at a time.
_BAND = 1 << 20

# In the place of what a chunk holds that was found before.
_AGAIN = object()

Chunk = tuple[bytes, bytes]


def read(data: bytes, max_pixels: int) -> ExactPicture:
    """PNG of any colour type and depth -> ExactPicture; ArpcError when it is damaged, animated or too large."""
    chunks, surplus = _split(data)
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    check_size(width, height, max_pixels)
    if any(name == b"fdAT" for name, _ in chunks):
        raise refused("an animation")
    _check_rows(chunks, _rows_size(width, height, depth * _CHANNELS.get(colour_type, 0), interlaced))
    samples = _pixels(_join(chunk for chunk in chunks if chunk[0] in _CRITICAL), depth, colour_type)
    if samples.shape[:2] != (height, width):
        raise ArpcError("damaged PNG: the pixels do not fit the header")
    found, left_out = _metadata(chunks)
    notes = []
    key, palette = found.pop("key", None), found.pop("palette", None)
    if colour_type == _PALETTE:
        samples = _coloured(samples, palette or b"", key or b"")
        notes.append("palette coded as colours")
    else:
        if depth < 8:
            notes.append(f"{depth}-bit samples coded as 8-bit grey")
        if key is not None and colour_type in (_GREY, _RGB):
            # Only the bits that a sample has count; samples of less than 8 bits are spread over 0..255 by now.
            full = (1 << depth) - 1
            values = [value & full for (value,) in struct.iter_unpack(">H", key)]
            samples = with_key(samples, [value * 255 // full if depth < 8 else value for value in values])
            notes.append("transparent colour coded as alpha")
    if surplus:
        left_out.append(f"{surplus} bytes behind the picture not kept")
    return ExactPicture(samples, notes=tuple(notes), left_out=tuple(left_out), **found)


def fit(picture: ExactPicture) -> ExactPicture:
    """The picture with the metadata that PNG holds: whole numbers a metre, texts without byte 0 and with a keyword."""
    texts = tuple(replace(text, text=text.text.replace("\0", "\n")) for text in picture.texts)
    texts = tuple(text for text in texts if png_holds(text))
    resolution = picture.resolution
    if resolution:
        if resolution.unit is Unit.NONE:
            scale, unit = Fraction(lcm(resolution.x.denominator, resolution.y.denominator)), Unit.NONE
        else:
            scale, unit = 1 / _METRES[resolution.unit], Unit.METRE
        x, y = (min(max(1, round(number * scale)), _MAX_NUMBER) for number in (resolution.x, resolution.y))
        resolution = Resolution.of(x, y, unit)
    return replace(picture, texts=texts, resolution=resolution)


def write(picture: ExactPicture) -> bytes:
    """ExactPicture -> PNG of its layout and depth, with its metadata; ArpcError for metadata beyond PNG's limits."""
    height, width, channels = picture.samples.shape
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, picture.bits, _COLOUR_TYPES[channels], 0, 0, 0))]
    # Most urgent first; all of them must stand before the pixels.
    values = picture.metadata
    chunks += [(name, values[kept]) for name, kept in _AS_IS.items() if kept in values]
    if picture.icc is not None:
        if len(picture.icc) >= MAX_INFLATED:
            raise ArpcError("the ICC profile is too long for PNG")
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(picture.icc, 9)))
    if picture.exif is not None:
        chunks.append((b"eXIf", picture.exif))
    if picture.resolution is not None:
        resolution = picture.resolution
        numbers = int(resolution.x), int(resolution.y), resolution.unit is Unit.METRE
        chunks.append((b"pHYs", struct.pack(">IIB", *numbers)))
    if picture.xmp is not None:
        chunks.append((b"iTXt", _XMP + bytes(4) + picture.xmp))
    chunks += to_png(picture.texts)
    if picture.iptc is not None:
        chunks += to_png([iptc_profile(picture.iptc)])
    if max(len(body) for _, body in chunks) > _MAX_NUMBER:
        raise ArpcError("the metadata is too long for PNG")
    deflate = zlib.compressobj(6)
    packed = [deflate.compress(rows) for rows in _filtered(picture.samples)]
    packed.append(deflate.flush())
    return _join([*chunks, *((b"IDAT", part) for part in packed if part), (b"IEND", b"")])


def _split(data: bytes) -> tuple[list[Chunk], int]:
    """(all chunks up to IEND, number of bytes behind it); ArpcError for a cut or damaged file."""
    chunks: list[Chunk] = []
    at = len(SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        if len(data) < at + 12:
            raise ArpcError("the PNG file ends early")
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if len(data) < end:
            raise ArpcError("the PNG file ends early")
        if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise ArpcError(f"damaged PNG: checksum of chunk {len(chunks) + 1}")
        if not name.isalpha() or (name[:1].isupper() and name not in _CRITICAL):
            raise ArpcError(f"this PNG needs a reader that knows its chunk {name.decode('latin-1')!r}")
        chunks.append((name, data[at + 8 : end - 4]))
        at = end
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise ArpcError("damaged PNG: no header")
    return chunks, len(data) - at


def _join(chunks: Iterable[Chunk]) -> bytes:
    out = bytearray(SIGNATURE)
    for name, body in chunks:
        out += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
    return bytes(out)


def _check_rows(chunks: list[Chunk], size: int) -> None:
    """ArpcError when less than `size` bytes of rows are in a file: Pillow would set the missing rows to 0."""
    inflate, found = zlib.decompressobj(), 0
    for body in (body for name, body in chunks if name == b"IDAT"):
        while body and found < size and not inflate.eof:
            found += len(inflate.decompress(body, _BAND))
            body = inflate.unconsumed_tail
    # All input may be taken while the last bytes wait for room.
    if found + len(inflate.decompress(b"", size)) < size:
        raise ArpcError("the PNG file ends early")


def _rows_size(width: int, height: int, bits: int, interlaced: int) -> int:
    """Bytes of all rows of pixels of `bits` bits, with the filter type before each."""
    total = 0
    for top, left, down, right in _PASSES if interlaced else ((0, 0, 1, 1),):
        rows, columns = -((top - height) // down), -((left - width) // right)
        total += rows * (1 + -(-columns * bits // 8)) if columns else 0
    return total


def _pixels(stream: bytes, depth: int, colour_type: int) -> Samples:
    """Samples [H, W, C] of a PNG without ancillary chunks; palette indices [H, W, 1] for a palette."""
    if depth == 16 and colour_type != _GREY:
        samples: Samples = deep_codecs().png_decode(stream)
        return samples
    with Image.open(BytesIO(stream), formats=["PNG"]) as image:
        return np.array(image)[..., None] if image.mode == "P" else samples_of(image)[0]


def _coloured(indices_hw1: Samples, palette: bytes, alpha: bytes) -> NDArray[np.uint8]:
    """Indices [H, W, 1] through a palette -> RGB, or RGBA when some of its colours have alpha."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    if indices_hw1.max() >= len(colours) or len(alpha) > len(colours):
        raise ArpcError("damaged PNG: the palette is too short")
    if alpha:
        column = np.frombuffer(alpha.ljust(len(colours), b"\xff"), np.uint8)
        colours = np.concatenate([colours, column[:, None]], axis=1)
    return colours[indices_hw1[..., 0]]


def _metadata(chunks: list[Chunk]) -> tuple[dict[str, Any], list[str]]:
    """(metadata of an ExactPicture, key (tRNS) and palette, the first of each; a line on what else the file has)."""
    found: dict[str, Any] = {}
    texts: list[Text] = []
    others, room = set(), MAX_INFLATED
    for name, body in chunks:
        kind, value = _value(name, body, found)
        if (name, body) == _SQUARE_PIXELS:
            continue
        if value and found.setdefault(kind, value) is value:
            continue
        # What a file may inflate to is limited, whatever the number of its texts.
        text = from_png(name, body, room) if name in _TEXTS and not value else None
        if text:
            room -= len(text.text)
            texts.append(text)
        elif name not in _CRITICAL:
            others.add(name.decode())
    profiles, kept = without_profiles(texts, found)
    left_out = [f"PNG chunks not kept: {', '.join(sorted(others))}"] if others else []
    return {**found, **profiles, "texts": kept}, left_out


def _value(name: bytes, body: bytes, found: Container[str]) -> tuple[str, Any]:
    """(what a chunk holds, its value; None when it is no more than a text, or cannot be read).

    What is `found` already is not inflated again: a file may say it a thousand times.
    """
    if name in (b"tRNS", b"PLTE"):
        return {b"tRNS": "key", b"PLTE": "palette"}[name], body
    if name == b"eXIf":
        return "exif", body
    if name in _AS_IS:
        return _AS_IS[name], body if len(body) == COLOURS[_AS_IS[name]] else None
    if name == b"pHYs" and len(body) == 9 and body[8] in (0, 1):
        x, y, metric = struct.unpack(">IIB", body)
        return "resolution", Resolution.of(x, y, Unit.METRE if metric else Unit.NONE)
    if name == b"iCCP":
        _, _, packed = body.partition(b"\0")
        return "icc", _AGAIN if "icc" in found else inflate(packed[1:])
    if name == b"iTXt" and body.startswith(_XMP):
        compressed, rest = body[len(_XMP) : len(_XMP) + 1], body[len(_XMP) + 2 :]
        *tags, text = rest.split(b"\0", 2)
        if len(tags) == 2:
            return "xmp", _AGAIN if "xmp" in found else inflate(text) if compressed == b"\1" else text
    return "", None


def _filtered(samples: Samples) -> Iterator[bytes]:
    """Rows in bands, each row behind the type of the filter whose residuals have the smallest sum (PNG, 12.7)."""
    height, width, channels = samples.shape
    step = channels * samples.itemsize
    band = max(1, _BAND // (width * step))
    above = np.zeros((1, width * step), np.uint8)
    for top in range(0, height, band):
        part = samples[top : top + band]
        rows = part.astype(part.dtype.newbyteorder(">")).view(np.uint8).reshape(len(part), -1)
        up = np.concatenate([above, rows[:-1]])
        left, corner = np.zeros_like(rows), np.zeros_like(rows)
        left[:, step:], corner[:, step:] = rows[:, :-step], up[:, :-step]
        mean = ((left.astype(np.uint16) + up) // 2).astype(np.uint8)
        residuals = np.stack([rows, rows - left, rows - up, rows - mean, rows - _paeth(left, up, corner)])
        best = np.minimum(residuals, -residuals).sum(axis=2, dtype=np.int64).argmin(axis=0)
        chosen = residuals[best, np.arange(len(rows))]
        yield np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1).tobytes()
        above = rows[-1:]


def _paeth(left: NDArray[np.uint8], up: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    a, b, c = (plane.astype(np.int16) for plane in (left, up, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, corner))
