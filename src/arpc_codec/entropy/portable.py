"""constriction's queue coder in Python, for machines that it has no wheels for: the same streams, more slowly.

Words of 32 bits, a state of 64, probabilities of 24; the steps are in formats/arpc-v1.md, "Range coder". What is here
has the names and arguments of constriction, as far as they are used; tests/entropy compare the two.
"""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
import numpy.typing as npt

_PARTS = 24
_WORD, _STATE = (1 << 32) - 1, (1 << 64) - 1

# [n, m + 1]: where each of m cells begins in 2^24 parts, and where the last one ends.
Edges = npt.NDArray[np.int64]


class Bernoulli:
    """Bits with P(bit = 1), multiples of 2^-16."""

    def __init__(self, *, perfect: bool) -> None:
        assert not perfect

    def edges(self, p1: npt.NDArray[np.float64]) -> Edges:
        """[n, 3] of probabilities (n,)."""
        return Categorical(perfect=False).edges(np.stack([1 - p1, p1], 1))


class Categorical:
    """Cells with probabilities that are multiples of 2^-20."""

    def __init__(self, *, perfect: bool) -> None:
        assert not perfect

    def edges(self, probabilities: npt.NDArray[np.float64]) -> Edges:
        """[n, m + 1] of probabilities [n, m]."""
        count, cells = probabilities.shape
        found = np.full((count, cells + 1), 1 << _PARTS, np.int64)
        before = np.cumsum(probabilities, 1) - probabilities
        found[:, :-1] = np.floor(before * ((1 << _PARTS) - cells)).astype(np.int64) + np.arange(cells)
        return found


class RangeEncoder:
    """Symbols to words."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self._low, self._range = 0, _STATE

    def encode(
        self,
        symbols: npt.NDArray[np.int32],
        family: Bernoulli | Categorical,
        probabilities: npt.NDArray[np.float64],
    ) -> None:
        """Append symbols (n,) with their probabilities, (n,) or [n, m]."""
        edges, rows = family.edges(probabilities), np.arange(len(symbols))
        starts, ends = edges[rows, symbols].tolist(), edges[rows, symbols + 1].tolist()
        low, size = self._low, self._range
        for start, end in zip(starts, ends, strict=True):
            unit = size >> _PARTS
            low += unit * start
            if low > _STATE:
                low &= _STATE
                _carry(self._words)
            size = unit * (end - start)
            if size <= _WORD:
                self._words.append(low >> 32)
                low, size = (low & _WORD) << 32, size << 32
        self._low, self._range = low, size

    def get_compressed(self) -> npt.NDArray[np.uint32]:
        """The words of a number in the interval of all symbols so far."""
        words = self._words.copy()
        if self._range != _STATE:
            point = self._low + _WORD
            if point > _STATE:
                point &= _STATE
                _carry(words)
            words.append(point >> 32)
            if (self._low + self._range & _STATE) >> 32 == words[-1]:
                words.append(0)
        return np.array(words, np.uint32)

    def pos(self) -> tuple[int, tuple[int, int]]:
        """(words so far, (start of the interval modulo 2^64, its size))."""
        return len(self._words), (self._low, self._range)


def _carry(words: list[int]) -> None:
    """Add 1 to the number that the words are."""
    at = len(words) - 1
    while at >= 0 and words[at] == _WORD:
        words[at] = 0
        at -= 1
    if at >= 0:
        words[at] += 1


class RangeDecoder:
    """Words, behind which zeros follow, to symbols."""

    def __init__(self, words: npt.NDArray[np.uint32]) -> None:
        self._rest = iter(words.tolist())
        self._low, self._range = 0, _STATE
        self._point = next(self._rest, 0) << 32 | next(self._rest, 0)

    def decode(self, family: Bernoulli | Categorical, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
        """The next symbols (n,) for probabilities (n,) or [n, m]. Raises AssertionError for impossible words."""
        found = []
        low, size, point = self._low, self._range, self._point
        for edges in family.edges(probabilities).tolist():
            unit = size >> _PARTS
            part = ((point - low) & _STATE) // unit
            if part >> _PARTS:
                raise AssertionError("impossible words")
            symbol = bisect_right(edges, part) - 1
            low = (low + unit * edges[symbol]) & _STATE
            size = unit * (edges[symbol + 1] - edges[symbol])
            if size <= _WORD:
                low, size = (low & _WORD) << 32, size << 32
                point = (point & _WORD) << 32 | next(self._rest, 0)
            found.append(symbol)
        self._low, self._range, self._point = low, size, point
        return np.array(found, np.int32)
