"""Small signed integers <-> bytes: magnitudes in unary with the shares of each level sent along, signs as fair bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from arpc_codec.container.cursor import Cursor
from arpc_codec.entropy.bits import BitDecoder, BitEncoder
from arpc_codec.errors import FormatError

Integers = npt.NDArray[np.int8]
# Shares are sent as one byte: of 256 parts, how many go on to the next level; 0 ends the list.
PARTS = 256
# Largest magnitude.
LEVELS = 127


def _counts(share: int, size: int) -> npt.NDArray[np.int32]:
    return np.full(size, share * (65536 // PARTS), np.int32)


def encode_integers(groups: Sequence[Integers]) -> bytes:
    """Groups of one distribution each, values within +-127, one after the other."""
    heads, coder = bytearray(), BitEncoder()
    for values in groups:
        magnitude = np.abs(values.astype(np.int32))
        for level in range(LEVELS):
            left = magnitude[magnitude >= level]
            more = (left > level).astype(np.int32)
            if not more.any():
                break
            share = int(np.clip(round(PARTS * more.mean()), 1, PARTS - 1))
            heads.append(share)
            coder.encode(more, _counts(share, len(more)))
        heads.append(0)
        signs = (values[values != 0] < 0).astype(np.int32)
        coder.encode(signs, _counts(PARTS // 2, len(signs)))
    return bytes(heads) + coder.seal()


def decode_integers(data: bytes, sizes: Sequence[int]) -> list[Integers]:
    """Groups of these sizes. Raises FormatError for what the encoder cannot have written."""
    cursor, shares = Cursor(data), []
    for _ in sizes:
        own: list[int] = []
        while (share := cursor.byte()) != 0:
            own.append(share)
        if len(own) > LEVELS:
            raise FormatError("an adapter's numbers are too large")
        shares.append(own)
    decoder, result = BitDecoder(cursor.take(cursor.remaining)), []
    for size, own in zip(sizes, shares, strict=True):
        magnitude = np.zeros(size, np.int8)
        for level, share in enumerate(own):
            left = np.flatnonzero(magnitude == level)
            magnitude[left] += decoder.decode(_counts(share, len(left))).astype(np.int8)
        there = np.flatnonzero(magnitude)
        magnitude[there] *= 1 - 2 * decoder.decode(_counts(PARTS // 2, len(there))).astype(np.int8)
        result.append(magnitude)
    return result
