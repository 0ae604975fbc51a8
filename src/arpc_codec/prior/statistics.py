"""How a picture's errors behave further away than the network looks: faded means over what is already coded.

A fixed network cannot tell a scan from a screenshot by the few pixels it sees; these means tell it the shape of the
errors, how they hang together in space and across channels, and how large they are around here. They are carried along
the wavefront as the sums of `adaptive.py` are, by +, * and / of float64 tensors, element by element.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import torch
from torch import Tensor

from .adaptive import NE, NN, NW, WW, N, W, predict_tiles
from .wavefront import Carried, Field, Grid, Samples, rows_of, skew, unskew

# Weights (of 8) of the errors nearby in the local scale, and the least scale, in samples.
SCALE_WEIGHTS = ((W, 2.0), (N, 2.0), (NW, 1.0), (NE, 1.0), (WW, 1.0), (NN, 1.0))
LEAST_SCALE = 0.5

Index: TypeAlias = "int | slice | Tensor | tuple[int | slice, ...]"

# How much of the sums comes from W, N and NE: they reach some hundred pixels far.
FADE = (0.5, 0.23, 0.26)
# Errors in units of the local scale, held inside this.
LARGEST = 4.0
# Means count fully after about this many pixels.
CONFIDENT = 4.0


@dataclass(frozen=True)
class Observed:
    """What the lossless prior sees of tiles: samples, errors of their prediction [B, H, W, C], statistics [B, H, W, n].

    middle: of the alphabet; counts as sample beyond a tile.
    """

    samples: Tensor
    errors: Tensor
    statistics: Tensor
    middle: float

    def __getitem__(self, index: Index) -> Observed:
        """Some of the tiles, or a part of each."""
        return Observed(self.samples[index], self.errors[index], self.statistics[index], self.middle)

    def float(self) -> Observed:
        """In float32, as the network is trained."""
        return Observed(self.samples.float(), self.errors.float(), self.statistics.float(), self.middle)


def observe(x_bhwc: Tensor, bits: int) -> Observed:
    """All of tiles [B, H, W, C] float64 of `bits` bits, in float64, as a decoder sees it pixel by pixel."""
    errors = x_bhwc - predict_tiles(x_bhwc, bits)
    return Observed(x_bhwc, errors, tile_statistics(errors), float(1 << bits - 1))


def local_scale(error: Field, channel: int) -> Tensor:
    """Weighted mean of the absolute errors nearby, at least 0.5 samples."""
    total = LEAST_SCALE * 8.0 + 0 * error(channel, W)
    for offset, weight in SCALE_WEIGHTS:
        total = total + weight * error(channel, offset).abs()
    return total / 8.0


def count(channels: int) -> int:
    """Number of statistics: four for each channel, one for each pair of channels, and how much is known."""
    return 4 * channels + channels * (channels - 1) // 2 + 1


def products(z: list[Tensor], west: list[Tensor], north: list[Tensor]) -> Tensor:
    """[n, ...]: what is averaged, from the scaled errors of a pixel's channels, of those to its left and above it."""
    parts = [torch.ones_like(z[0])]
    for here, left, above in zip(z, west, north, strict=True):
        parts += [here.abs(), here * here, here * left, here * above]
    return torch.stack(parts + [a * b for a, b in combinations(z, 2)])


class ErrorStatistics:
    """The statistics before each step. Call `features` and `learn` in turns. Vectors run over [B, R]."""

    def __init__(self, channels: int, shape: tuple[int, int, int], device: torch.device | str = "cpu") -> None:
        """shape: (tiles, height, width)."""
        batch, height, _ = shape
        self.channels = channels
        self.carried = Carried(count(channels), batch, height, device)
        self.scaled = Samples(*shape, channels, 0.0, device)

    def features(self, rows: slice) -> Tensor:
        """[n, B, R]: means, the first one in 0..1: how much is known."""
        self.sums = self.carried.faded(FADE, rows)
        return self.sums / (self.sums[:1] + CONFIDENT)

    def learn(self, step: int, rows: slice, z: list[Tensor]) -> None:
        """Take in the step's errors of each channel [B, R], in units of their local scale."""
        z = [part.clamp(-LARGEST, LARGEST) for part in z]
        west, north = ([self.scaled.at(step, rows, o, c) for c in range(self.channels)] for o in (W, N))
        self.carried.put(self.sums.add_(products(z, west, north)))
        for channel, part in enumerate(z):
            self.scaled.at(step, rows, (0, 0), channel).copy_(part)


def tile_statistics(errors_bhwc: Tensor) -> Tensor:
    """[B, H, W, n]: the statistics of every pixel of tiles, from the errors of their prediction."""
    error = Grid(errors_bhwc, 0.0)
    shape, channels = errors_bhwc.shape[:3], errors_bhwc.shape[3]
    z = skew(torch.stack([errors_bhwc[..., c] / local_scale(error, c) for c in range(channels)], -1).double())
    statistics = ErrorStatistics(channels, (shape[0], shape[1], shape[2]), errors_bhwc.device)
    out = z.new_zeros(*z.shape[:3], count(channels))
    for step in range(len(z)):
        rows = rows_of(step, shape[1], shape[2])
        out[step, :, rows] = statistics.features(rows).permute(1, 2, 0)
        statistics.learn(step, rows, list(z[step, :, rows].unbind(-1)))
    return unskew(out, shape[2])
