"""Rectangles of a picture or of its latent."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index

from arpc_codec.errors import UsageError

# (x, y, width, height) in pixels, from the top left.
Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Tile:
    """A rectangle, of latent cells or of pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of what is inside."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def meet(self, other: Tile) -> Tile | None:
        """What both have in common; None for nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        bottom = min(self.top + self.height, other.top + other.height)
        right = min(self.left + self.width, other.left + other.width)
        return Tile(top, left, bottom - top, right - left) if top < bottom and left < right else None

    def within(self, other: Tile) -> Tile:
        """The same rectangle, counted from the top left of another."""
        return Tile(self.top - other.top, self.left - other.left, self.height, self.width)

    def times(self, step: int) -> Tile:
        """The same rectangle in units of which one of its own has `step`."""
        return Tile(self.top * step, self.left * step, self.height * step, self.width * step)


def region_tile(region: Region | None, height: int, width: int) -> Tile:
    """The pixels of a picture of that size that are meant; None: all. UsageError for what is not inside."""
    if region is None:
        return Tile(0, 0, height, width)
    try:
        left, top, columns, rows = map(index, region)
    except (TypeError, ValueError):
        raise UsageError(f"a region is x, y, width and height in pixels, not {region!r}") from None
    name = f"region {left},{top},{columns},{rows}"
    if min(columns, rows) < 1:
        raise UsageError(f"{name} has no pixels")
    if min(left, top) < 0 or left + columns > width or top + rows > height:
        raise UsageError(f"{name} is not inside the picture of {width}x{height} pixels")
    return Tile(top, left, rows, columns)
