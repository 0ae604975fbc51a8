"""What may be handed bytes from outside: one function a parser, which ends well or raises ArpcError, nothing else."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from arpc_codec.container import METADATA, info, read, to_chunk, truncate, value_of, write
from arpc_codec.errors import ArpcError
from arpc_codec.imageio import read as read_picture
from arpc_codec.imageio import read_exact
from arpc_codec.imageio.alpha import unpack_alpha
from arpc_codec.packets import join, sort_out

VECTORS = Path(__file__).resolve().parents[2] / "formats" / "vectors"
# What an input may claim here: larger pictures are refused, so that a run tries many inputs a second.
MAX_PIXELS = 1 << 14


def container(data: bytes) -> None:
    """Header, segments, captions, chunks: what parses whole is written back byte for byte."""
    found = read(data, max_pixels=MAX_PIXELS)
    assert sum(field.length for field in info(data, max_pixels=MAX_PIXELS).fields) == len(data)
    for chunk in found.chunks:
        if chunk.name in METADATA:
            with contextlib.suppress(ArpcError):
                if value := value_of(chunk):
                    assert value_of(to_chunk(chunk.name, value)) == value
    if not found.truncated and found.sound:
        assert write(found) == data
        assert read(truncate(data, scales=1, max_pixels=MAX_PIXELS), max_pixels=MAX_PIXELS).segments


def packets(data: bytes) -> None:
    """A length byte before every packet; what joins is a file that parses."""
    blobs = []
    while data:
        size = 1 + data[0] * 2
        blobs.append(data[1 : 1 + size])
        data = data[1 + size :]
    good, _ = sort_out(blobs, max_pixels=MAX_PIXELS)
    if good:
        read(join(good).data, max_pixels=MAX_PIXELS)


def pictures(data: bytes) -> None:
    """PNG, TIFF, PNM, PAM and whatever Pillow opens, reduced to 8 bits and as they are."""
    for reader in (read_picture, read_exact):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                reader(data, max_pixels=MAX_PIXELS)
            except ArpcError:
                continue


def alpha(data: bytes) -> None:
    """The alpha plane of a picture of 16x24."""
    assert unpack_alpha(data, 16, 24).shape == (16, 24)


def picture_seeds() -> list[bytes]:
    """Small pictures in every format that is read by own code."""
    grid = np.arange(9 * 7 * 3, dtype=np.uint8).reshape(9, 7, 3)
    seeds = []
    for mode in ("L", "RGB", "RGBA", "P", "I;16"):
        image = Image.fromarray(grid).convert("L" if mode == "I;16" else mode)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
        for format, options in (("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_deflate"})):
            stream = io.BytesIO()
            image.save(stream, format, **options)
            seeds.append(stream.getvalue())
    seeds += [*described_seeds(grid)]
    return [*seeds, b"P5 7 9 255\n" + grid.tobytes()[:63], b"P6 7 9 255\n" + grid.tobytes(), b"P1 2 2 1 0 0 1"]


def described_seeds(grid: np.ndarray) -> Iterator[bytes]:
    """Pictures that say what their colours are, and how they lie."""
    xmp = b"<x xmlns:t='http://ns.adobe.com/tiff/1.0/' t:Orientation='6'/>"
    exif = Image.Exif()
    exif[0x0112] = 8
    p3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
    chunks = PngInfo()
    chunks.add(b"cICP", bytes([12, 13, 0, 1]))
    chunks.add(b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in p3)))
    chunks.add(b"gAMA", struct.pack(">I", 100_000))
    ways: list[tuple[str, dict[str, Any]]] = [
        ("PNG", {"pnginfo": chunks, "exif": exif}),
        ("TIFF", {"tiffinfo": {274: 6, 318: p3[:2], 319: p3[2:], 700: xmp}}),
        ("TIFF", {"tiffinfo": {700: xmp}, "big_tiff": True}),
    ]
    for format, options in ways:
        stream = io.BytesIO()
        Image.fromarray(grid).save(stream, format, **options)
        yield stream.getvalue()


def file_seeds() -> list[bytes]:
    """The files of the format's vectors, good and bad."""
    return [path.read_bytes() for path in sorted(VECTORS.rglob("*.arpc"))]


def packet_seeds() -> list[bytes]:
    """The packets of the vectors, each alone and some together."""
    blobs = [path.read_bytes() for path in sorted(VECTORS.rglob("*.packet"))]
    framed = [bytes([(len(blob) - 1) // 2]) + blob for blob in blobs if len(blob) % 2 and len(blob) < 512]
    return [*framed, b"".join(framed[:4]), *blobs]


def alpha_seeds() -> list[bytes]:
    """Planes in every way they are packed."""
    from arpc_codec.imageio.alpha import pack_alpha

    planes = (np.zeros((16, 24)), np.full((16, 24), 255), np.arange(384).reshape(16, 24) % 256)
    return [pack_alpha(plane.astype(np.uint8)) for plane in planes]


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], list[bytes]]]] = {
    "container": (container, file_seeds),
    "packets": (packets, packet_seeds),
    "pictures": (pictures, picture_seeds),
    "alpha": (alpha, alpha_seeds),
}


def survive(name: str, data: bytes) -> bool:
    """True when the input was taken, False when it was refused; anything else is a bug."""
    try:
        TARGETS[name][0](data)
    except ArpcError:
        return False
    return True
