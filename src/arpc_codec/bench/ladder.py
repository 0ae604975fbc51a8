"""The smallest file of a codec that is not smaller than a wanted size, with few encodes."""

from __future__ import annotations

import math
from collections.abc import Callable

_LONGEST_STEP = 8


class Ladder:
    """File sizes over a codec's settings, which grow (nearly) from the first setting to the last."""

    def __init__(self, count: int, size_of: Callable[[int], int]) -> None:
        """`size_of(i)` encodes with setting i of `count` and returns the bytes; called once for each i."""
        self.count = count
        self._size_of = size_of
        self.sizes: dict[int, int] = {}

    def size(self, index: int) -> int:
        """Bytes at one setting."""
        if index not in self.sizes:
            self.sizes[index] = self._size_of(index)
        return self.sizes[index]

    def smallest(self) -> int:
        """Bytes at the first setting."""
        return self.size(0)

    def reach(self, wanted: int) -> int | None:
        """Setting of the smallest tried file of `wanted` bytes or more; None when even the last is smaller.

        Tries settings until two neighbours have the wanted size between them.
        """
        self.size(0)
        while True:
            above = [i for i, size in self.sizes.items() if size >= wanted]
            high = min(above, default=None)
            last = self.count if high is None else high
            low = max((i for i, size in self.sizes.items() if size < wanted and i < last), default=None)
            if low is None or (high is not None and high - low == 1):
                return min(above, key=lambda i: (self.sizes[i], i))
            if high is None and low == self.count - 1:
                return None
            self.size(self._guess(low, high, wanted))

    def _guess(self, low: int, high: int | None, wanted: int) -> int:
        """A setting between `low` and `high`, taking the logarithm of the size as linear in the setting."""
        below = math.log(self.sizes[low])
        missing = math.log(wanted) - below
        if high is None:
            rise = (below - math.log(self.sizes[0])) / low if low else 0.0
            step = math.ceil(missing / rise) if rise > 0 else _LONGEST_STEP // 2
            return min(self.count - 1, low + max(1, min(step, _LONGEST_STEP)))
        step = round((high - low) * missing / (math.log(self.sizes[high]) - below))
        return low + max(1, min(step, high - low - 1))
