"""What ARPC's own coding of tokens takes: a codeword and a flag bit for every token (PAPERS 1.4).

Every token is coded apart, by a textbook binary arithmetic coder of 32 bits (Witten, Neal and Cleary 1987); where
its codeword is not shorter than its bits, the flag says that they follow as they are. A codeword ends as in the
textbook, so that the next one can follow it in a file: whatever comes behind it, it decodes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..entropy import PROBABILITY_BITS

_TOP, _SECOND, _ALL = np.uint64(1 << 31), np.uint64(1 << 30), np.uint64((1 << 32) - 1)
_ONE = np.uint64(1)


def codeword_lengths(bits_nd: NDArray[np.bool_], counts_nd: NDArray[np.integer]) -> NDArray[np.int64]:
    """Bits [n] of the codeword of each of n tokens of d bits, whose P(1) is counts / 65536."""
    low, high = np.zeros(len(bits_nd), np.uint64), np.full(len(bits_nd), _ALL)
    length, put_off = np.zeros((2, len(bits_nd)), np.int64)
    for bits, ones in zip(bits_nd.T, counts_nd.T.astype(np.uint64), strict=True):
        split = low + (((high - low + _ONE) * ((1 << PROBABILITY_BITS) - ones)) >> np.uint64(PROBABILITY_BITS))
        low, high = np.where(bits, split, low), np.where(bits, high, split - _ONE)
        while (moved := (settled := _settled(low, high)) | _about_middle(low, high)).any():
            # A settled bit is written with those that were put off while the interval lay about the middle.
            length += np.where(settled, 1 + put_off, 0)
            put_off = np.where(settled, 0, put_off + moved)
            turned = np.where(settled, 0, _TOP).astype(np.uint64)
            low = np.where(moved, ((low << _ONE) & _ALL) ^ turned, low)
            high = np.where(moved, (((high << _ONE) & _ALL) | _ONE) ^ turned, high)
    # Two bits, and those that were put off between them, pick a quarter inside what is left.
    return length + put_off + 2


def _settled(low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return (low ^ high) & _TOP == 0


def _about_middle(low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return low & ~high & _SECOND != 0


def published_bits(bits_nd: NDArray[np.bool_], counts_nd: NDArray[np.integer]) -> int:
    """Bits that the tokens of a scale take in all, flags included; d are the active bits of a token.

    Bits that a group mask silences are not counted: published files hold them, but their model predicts them well.
    """
    n, d = bits_nd.shape
    return int(n + np.minimum(codeword_lengths(bits_nd, counts_nd), d).sum())
