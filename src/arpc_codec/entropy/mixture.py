"""Samples <-> symbols of small alphabets under mixtures of discretised logistic distributions, exactly.

A sample is found in one or a few choices: first in which of 16 cells of a window around the mean, or outside it
(adaptive focus coding: the cells grow with the scale, not with the alphabet), then in which quarter of that cell, until
one value is left. A choice needs the distribution function at the edges of its cells. All values are float64 integers
below 2^53 or products and quotients that IEEE 754 defines, so every device finds the same counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..exact.tables import SIGMOID_GRID, SIGMOID_RANGE
from .symbols import COUNT

MEAN_BITS = 8  # grid of the means, in samples
WEIGHT_BITS = 12
# Share of a uniform distribution in every mixture, as a power of two: no sample is impossible.
FLOOR_BITS = 14
# Cells of a window, parts of a cell, and how many (largest) scales a window is wide at least.
CELLS, PARTS = 16, 4
FOCUS = 12.0


@dataclass(frozen=True)
class Mixture:
    """Distributions of n samples of `bits` bits.

    mean [K, n]: multiples of 2^-8 samples. rate [K, n]: 1 / scale, multiples of 2^-16 in 2^-16..64.
    weight [K, n]: integers of 0..4096, not all 0. centre [n]: integer, middle of the window. All float64.
    """

    mean: Tensor
    rate: Tensor
    weight: Tensor
    centre: Tensor
    bits: int

    def at(self, rows: Tensor) -> Mixture:
        """The mixtures of some samples."""
        mean, rate, weight = (part.index_select(1, rows) for part in (self.mean, self.rate, self.weight))
        return Mixture(mean, rate, weight, self.centre[rows], self.bits)


class MixtureModel:
    """Masses of mixtures; holds the sigmoid table of a model (shipped, since libraries round it differently)."""

    def __init__(self, table: Tensor) -> None:
        self.table = table.double()[:-1] * 4096
        self.slope = table.double().diff()

    def below(self, mixture: Mixture, x_en: Tensor) -> Tensor:
        """[e, n]: mass below integers x; none below 0, and from 2^bits on all, whatever the logistics say."""
        z = x_en - (mixture.mean[:, None] + 0.5)
        z = z.mul_(mixture.rate[:, None]).clamp_(-SIGMOID_RANGE, SIGMOID_RANGE).mul_(1 << SIGMOID_GRID)
        cell = z.floor()
        part = z.sub_(cell).mul_(4096).floor_()
        index = cell.add_(SIGMOID_RANGE << SIGMOID_GRID).to(torch.int32).flatten()
        mass = part.mul_(self.slope.index_select(0, index).view_as(part))
        mass = mass.add_(self.table.index_select(0, index).view_as(part)).mul_(mixture.weight[:, None])
        total = mass[0]
        for term in mass[1:]:
            total = total + term
        # At most 4 * 2^12 * 2^36; the uniform share adds 2^(48 - 14) over the whole alphabet.
        total = total + x_en * 2.0 ** (48 - FLOOR_BITS - mixture.bits)
        total = torch.where(x_en <= 0, 0.0, total)
        return torch.where(x_en >= 1 << mixture.bits, self.whole(mixture), total)

    @staticmethod
    def whole(mixture: Mixture) -> Tensor:
        """[n]: mass of the alphabet."""
        weight = mixture.weight[0]
        for term in mixture.weight[1:]:
            weight = weight + term
        return weight * 2.0**36 + 2.0 ** (48 - FLOOR_BITS)


def counts(mass_en: Tensor) -> Tensor:
    """int32 [n, e - 1] counts, each at least 1, that sum to 2^20, of the cells between edges with this mass below."""
    cells = len(mass_en) - 1
    inner = (mass_en[1:-1] - mass_en[0]) / (mass_en[-1] - mass_en[0]).clamp_min(1.0)
    ends = (inner * (COUNT - cells)).round() + torch.arange(1.0, cells, dtype=inner.dtype, device=inner.device)[:, None]
    first, last = torch.zeros_like(mass_en[:1]), torch.full_like(mass_en[:1], COUNT)
    return torch.cat([first, ends, last]).diff(dim=0).to(torch.int32).T


def window(mixture: Mixture) -> tuple[Tensor, Tensor]:
    """(first sample, size of a cell) of each window; inside the alphabet unless larger than it."""
    alphabet = float(1 << mixture.bits)
    widest = FOCUS / mixture.rate.amin(0)
    cell, largest = torch.ones_like(widest), CELLS
    while largest < alphabet:
        cell = torch.where(largest < widest, cell * PARTS, cell)
        largest *= PARTS
    first = (mixture.centre - cell * (CELLS // 2)).clamp_min(0)
    return torch.minimum(first, (alphabet - cell * CELLS).clamp_min(0)), cell


# (rows, counts [n, m], symbols): codes the int32 symbols of some samples, or with None reads them; returns them.
Choose = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def code(model: MixtureModel, mixture: Mixture, choose: Choose, x: Tensor | None) -> Tensor:
    """Codes samples x [n], or with None reads them; returns them as float64. Rows rise in every call of `choose`."""
    first, cell = window(mixture)
    steps = torch.arange(CELLS + 1.0, dtype=first.dtype, device=first.device)[:, None]
    quarters, inner, nothing = steps[: PARTS + 1] / PARTS, first + cell * steps, torch.zeros_like(first)[None]
    edges = torch.cat([nothing, inner, inner[-1:].clamp_min(float(1 << mixture.bits))])
    mass = torch.cat([nothing, model.below(mixture, inner), model.whole(mixture)[None]])
    rows, low = torch.arange(len(first), device=first.device), first
    while True:
        truth = None if x is None else (edges[1:-1] <= x[rows]).sum(0, dtype=torch.int32)
        chosen = choose(rows, counts(mass), truth).to(torch.int64)[None]
        ends, masses = (torch.cat([part.gather(0, chosen), part.gather(0, chosen + 1)]) for part in (edges, mass))
        low = low.index_copy(0, rows, ends[0])
        kept = (ends[1] - ends[0] > 1).nonzero()[:, 0]
        if not kept.numel():
            return low
        rows, ends, masses = rows[kept], ends[:, kept], masses[:, kept]
        edges = ends[:1] + ((ends[1:] - ends[:1]) * quarters).floor()
        mass = torch.cat([masses[:1], model.below(mixture.at(rows), edges[1:-1]), masses[1:]])
