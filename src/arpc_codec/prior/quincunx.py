"""An order for the positions of a map in few passes, each of which sees neighbours on all sides.

The first pass is a coarse square lattice. Then the lattice is refined by quincunx steps: the centres of its squares,
whose known neighbours are on the diagonals, then the middles of its edges, whose known neighbours are on the axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

CENTRES = ((-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -3), (-1, 3), (1, -3), (1, 3), (-3, -1), (-3, 1), (3, -1), (3, 1))
EDGES = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -2), (-1, 2), (1, -2), (1, 2), (-2, -1), (-2, 1), (2, -1), (2, 1))
AROUND = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1))
NEAR = len(EDGES)
# Distances 1, 2, 4 and 8; larger ones count as 8.
LEVELS = 4
PLACES = 1 + 2 * LEVELS


@dataclass(frozen=True)
class Pass:
    """positions: flat, [n], in raster order. neighbours: flat, [n, 12], rows * cols for what is outside or unknown.

    place: 0 for the first pass, else which kind of step at which distance, below PLACES.
    """

    place: int
    positions: Tensor
    neighbours: Tensor


def passes(rows: int, cols: int) -> Iterator[Pass]:
    """Every position of a map once; neighbours belong to earlier passes. Passes without positions are left out."""
    distance = 1
    while 2 * distance < max(rows, cols):
        distance *= 2
    row, col = _grid(0, distance, rows, cols)
    yield Pass(0, row * cols + col, torch.full((len(row), NEAR), rows * cols))
    while distance > 1:
        distance //= 2
        level = min(distance.bit_length(), LEVELS)
        centres = _grid(distance, 2 * distance, rows, cols)
        row, col = _grid(0, distance, rows, cols)
        odd = (row + col) // distance % 2 == 1
        for place, (row, col), offsets in (
            (2 * level - 1, centres, CENTRES),
            (2 * level, (row[odd], col[odd]), EDGES),
        ):
            if len(row):
                yield Pass(place, row * cols + col, _table(row, col, offsets, distance, rows, cols))


def around(rows: int, cols: int) -> Tensor:
    """[rows * cols, 9] flat positions of the 3x3 neighbourhood of each, rows * cols for what is outside."""
    return _table(*_grid(0, 1, rows, cols), AROUND, 1, rows, cols)


def gathered(maps_pc: Tensor, table: Tensor) -> Tensor:
    """Maps [..., P + 1, C], the last row for what is outside, and a table [n, k] -> [..., n, k C]."""
    return maps_pc.index_select(-2, table.flatten()).unflatten(-2, table.shape).flatten(-2)


class Lattice(NamedTuple):
    """All passes of a map, put into raster order: neighbours [P, 12], place [P]; and its 3x3 neighbourhoods [P, 9]."""

    neighbours: Tensor
    place: Tensor
    around: Tensor


@lru_cache(16)
def lattice(rows: int, cols: int) -> Lattice:
    """Tables of a map for computing all positions at once."""
    neighbours = torch.empty((rows * cols, NEAR), dtype=torch.int64)
    place = torch.empty(rows * cols, dtype=torch.int64)
    for step in passes(rows, cols):
        neighbours[step.positions], place[step.positions] = step.neighbours, step.place
    return Lattice(neighbours, place, around(rows, cols))


def _grid(start: int, step: int, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Rows and columns [n] of a square lattice, in raster order."""
    row, col = torch.arange(start, max(rows, start), step), torch.arange(start, max(cols, start), step)
    return row.repeat_interleave(len(col)), col.repeat(len(row))


def _table(
    row: Tensor, col: Tensor, offsets: tuple[tuple[int, int], ...], distance: int, rows: int, cols: int
) -> Tensor:
    down, right = (distance * torch.tensor(offsets)).unbind(1)
    row, col = row[:, None] + down, col[:, None] + right
    inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
    return torch.where(inside, row * cols + col, rows * cols)
