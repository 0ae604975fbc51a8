"""Large pictures: overlapping tiles of the latent are coded one by one and blended before one seamless decode.

The convolutions run in windows with a halo, so memory does not grow with the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

TILE = 48
OVERLAP = 4


class Windows(NamedTuple):
    """Side of a window, and the context around it that its convolutions see, in cells."""

    side: int
    halo: int


@dataclass(frozen=True)
class Tile:
    """A rectangle, of latent cells here, of samples in a lossless picture."""

    top: int
    left: int
    height: int
    width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of what is inside."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


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
    """Weighted mean [1, C, *size] of tiles [1, C, h, w] with weights that fall off over the overlap."""
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


def windowed(
    run: Callable[[Tensor], Tensor],
    x: Tensor,
    grid: tuple[int, int],
    in_step: int,
    out_step: int,
    windows: Windows | None,
) -> Tensor:
    """`run` over windows of [B, C, H*in_step, W*in_step] with a halo -> [B, C', H*out_step, W*out_step].

    windows: None for the whole at once.
    """
    if windows is None:
        return run(x)
    (rows, cols), (side, halo) = grid, windows
    if rows <= side + halo and cols <= side + halo:
        return run(x)
    result: Tensor | None = None
    for top in range(0, rows, side):
        for left in range(0, cols, side):
            bottom, right = min(top + side, rows), min(left + side, cols)
            y0, x0, y1, x1 = max(0, top - halo), max(0, left - halo), min(rows, bottom + halo), min(cols, right + halo)
            part = run(x[..., y0 * in_step : y1 * in_step, x0 * in_step : x1 * in_step])
            if result is None:
                result = part.new_empty(*part.shape[:2], rows * out_step, cols * out_step)
            inner = part[
                ...,
                (top - y0) * out_step : (bottom - y0) * out_step,
                (left - x0) * out_step : (right - x0) * out_step,
            ]
            result[..., top * out_step : bottom * out_step, left * out_step : right * out_step] = inner
    assert result is not None
    return result
