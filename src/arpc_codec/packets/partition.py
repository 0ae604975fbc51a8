"""Which positions of a latent, or which bytes, a packet holds: by rule, so that packets need no list."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np


def run(length: int, count: int, number: int) -> slice:
    """The part of `length` things in a row that packet `number` of `count` holds."""
    return slice(number * length // count, (number + 1) * length // count)


@dataclass(frozen=True)
class Partition:
    """A latent in packets. order: all positions, in raster numbers, packet by packet; packet p starts at bounds[p]."""

    order: np.ndarray
    bounds: np.ndarray

    @property
    def largest(self) -> int:
        """Positions of the packet that has most."""
        return int(np.diff(self.bounds).max())

    def positions(self, number: int) -> np.ndarray:
        """Raster numbers of the positions of a packet, rising."""
        return self.order[self.bounds[number] : self.bounds[number + 1]]


@lru_cache(maxsize=8)
def partition(rows: int, cols: int, count: int, interleaved: bool) -> Partition:
    """A latent of rows x cols in `count` packets, of which some may be empty: lattices, or runs in raster order."""
    size = rows * cols
    if not interleaved:
        return Partition(np.arange(size), np.array([run(size, count, number).start for number in range(count + 1)]))
    row, col = np.divmod(np.arange(size, dtype=np.int64), cols)
    owner = (col + slant(count) * row) % count
    return Partition(np.argsort(owner, kind="stable"), np.searchsorted(np.sort(owner), np.arange(count + 1)))


@lru_cache(maxsize=64)
def slant(count: int) -> int:
    """The m for which the positions with (column + m row) mod count = 0 are farthest apart; the lowest of equal ones.

    What one lost packet lacks then has neighbours on all sides as soon as there are enough packets.
    """
    m = np.arange(count, dtype=np.int64)
    # Squared distance to the nearest such position, row after row; none is farther than in the hexagonal lattice.
    nearest = np.full(count, count * count, np.int64)
    for rows in range(1, isqrt(2 * count) + 2):
        across = m * rows % count
        nearest = np.minimum(nearest, np.minimum(across, count - across) ** 2 + rows * rows)
    return int(nearest.argmax())
