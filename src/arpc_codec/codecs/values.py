"""Histogram packing: samples that use few of their values are coded as ranks among those."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from arpc_codec.container.cursor import Cursor
from arpc_codec.container.varint import encode_varint
from arpc_codec.errors import FormatError

# Samples are below this.
MOST = 1 << 16
# Samples that are counted at a time.
CHUNK = 1 << 20


@dataclass(frozen=True)
class Values:
    """used [C]: per channel the values that occur, rising, or None where samples are coded as they are. bits: depth."""

    used: tuple[np.ndarray | None, ...]
    bits: int


def choose(samples_hwc: np.ndarray) -> Values:
    """Packing for uint8 or uint16 samples: tables for all channels if they save more bits than they cost, or none.

    One channel alone would lose what its steps have in common with those of the others.
    """
    planes = list(np.moveaxis(samples_hwc, 2, 0))
    tables = tuple(np.flatnonzero(_counts(plane.ravel())) for plane in planes)
    ranks = (_ranks(plane, used) for plane, used in zip(planes, tables, strict=True))
    saved = sum(_step_bits(plane) - _step_bits(rank) for plane, rank in zip(planes, ranks, strict=True))
    if saved > 8 * sum(len(_table(used)) for used in tables):
        return Values(tables, max(1, (max(map(len, tables)) - 1).bit_length()))
    return Values((None,) * len(planes), max(1, int(samples_hwc.max()).bit_length()))


def _step_bits(plane: np.ndarray) -> float:
    """About what the distances from sample to sample cost: a few values far apart cost less as ranks, while values
    that are merely missing by chance in a small picture hardly do."""
    flat = plane.ravel()
    parts = (flat[start : start + CHUNK + 1].astype(np.int64) for start in range(0, flat.size, CHUNK))
    steps = sum(_counts(np.abs(np.diff(part))) for part in parts)
    return float((steps * np.log2(1 + np.arange(MOST))).sum())


def _counts(values_n: np.ndarray) -> np.ndarray:
    """How often each value below MOST occurs, in the memory of a few of them: numpy widens what it counts."""
    parts = (values_n[start : start + CHUNK] for start in range(0, values_n.size, CHUNK))
    return sum((np.bincount(part, minlength=MOST) for part in parts), np.zeros(MOST, np.int64))


def pack(samples_hwc: np.ndarray, values: Values) -> np.ndarray:
    """int32 [..., H, W, C] below 2^bits."""
    packed = samples_hwc.astype(np.int32)
    for c, used in enumerate(values.used):
        if used is not None:
            packed[..., c] = _ranks(samples_hwc[..., c], used)
    return packed


def _ranks(plane_hw: np.ndarray, used: np.ndarray) -> np.ndarray:
    """int32: the place of each sample among the used values."""
    ranks = np.zeros(int(used[-1]) + 1, np.int32)
    ranks[used] = np.arange(len(used))
    return ranks[plane_hw]


def unpack(packed_hwc: np.ndarray, values: Values, dtype: type[np.unsignedinteger]) -> np.ndarray:
    """Samples [H, W, C]; undoes `pack`. Raises FormatError for a number that stands for no value."""
    planes = []
    for c, used in enumerate(values.used):
        plane = packed_hwc[..., c]
        if plane.size and int(plane.max()) >= (1 << values.bits if used is None else len(used)):
            raise FormatError("a sample has no value")
        if used is not None:
            plane = used[plane]
        planes.append(plane)
    return np.stack(planes, -1).astype(dtype)


def write_values(values: Values) -> bytes:
    """Depth, then per channel the length of its table (0: none) and the table."""
    out = bytes([values.bits])
    for used in values.used:
        table = b"" if used is None else _table(used)
        out += encode_varint(len(table)) + table
    return out


def read_values(cursor: Cursor, channels: int, depth: int) -> Values:
    """What `write_values` wrote for samples of `depth` bits. Raises FormatError."""
    bits = cursor.byte()
    if not 1 <= bits <= depth:
        raise FormatError(f"{bits} bits a sample do not fit a depth of {depth}")
    tables: list[np.ndarray | None] = []
    for _ in range(channels):
        size = cursor.varint()
        tables.append(_used(cursor.take(size), depth) if size else None)
        used = tables[-1]
        if used is not None and len(used) > 1 << bits:
            raise FormatError("a table holds more values than there are ranks")
    return Values(tuple(tables), bits)


def _table(used: np.ndarray) -> bytes:
    """zlib of the bit map of used values."""
    present = np.zeros(int(used[-1]) + 1, np.uint8)
    present[used] = 1
    return zlib.compress(np.packbits(present).tobytes(), 9)


def _used(table: bytes, depth: int) -> np.ndarray:
    limit = (1 << depth) // 8
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(table, limit + 1)
    except zlib.error as error:
        raise FormatError("a table of values is damaged") from error
    if len(raw) > limit or not reader.eof or reader.unused_data:
        raise FormatError("a table of values is damaged")
    used = np.flatnonzero(np.unpackbits(np.frombuffer(raw, np.uint8)))
    if not len(used):
        raise FormatError("a table of values is empty")
    return used
