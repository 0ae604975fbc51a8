"""Tiles without the prior: filtered as in PNG and deflated. For screenshots and specks."""

from __future__ import annotations

import zlib
from math import prod

import numpy as np

from arpc_codec.errors import FormatError


def deflated(tile_hwc: np.ndarray, bits: int) -> bytes:
    """zlib of the samples, or of their steps down the columns: low bytes, then (above 8 bits) high bytes."""
    above = np.concatenate([np.zeros_like(tile_hwc[:1]), tile_hwc[:-1]])
    plain, filtered = (_planes(x, bits) for x in (tile_hwc, tile_hwc - above))
    return min((b"\0" + zlib.compress(plain, 9), b"\1" + zlib.compress(filtered, 9)), key=len)


def read_deflated(data: bytes, shape: tuple[int, int, int], bits: int) -> np.ndarray:
    """int32 [H, W, C]; undoes `deflated`. Raises FormatError."""
    size = prod(shape) * (1 if bits <= 8 else 2)
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(data[1:], size + 1) if data else b""
    except zlib.error as error:
        raise FormatError("a deflated tile is damaged") from error
    if len(plain) != size or not reader.eof or reader.unused_data or data[0] > 1:
        raise FormatError("a deflated tile is damaged")
    parts = np.frombuffer(plain, np.uint8).reshape(-1, *shape).astype(np.int32)
    tile = parts[0] if bits <= 8 else parts[0] | parts[1] << 8
    if data[0]:
        tile = np.cumsum(tile, 0) & (0xFF if bits <= 8 else 0xFFFF)
    if int(tile.max()) >> bits:
        raise FormatError("a deflated tile is damaged")
    return tile.astype(np.int32)


def _planes(x: np.ndarray, bits: int) -> bytes:
    low = (x & 0xFF).astype(np.uint8).tobytes()
    return low if bits <= 8 else low + (x >> 8 & 0xFF).astype(np.uint8).tobytes()
