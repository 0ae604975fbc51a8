"""What is coded of a picture of some size: at which size, in which tiles, in which scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from arpc_codec.codecs.tiles import tiles
from arpc_codec.scales import Schedule, latent_size
from arpc_codec.scales.published import published
from arpc_codec.tile import Tile

# Of a picture that is resampled, at once.
STRIP_PIXELS = 2**22


@dataclass(frozen=True)
class Layout:
    """size: (height, width) that is coded, in pixels. schedule: of each tile.

    grid: that of the prior's positions, of pictures that are resampled only.
    """

    size: tuple[int, int]
    tiles: list[Tile]
    schedule: Schedule
    grid: tuple[int, int] | None = None

    @property
    def cells(self) -> tuple[int, int]:
        """(rows, columns) of the whole latent."""
        return latent_size(*self.size)

    def coded(self, area: Tile | None) -> Tile:
        """What must be decoded for an area of the picture, in pixels of the size that is coded; None: for all."""
        # A resampled picture is decoded as a whole.
        return Tile(0, 0, *self.size) if area is None or self.grid is not None else area


def layout(height: int, width: int, schedule: Callable[[int, int], Schedule]) -> Layout:
    """Layout of a picture; schedule: of a tile of (rows, columns)."""
    found = tiles(*latent_size(height, width))
    return Layout((height, width), found, schedule(found[0].height, found[0].width))


def published_layout(height: int, width: int) -> Layout:
    """Layout of a picture that is resampled to one of the published sizes, and never tiled."""
    schedule, grid, size = published(height, width)
    return Layout(size, [Tile(0, 0, *schedule[-1])], schedule, grid)


def resample(pixels_hw3: np.ndarray, size: tuple[int, int], area: Tile | None = None) -> np.ndarray:
    """uint8 picture at another size, or what is in `area` then, by Pillow's Lanczos filter; no copy at the same size.

    One strip of columns after the other: whatever size a file claims, memory is that of the two arrays and a little.
    """
    height, width = size
    area = area or Tile(0, 0, height, width)
    if pixels_hw3.shape[:2] == size:
        return pixels_hw3[area.window]
    source = Image.fromarray(pixels_hw3)
    out = np.empty((area.height, area.width, 3), np.uint8)
    step = max(1, STRIP_PIXELS // max(height, source.height))
    for left in range(0, width, step):
        right = min(left + step, width)
        found = Tile(0, left, height, right - left).meet(area)
        if found is None:
            continue
        box = (left * source.width / width, 0, right * source.width / width, source.height)
        # Columns first, as Pillow does for a whole picture: samples are rounded and clipped in between.
        strip = source.resize((right - left, source.height), Image.Resampling.LANCZOS, box)
        part = np.asarray(strip.resize((right - left, height), Image.Resampling.LANCZOS))
        out[found.within(area).window] = part[found.within(Tile(0, left, height, right - left)).window]
    return out
