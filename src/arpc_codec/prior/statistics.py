"""How a picture's errors behave further away than the network looks: faded means over what is already coded.

A fixed network cannot tell a scan from a screenshot by the few pixels it sees; these means tell it the shape of the
errors, how they hang together in space and across channels, and how large they are around here. They are carried along
the wavefront as the sums of `adaptive.py` are, by +, * and / of float64 arrays, element by element.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from arpc_codec.entropy.mixture import MEAN_BITS
from arpc_codec.exact.grid import snap
from arpc_codec.prior.adaptive import NE, NN, NW, WW, N, W, predict_tiles
from arpc_codec.prior.wavefront import Carried, Field, Grid, Samples, Values, rows_of, skew, unskew

# Errors nearby that the local scale is the mean of, W and N counted twice, and the least scale, in samples.
NEARBY_ERRORS = (W, N, NW, NE, WW, NN)
LEAST_SCALE = 0.5
# What means and scales are held inside.
LARGEST_SCALE = 2.0**17

# How much of the sums comes from W, N and NE: they reach some hundred pixels far.
FADE = (0.5, 0.23, 0.26)
# Errors in units of the local scale, held inside this.
LARGEST = 4.0
# Means count fully after about this many pixels.
CONFIDENT = 4.0


def local_scales(error: Field) -> Any:
    """[C, ...]: weighted mean of the absolute errors nearby, at least 0.5 samples; in numpy or torch as the field."""
    nearby = abs(error.window(NEARBY_ERRORS))
    # Errors are multiples of 2^-8: the sums are exact in any order.
    return (nearby.sum(1) + nearby[:, :2].sum(1) + LEAST_SCALE * 8.0) / 8.0


def count(channels: int) -> int:
    """Number of statistics: four for each channel, one for each pair of channels, and how much is known."""
    return 4 * channels + channels * (channels - 1) // 2 + 1


def products(z: Values, west: Values, north: Values) -> Values:
    """[n, ...]: what is averaged, from the scaled errors [C, ...] of a pixel and of those left of and above it."""
    own = np.stack([np.abs(z), z * z, z * west, z * north], 1).reshape(4 * len(z), *z.shape[1:])
    pairs = [(z[i] * z[j])[None] for i, j in combinations(range(len(z)), 2)]
    return np.concatenate([np.ones_like(z[:1]), own, *pairs])


class ErrorStatistics:
    """The statistics before each step. Call `features` and `learn` in turns. Vectors run over [B, R]."""

    def __init__(self, channels: int, shape: tuple[int, int, int]) -> None:
        """shape: (tiles, height, width)."""
        batch, height, _ = shape
        self.carried = Carried(count(channels), batch, height)
        self.scaled = Samples(*shape, channels, 0.0)

    def features(self, step: int, rows: slice) -> Values:
        """[n, B, R]: means, the first one in 0..1: how much is known."""
        self.scaled.go(step, rows)
        self.sums = self.carried.faded(FADE, rows)
        return self.sums / (self.sums[:1] + CONFIDENT)

    def learn(self, z_cbr: Values) -> None:
        """Take in the step's errors, in units of their local scale."""
        z = z_cbr.clip(-LARGEST, LARGEST)
        nearby = self.scaled.window((W, N))
        self.sums += products(z, nearby[:, 0], nearby[:, 1])
        self.carried.put(self.sums)
        for channel, part in enumerate(z):
            self.scaled.put(channel, part)


def tile_statistics(errors_bhwc: Values) -> Values:
    """[B, H, W, n]: the statistics of every pixel of tiles, from the errors of their prediction."""
    scales = snap(local_scales(Grid(errors_bhwc, 0.0)), limit=LARGEST_SCALE)
    z = skew(errors_bhwc / np.moveaxis(scales, 0, -1))
    batch, height, width, channels = errors_bhwc.shape
    statistics = ErrorStatistics(channels, (batch, height, width))
    out = np.zeros((*z.shape[:3], count(channels)))
    for step in range(len(z)):
        rows = rows_of(step, height, width)
        out[step, :, rows] = statistics.features(step, rows).transpose(1, 2, 0)
        statistics.learn(z[step, :, rows].transpose(2, 0, 1))
    return unskew(out, width)


def tile_inputs(x_bhwc: Values, bits: int) -> tuple[Values, Values]:
    """(errors [B, H, W, C], statistics [B, H, W, n]) of tiles float64 of `bits` bits, as a decoder knows them."""
    errors = x_bhwc - snap(predict_tiles(x_bhwc, bits), MEAN_BITS, LARGEST_SCALE)
    return errors, tile_statistics(errors)
