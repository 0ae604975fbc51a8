"""An order for the positions of a map in few passes, each of which sees neighbours on all sides.

The first pass is a coarse square lattice. Then the lattice is refined by quincunx steps: the centres of its squares,
whose known neighbours are on the diagonals, then the middles of its edges, whose known neighbours are on the axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

CENTRES = ((-1, -1), (-1, 1), (1, -1), (1, 1), (-1, -3), (-1, 3), (1, -3), (1, 3), (-3, -1), (-3, 1), (3, -1), (3, 1))
EDGES = ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -2), (-1, 2), (1, -2), (1, 2), (-2, -1), (-2, 1), (2, -1), (2, 1))
AROUND = tuple((row, col) for row in (-1, 0, 1) for col in (-1, 0, 1))
NEAR = len(EDGES)
# Spacing of the first lattice, at most: a wider one saves no bytes and costs two more passes.
FIRST = 8
# Distances 1, 2 and 4 of the steps behind it.
LEVELS = 3
# Tables of maps up to this size are kept for the next stage or picture; those of larger ones would be in the way.
KEPT = 1 << 18
PLACES = 1 + 2 * LEVELS


class Pass(NamedTuple):
    """place [n]: 0 in the first pass, else which kind of step at which distance, below PLACES.

    positions: flat, [n], in raster order. neighbours [n, 12]: flat, all of earlier passes; rows * cols for what is
    outside or unknown. around [n, 9]: the 3x3 neighbourhood, likewise.
    """

    place: Tensor
    positions: Tensor
    neighbours: Tensor
    around: Tensor


def passes(rows: int, cols: int) -> tuple[Pass, ...]:
    """Passes that have every position of a map once; those without positions are left out."""
    return _kept(rows, cols) if rows * cols <= KEPT else _made(rows, cols)


def _made(rows: int, cols: int) -> tuple[Pass, ...]:
    return tuple(step for step in _passes(rows, cols) if len(step.positions))


_kept = lru_cache(2)(_made)


def _passes(rows: int, cols: int) -> Iterator[Pass]:
    def step(place: int, row: Tensor, col: Tensor, offsets: tuple[tuple[int, int], ...]) -> Pass:
        tables = _table(row, col, offsets, distance, rows, cols), _table(row, col, AROUND, 1, rows, cols)
        return Pass(torch.full_like(row, place), row * cols + col, *tables)

    distance = 1
    while 2 * distance < max(rows, cols) and distance < FIRST:
        distance *= 2
    first = step(0, *_grid(0, distance, rows, cols), EDGES)
    yield first._replace(neighbours=torch.full_like(first.neighbours, rows * cols))
    while distance > 1:
        distance //= 2
        level = distance.bit_length()
        yield step(2 * level - 1, *_grid(distance, 2 * distance, rows, cols), CENTRES)
        row, col = _grid(0, distance, rows, cols)
        odd = (row + col) // distance % 2 == 1
        yield step(2 * level, row[odd], col[odd], EDGES)


def grouped(steps: Sequence[Pass], most: int) -> Iterator[list[Pass]]:
    """Passes that follow each other and have at most so many positions together, or one that has more."""
    group: list[Pass] = []
    for step in steps:
        if group and sum(len(one.positions) for one in (*group, step)) > most:
            yield group
            group = []
        group.append(step)
    yield group


def merged(steps: Sequence[Pass]) -> Pass:
    """Several passes as one, for computing positions whose neighbours are all known."""
    return Pass(*(torch.cat(parts) for parts in zip(*steps, strict=True)))


def gathered(maps_pc: Tensor, table: Tensor) -> Tensor:
    """Maps [..., P + 1, C], the last row for what is outside, and a table [n, k] -> [..., n, k C]."""
    return maps_pc.index_select(-2, table.flatten()).unflatten(-2, table.shape).flatten(-2)


class Lattice(NamedTuple):
    """As in Pass, of all positions in raster order: place [P], neighbours [P, 12], around [P, 9]."""

    place: Tensor
    neighbours: Tensor
    around: Tensor


@lru_cache(16)
def lattice(rows: int, cols: int) -> Lattice:
    """All passes of a map together, for computing all positions at once."""
    whole = merged(passes(rows, cols))
    order = whole.positions.argsort()
    return Lattice(whole.place[order], whole.neighbours[order], whole.around[order])


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
