"""The alpha plane as chunk bytes: PNG's Sub filter and zlib (formats/arpc-v1.md)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from arpc_codec.errors import FormatError

_SUB = 1


def pack_alpha(alpha_hw: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W] -> zlib stream of its rows, each behind filter byte 1 and Sub-filtered."""
    height, width = alpha_hw.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _SUB
    rows[:, 1] = alpha_hw[:, 0]
    rows[:, 2:] = alpha_hw[:, 1:] - alpha_hw[:, :-1]
    return zlib.compress(rows.tobytes(), 9)


def unpack_alpha(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Chunk bytes -> uint8 [height, width]; FormatError on anything but exactly one whole plane.

    Never inflates more than the plane needs, whatever the stream claims.
    """
    size = height * (width + 1)
    inflate = zlib.decompressobj()
    try:
        plane = inflate.decompress(data, size)
        surplus = b"" if inflate.eof else inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error as error:
        raise FormatError(f"the alpha plane is damaged ({error})") from error
    if len(plane) != size or surplus or not inflate.eof or inflate.unused_data:
        raise FormatError(f"the alpha plane does not fit a {width} x {height} picture")
    rows = np.frombuffer(plane, np.uint8).reshape(height, width + 1)
    if (rows[:, 0] != _SUB).any():
        raise FormatError("the alpha plane has a row filter other than Sub")
    return np.cumsum(rows[:, 1:], axis=1, dtype=np.uint8)
