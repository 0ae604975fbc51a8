"""The order of lossless coding, and the layout that turns it into slices.

Pixel (row, column) of a tile is coded in step s = column + 2 row, all rows and tiles of a step at once. In the *skewed*
layout [step, row] every neighbour of a step's pixels is one slice: (row + dr, column + dc) lies at
[s + dc + 2 dr, row + dr]. What is coded before a pixel is what has a smaller step, so dc + 2 dr < 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

# (dr, dc)
Offset = tuple[int, int]
Values: TypeAlias = npt.NDArray[np.floating[Any]]

DELTA = 2


def steps(height: int, width: int) -> int:
    """Number of steps of a tile."""
    return width + DELTA * (height - 1)


def rows_of(step: int, height: int, width: int) -> slice:
    """The rows that have a pixel in a step."""
    return slice(max(0, -(-(step - width + 1) // DELTA)), min(height, step // DELTA + 1))


def rank(offset: Offset) -> int:
    """How many steps later a neighbour is coded; below 0 for what may be used."""
    dr, dc = offset
    return dc + DELTA * dr


def causal(radius: int) -> list[Offset]:
    """Every offset of rank below 0 within `radius` rows above and `radius` columns to both sides, nearest first."""
    window = [(dr, dc) for dr in range(-radius, 1) for dc in range(-radius, radius + 1) if rank((dr, dc)) < 0]
    return sorted(window, key=lambda o: (o[0] * o[0] + o[1] * o[1], o))


def skew(x_bhwc: Values) -> Values:
    """[B, H, W, C] -> [S, B, H, C]; 0 where a step has no pixel in a row."""
    batch, height, width, channels = x_bhwc.shape
    out = np.zeros((steps(height, width), batch, height, channels), x_bhwc.dtype)
    for row in range(height):
        out[DELTA * row : DELTA * row + width, :, row] = x_bhwc[:, row].swapaxes(0, 1)
    return out


def unskew(y_sbhc: Values, width: int) -> Values:
    """[S, B, H, C] -> [B, H, W, C]; undoes `skew`."""
    rows = [y_sbhc[DELTA * row : DELTA * row + width, :, row].swapaxes(0, 1) for row in range(y_sbhc.shape[2])]
    return np.stack(rows, 1)


class Field(Protocol):
    """Something that has a value at every pixel: samples or errors of their prediction."""

    def window(self, offsets: Sequence[Offset]) -> Any:
        """[C, offsets, ...]: the values at offsets from the pixels in question, in numpy or torch."""


class Grid:
    """A field over whole tiles [B, H, W, C], `outside` beyond them (the nearest value inside would be a later one)."""

    def __init__(self, values_bhwc: Values, outside: float) -> None:
        self.size = values_bhwc.shape[1:3]
        border = ((0, 0), (0, 0), (3, 0), (3, 3))
        self.padded = np.pad(np.moveaxis(values_bhwc, 3, 0), border, constant_values=outside)

    def window(self, offsets: Sequence[Offset]) -> Values:
        """[C, offsets, B, H, W]."""
        height, width = self.size
        parts = [self.padded[..., 3 + dr : 3 + dr + height, 3 + dc : 3 + dc + width] for dr, dc in offsets]
        return np.stack(parts, 1)


class Samples:
    """A field in skewed layout with a border, filled step by step: what it says of a step's pixels is selected through
    tables of indices that are made once."""

    # Steps and rows of border that offsets up to three pixels away reach.
    STEPS, ROWS = 12, 3

    def __init__(self, batch: int, height: int, width: int, channels: int, outside: float) -> None:
        """All samples are `outside` at first."""
        self.height, self.pitch = height, height + self.ROWS
        self.skewed = np.full((channels, batch, (self.STEPS + steps(height, width)) * self.pitch), outside)
        self.tables: dict[tuple[Offset, ...], npt.NDArray[np.intp]] = {}

    def go(self, step: int, rows: slice) -> None:
        """To the pixels of a step in some rows."""
        self.place, self.count = (self.STEPS + step) * self.pitch + rows.start + self.ROWS, rows.stop - rows.start

    def window(self, offsets: Sequence[Offset]) -> Values:
        """[C, offsets, B, R]."""
        key = tuple(offsets)
        if key not in self.tables:
            shifts = np.array([rank(o) * self.pitch + o[0] for o in key])
            self.tables[key] = shifts[:, None] + np.arange(self.height)
        index = self.tables[key][:, : self.count] + self.place
        return self.skewed.take(index, 2).swapaxes(1, 2)

    def put(self, channel: int, values_br: Values) -> None:
        """The step's own values of one channel."""
        self.skewed[channel, :, self.place : self.place + self.count] = values_br


class Carried:
    """Vectors that travel with the wavefront: the last three steps' [n, B, rows and one above], 0 outside the tile."""

    def __init__(self, size: int, batch: int, height: int, dtype: npt.DTypeLike = np.float64) -> None:
        self.steps = list(np.zeros((3, size, batch, height + 1), dtype))

    def faded(self, fade: tuple[float, float, float], rows: slice) -> Values:
        """[n, B, R]: what the left, the upper and the upper right neighbour carry, each times its part of `fade`."""
        west, north, north_east = fade
        self.own = slice(rows.start + 1, rows.stop + 1)
        _, before, last = self.steps
        out: Values = last[..., self.own] * west
        out += last[..., rows] * north_east
        out += before[..., rows] * north
        return out

    def put(self, values: Values) -> None:
        """What the step's own pixels [n, B, R] carry."""
        oldest, before, last = self.steps
        # Rows that ended since this storage was used, three steps ago, must not be seen again.
        oldest[..., max(0, self.own.start - 2) : self.own.start] = 0
        oldest[..., self.own] = values
        self.steps = [before, last, oldest]
