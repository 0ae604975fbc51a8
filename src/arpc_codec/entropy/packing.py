"""Integers of a fixed number of bits <-> bytes, for what no probability makes shorter."""

from __future__ import annotations

from math import prod

import numpy as np

from arpc_codec.errors import FormatError


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """Values below 2^bits, highest bit first, one after the other, filled up with 0 to whole bytes."""
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits((values.reshape(-1, 1) >> shifts & 1).astype(np.uint8)).tobytes()


def unpack_bits(data: bytes, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """int32 of that shape; undoes `pack_bits`. Raises FormatError when the length does not fit."""
    count = prod(shape)
    if len(data) != -(-count * bits // 8):
        raise FormatError(f"{len(data)} bytes do not hold {count} values of {bits} bits")
    flags = np.unpackbits(np.frombuffer(data, np.uint8), count=count * bits).reshape(count, bits)
    return (flags.astype(np.int32) << np.arange(bits - 1, -1, -1)).sum(1, dtype=np.int32).reshape(shape)
