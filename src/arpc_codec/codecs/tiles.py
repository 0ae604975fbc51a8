"""Large pictures: overlapping tiles of the latent are coded one by one and blended before one seamless decode.

The convolutions run in windows with a halo, so memory does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from arpc_codec.tile import Tile

TILE = 48
OVERLAP = 4


class Windows(NamedTuple):
    """Side of a window, and the context around it that its convolutions see, in cells."""

    side: int
    halo: int


def spans(length: int) -> list[tuple[int, int]]:
    """(start, size) along one axis: equal sizes of at most 48 cells that overlap by at least 4 (formats/arpc-v1.md)."""
    if length <= TILE:
        return [(0, length)]
    count = -(-(length - OVERLAP) // (TILE - OVERLAP))
    size = -(-(length + (count - 1) * OVERLAP) // count)
    return [(i * (length - size) // (count - 1), size) for i in range(count)]


def tiles(rows: int, cols: int) -> list[Tile]:
    """Tiles of a latent in raster order; one tile when it fits."""
    return [Tile(y, x, h, w) for y, h in spans(rows) for x, w in spans(cols)]


def blend(parts: Iterator[tuple[Tile, Tensor]], size: tuple[int, int]) -> Tensor:
    """Weighted mean [1, C, *size] of tiles [1, C, h, w] with weights that fall off over the overlap.

    Of cells without a tile it is not a number.
    """
    total: Tensor | None = None
    weights = torch.zeros(size)
    for tile, z in parts:
        if total is None:
            total = torch.zeros(1, z.shape[1], *size)
        weight = _ramp(tile.height)[:, None] * _ramp(tile.width)
        total[(..., *tile.window)] += z.float().cpu() * weight
        weights[tile.window] += weight
    assert total is not None
    return total / weights


def _ramp(length: int) -> Tensor:
    edge = torch.arange(1, length + 1, dtype=torch.float32)
    return torch.minimum(edge, edge.flip(0)).clamp(max=OVERLAP)


class View(NamedTuple):
    """The cells that a window is for, and with those around them what its convolutions see."""

    inner: Tile
    seen: Tile


def views(grid: tuple[int, int], windows: Windows | None) -> Iterator[View]:
    """The windows of a latent of (rows, columns), in raster order; windows: None for the whole at once."""
    rows, cols = grid
    if windows is None or (rows <= sum(windows) and cols <= sum(windows)):
        yield View(Tile(0, 0, rows, cols), Tile(0, 0, rows, cols))
        return
    side, halo = windows
    for top in range(0, rows, side):
        for left in range(0, cols, side):
            bottom, right = min(top + side, rows), min(left + side, cols)
            y0, x0, y1, x1 = max(0, top - halo), max(0, left - halo), min(rows, bottom + halo), min(cols, right + halo)
            yield View(Tile(top, left, bottom - top, right - left), Tile(y0, x0, y1 - y0, x1 - x0))
