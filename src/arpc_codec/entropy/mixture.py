"""Samples <-> bits under mixtures of discretised logistic distributions, exactly.

A sample is a chain of binary decisions: is it inside a window around the mean (adaptive focus coding: the window grows
with the scale, not with the alphabet), then a binary search inside the window, or outside it after an escape. Each
decision needs the distribution function at three points. All values are float64 integers below 2^53 or products and
quotients that IEEE 754 defines, so every device finds the same counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..exact.tables import SIGMOID_GRID, SIGMOID_RANGE

MEAN_BITS = 8  # grid of the means, in samples
WEIGHT_BITS = 12
# Share of a uniform distribution in every mixture, as a power of two: no sample is impossible.
FLOOR_BITS = 14
COUNT = 1 << 16
# Window: this many (largest) scales to either side of the mean, as a power of two of samples.
FOCUS = 12.0
SMALLEST_FOCUS = 4


@dataclass(frozen=True)
class Mixture:
    """Distributions of n samples of `bits` bits.

    mean [n, K]: multiples of 2^-8 samples. rate [n, K]: 1 / scale, multiples of 2^-16 in 2^-16..64.
    weight [n, K]: integers of 0..4096, not all 0. centre [n]: integer, middle of the window. All float64.
    """

    mean: Tensor
    rate: Tensor
    weight: Tensor
    centre: Tensor
    bits: int

    def at(self, rows: Tensor) -> Mixture:
        """The mixtures of some samples."""
        return Mixture(self.mean[rows], self.rate[rows], self.weight[rows], self.centre[rows], self.bits)


class MixtureModel:
    """Counts of decisions; holds the sigmoid table of a model (shipped, since libraries round it differently)."""

    def __init__(self, table: Tensor) -> None:
        self.table = table.double()

    def below(self, mixture: Mixture, x: Tensor) -> Tensor:
        """[n]: weight of samples below x (integers, may be at either end), uniform share included."""
        z = (x[:, None] - 0.5 - mixture.mean) * mixture.rate
        z = z.clamp(-SIGMOID_RANGE, SIGMOID_RANGE) * (1 << SIGMOID_GRID)
        cell = z.floor()
        part = ((z - cell) * 4096).floor()
        index = (cell + (SIGMOID_RANGE << SIGMOID_GRID)).to(torch.int64)
        low, high = self.table[index], self.table[index + 1]
        mass = (low * 4096 + (high - low) * part) * mixture.weight
        total = mass[:, 0]
        for k in range(1, mass.shape[1]):
            total = total + mass[:, k]
        # At most 4 * 2^12 * 2^36; the uniform share adds 2^(48 - 14) over the whole alphabet.
        return total + x * 2.0 ** (48 - FLOOR_BITS - mixture.bits)

    @staticmethod
    def count(upper: Tensor, whole: Tensor) -> Tensor:
        """int32 counts of 65536 for the upper part of a whole."""
        return (upper / whole * COUNT).round().clamp(1, COUNT - 1).to(torch.int32)

    def window(self, mixture: Mixture) -> tuple[Tensor, Tensor]:
        """(first sample, size) of each window: a power of two of samples inside the alphabet."""
        alphabet = float(1 << mixture.bits)
        widest = 1.0 / mixture.rate.min(1).values
        size = torch.full_like(widest, float(1 << min(SMALLEST_FOCUS, mixture.bits)))
        for _ in range(SMALLEST_FOCUS, mixture.bits):
            size = torch.where(size < FOCUS * widest, size * 2, size)
        first = torch.minimum((mixture.centre - size / 2).floor().clamp_min(0), alphabet - size)
        return first, size


# (rows, counts, bits): codes the int32 bits of some samples, or with None reads them; returns them.
Decide = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def code(model: MixtureModel, mixture: Mixture, decide: Decide, x: Tensor | None) -> Tensor:
    """Codes samples x [n], or with None reads them; returns them as float64. Rows rise in every call of `decide`."""
    alphabet = float(1 << mixture.bits)
    first, size = model.window(mixture)
    low, high = torch.zeros_like(first), torch.full_like(first, alphabet)
    low_mass, high_mass = model.below(mixture, low), model.below(mixture, high)
    first_mass, last_mass = model.below(mixture, first), model.below(mixture, first + size)
    # 1: the sample is inside the window. Windows that are the alphabet need no decision.
    asked = (size < alphabet).nonzero()[:, 0]
    inside = torch.ones_like(first)
    if asked.numel():
        counts = model.count((last_mass - first_mass)[asked], (high_mass - low_mass)[asked])
        truth = None if x is None else ((x >= first) & (x < first + size))[asked].to(torch.int32)
        inside[asked] = decide(asked, counts, truth).to(inside)
    # Outside: first on which side.
    out = (inside == 0).nonzero()[:, 0]
    if out.numel():
        under, over = (first_mass - low_mass)[out], (high_mass - last_mass)[out]
        truth = None if x is None else (x >= first + size)[out].to(torch.int32)
        above = decide(out, model.count(over, under + over), truth).to(torch.bool)
        low[out], low_mass[out] = (
            torch.where(above, (first + size)[out], low[out]),
            torch.where(above, last_mass[out], low_mass[out]),
        )
        high[out], high_mass[out] = (
            torch.where(above, high[out], first[out]),
            torch.where(above, high_mass[out], first_mass[out]),
        )
    within = inside.bool()
    low, high = torch.where(within, first, low), torch.where(within, first + size, high)
    low_mass, high_mass = torch.where(within, first_mass, low_mass), torch.where(within, last_mass, high_mass)
    while True:
        rows = (high - low > 1).nonzero()[:, 0]
        if not rows.numel():
            return low
        middle = ((low[rows] + high[rows]) / 2).floor()
        mass = model.below(mixture.at(rows), middle)
        counts = model.count(high_mass[rows] - mass, high_mass[rows] - low_mass[rows])
        truth = None if x is None else (x[rows] >= middle).to(torch.int32)
        upper = decide(rows, counts, truth).to(torch.bool)
        low[rows], low_mass[rows] = torch.where(upper, middle, low[rows]), torch.where(upper, mass, low_mass[rows])
        high[rows], high_mass[rows] = torch.where(upper, high[rows], middle), torch.where(upper, high_mass[rows], mass)
