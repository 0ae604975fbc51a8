"""The alpha plane as chunk bytes: PNG's Sub filter and zlib (formats/arpc-v1.md)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from arpc_codec.errors import FormatError
from arpc_codec.tile import Tile

_SUB = 1
# Of rows that are inflated at a time.
BAND_BYTES = 1 << 24


def pack_alpha(alpha_hw: NDArray[np.uint8]) -> bytes:
    """uint8 [H, W] -> zlib stream of its rows, each behind filter byte 1 and Sub-filtered."""
    height, width = alpha_hw.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _SUB
    rows[:, 1] = alpha_hw[:, 0]
    rows[:, 2:] = alpha_hw[:, 1:] - alpha_hw[:, :-1]
    return zlib.compress(rows.data, 9)


def unpack_alpha(data: bytes, height: int, width: int, area: Tile | None = None) -> NDArray[np.uint8]:
    """Chunk bytes -> uint8 [height, width], or what is in `area`; FormatError on anything but exactly one whole plane.

    Never inflates more than the plane needs, whatever the stream claims, and some rows at a time.
    """
    area = area or Tile(0, 0, height, width)
    alpha_hw = np.empty((area.height, area.width), np.uint8)
    inflate, step = zlib.decompressobj(), max(1, BAND_BYTES // (width + 1))
    try:
        for top in range(0, height, step):
            band = Tile(top, 0, min(step, height - top), width)
            rows = _rows(inflate, data if top == 0 else inflate.unconsumed_tail, band)
            if found := band.meet(area):
                alpha_hw[found.within(area).window] = rows[found.within(band).window]
        surplus = b"" if inflate.eof else inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error as error:
        raise FormatError(f"the alpha plane is damaged ({error})") from error
    if surplus or not inflate.eof or inflate.unused_data:
        raise FormatError(f"the alpha plane does not fit a {width} x {height} picture")
    return alpha_hw


def _rows(inflate: zlib._Decompress, data: bytes, band: Tile) -> NDArray[np.uint8]:
    """The next rows of a plane. Raises FormatError when they are not there, zlib.error as due."""
    size = band.height * (band.width + 1)
    plane = inflate.decompress(data, size)
    if len(plane) != size:
        raise FormatError("the alpha plane ends early")
    rows = np.frombuffer(plane, np.uint8).reshape(band.height, band.width + 1)
    if (rows[:, 0] != _SUB).any():
        raise FormatError("the alpha plane has a row filter other than Sub")
    return np.cumsum(rows[:, 1:], axis=1, dtype=np.uint8)
