"""Symbols of small alphabets <-> bytes with the range coder; probabilities are integer counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from arpc_codec.entropy.bits import Counts
from arpc_codec.entropy.rangecoder import CATEGORICAL, RangeEncoder, guarded, range_decoder
from arpc_codec.errors import UsageError

Symbols = npt.NDArray[np.int32]
# What the counts of a symbol sum to.
COUNT = 1 << 20
# [n, m], C-contiguous.
Probabilities = npt.NDArray[np.float64]


class SymbolEncoder:
    """Collects symbols with their probabilities; the string may be some bytes longer than the shortest that decodes."""

    def __init__(self) -> None:
        self._coder = RangeEncoder()

    def encode(self, symbols: Symbols, probabilities: Probabilities) -> None:
        """Append int32 symbols (n,) of 0..m-1 with what `probabilities` made of their counts, or some rows of it.

        UsageError on any other dtype, shape or symbol.
        """
        if symbols.dtype != np.int32 or symbols.shape != probabilities.shape[:1]:
            raise UsageError(f"symbols {symbols.dtype} {symbols.shape} with probabilities {probabilities.shape}")
        if symbols.size and (symbols.min() < 0 or symbols.max() >= probabilities.shape[1]):
            raise UsageError(f"symbols must be in 0..{probabilities.shape[1] - 1}")
        self._coder.encode(np.ascontiguousarray(symbols), CATEGORICAL, probabilities)

    def seal(self) -> bytes:
        """A byte string whose zero-padded decoding gives back every symbol so far."""
        words: bytes = self._coder.get_compressed().astype(">u4").tobytes()
        return words.rstrip(b"\0")

    def shortest(self) -> bytes:
        """The shortest byte string whose zero-padded decoding gives back every symbol so far, the least of its length.

        All numbers that decode form an interval; of a number in it and the interval's start modulo 2^64, which the
        coder tells, follows its start.
        """
        words, (low, size) = self._coder.pos()
        total = 4 * words + 8
        inside = int.from_bytes(self._coder.get_compressed().astype(">u4").tobytes().ljust(total, b"\0"), "big")
        start = inside - (inside - low) % (1 << 64)
        # What has a shorter string has all longer ones.
        best, length = start, total
        while length:
            unit = 8 * (total - length + 1)
            first = -(-start >> unit)
            if first << unit >= start + size:
                break
            best, length = first, length - 1
        return best.to_bytes(length, "big")


class SymbolDecoder:
    """Reads back, in the order of encoding, what a SymbolEncoder sealed."""

    def __init__(self, data: bytes) -> None:
        self._coder = range_decoder(data)

    def decode(self, probabilities: Probabilities) -> Symbols:
        """The next symbols int32 (n,) for the probabilities they were encoded with.

        FormatError when the bytes are impossible; other damage passes unnoticed.
        """
        return guarded(self._coder, CATEGORICAL, probabilities)


def probabilities(counts_nm: Counts) -> Probabilities:
    """P(j) = counts[:, j] / 2^20 of n symbols; exact, because a 20-bit count over 2^20 is, and so are partial sums.

    UsageError unless the counts are positive integers and those of a symbol sum to 2^20.
    """
    if counts_nm.dtype.kind not in "iu" or counts_nm.ndim != 2 or counts_nm.shape[1] < 2:
        raise UsageError("counts must be an integer array [n, m] with m > 1")
    if counts_nm.size and (counts_nm.min() < 1 or (counts_nm.sum(1) != COUNT).any()):
        raise UsageError("counts must be positive, and those of a symbol sum to 2^20")
    return np.ascontiguousarray(counts_nm, np.float64) / COUNT
