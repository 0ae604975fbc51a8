"""Samples <-> symbols of small alphabets under mixtures of discretised logistic distributions, exactly.

A sample is found in one or a few choices: first in which of 16 cells of a window around the mean, or outside it
(adaptive focus coding: the cells grow with the scale, not with the alphabet), then in which sixteenth of that cell,
until one value is left. A choice needs the distribution function at the edges of its cells. All values are float64
integers below 2^53 or products and quotients that IEEE 754 defines, so every device finds the same counts.
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
# Cells of a window and parts of a cell; how many mean scales a window is wide at least.
CELLS = 16
FOCUS = 12.0
# (rows, probabilities [n, m], symbols): codes the int32 symbols of some samples, or with None reads them; returns them.
Choose = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]


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


class MixtureModel:
    """Holds the sigmoid table of a model (shipped, since libraries round it differently)."""

    def __init__(self, table: Tensor) -> None:
        self.table = table.double()[:-1] * 4096
        self.slope = table.double().diff()

    def sigmoid(self, z: Tensor) -> Tensor:
        """2^36 times the sigmoid of logits in cells of the table, which are overwritten."""
        limit = float(SIGMOID_RANGE << SIGMOID_GRID)
        cell = z.clamp_(-limit, limit).floor()
        part = z.sub_(cell).mul_(4096.0).floor_()
        index = cell.add_(limit).to(torch.int32).flatten()
        rise = part.mul_(self.slope.index_select(0, index).view_as(part))
        return rise.add_(self.table.index_select(0, index).view_as(part))


class Masses:
    """What shares of n mixtures lie below samples."""

    def __init__(self, model: MixtureModel, mixture: Mixture) -> None:
        self.model, self.alphabet = model, float(1 << mixture.bits)
        middle, rate = mixture.mean + 0.5, mixture.rate * float(1 << SIGMOID_GRID)
        self.parts = torch.stack([middle, rate, mixture.weight])
        self.floor = 2.0 ** (48 - FLOOR_BITS - mixture.bits)
        # At most 4 * 2^12 * 2^36; the uniform share adds 2^(48 - 14) over the whole alphabet.
        self.whole = mixture.weight.sum(0, keepdim=True) * 2.0**36 + 2.0 ** (48 - FLOOR_BITS)

    def below(self, x_en: Tensor, rows: Tensor | None = None) -> Tensor:
        """[e, n]: mass below integers x of all or some samples; none below 0 and all from 2^bits on."""
        whole, parts = self.whole, self.parts
        if rows is not None:
            whole, parts = whole[:, rows], parts.index_select(2, rows)
        middle, rate, weight = parts[:, :, None].unbind()
        mass = self.model.sigmoid((x_en - middle).mul_(rate)).mul_(weight).sum(0).add_(x_en * self.floor)
        return torch.where(x_en >= self.alphabet, whole, mass.masked_fill_(x_en <= 0.0, 0.0))


def chances(mass_en: Tensor) -> Tensor:
    """[n, e - 1]: probabilities, positive multiples of 2^-20 that sum to 1, of the cells between edges with this mass
    below."""
    cells = len(mass_en) - 1
    low, least = mass_en[0], torch.arange(1.0, cells, dtype=mass_en.dtype, device=mass_en.device)[:, None]
    inner = (mass_en[1:-1] - low).div_((mass_en[-1] - low).clamp_min_(1.0))
    ends = torch.empty_like(mass_en)
    ends[0], ends[-1] = 0.0, float(COUNT)
    ends[1:-1] = inner.mul_(float(COUNT - cells)).round_().add_(least)
    return ends.diff(dim=0).mul_(1.0 / COUNT).T.contiguous()


def window(mixture: Mixture) -> tuple[Tensor, Tensor]:
    """(first sample, size of a cell) of each window; inside the alphabet unless larger than it."""
    alphabet = float(1 << mixture.bits)
    scale = torch.zeros_like(mixture.centre)
    for share in mixture.weight / mixture.rate:  # in this order: the quotients are rounded
        scale += share
    scale /= mixture.weight.sum(0)
    cell, largest = torch.ones_like(scale), CELLS
    while largest < alphabet:
        cell = torch.where(scale > largest / FOCUS, cell * float(CELLS), cell)
        largest *= CELLS
    first = (mixture.centre - cell * float(CELLS // 2)).clamp_min_(0.0)
    return torch.minimum(first, (alphabet - cell * float(CELLS)).clamp_min_(0.0)), cell


def code(model: MixtureModel, mixture: Mixture, choose: Choose, x: Tensor | None) -> Tensor:
    """Codes samples x [n], or with None reads them; returns them as float64. Rows rise in every call of `choose`."""
    masses, (first, cell) = Masses(model, mixture), window(mixture)
    steps = torch.arange(CELLS + 1.0, dtype=first.dtype, device=first.device)[:, None]
    edges, nothing = first + cell * steps, torch.zeros_like(first)[None]
    last = edges[-1:].clamp_min(masses.alphabet)
    # [2, e, n]: edges of the cells and the mass below them.
    both = torch.stack([torch.cat([nothing, edges, last]), torch.cat([nothing, masses.below(edges), masses.whole])])
    rows, low = torch.arange(len(first), device=first.device), first
    while True:
        truth = None if x is None else (both[0, 1:-1] <= x[rows]).double().sum(0).to(torch.int32)
        chosen = choose(rows, chances(both[1]), truth).to(torch.int64)
        ends = both.gather(1, torch.stack([chosen, chosen + 1]).expand(2, 2, -1))
        low = low.index_copy(0, rows, ends[0, 0])
        kept = (ends[0, 1] - ends[0, 0] > 1.0).nonzero()[:, 0]
        if not kept.numel():
            return low
        rows, ends = rows[kept], ends.index_select(2, kept)
        start, end = ends[0]
        edges = start + ((end - start) * steps[1:-1] / float(CELLS)).floor_()
        inner = torch.stack([edges, masses.below(edges, rows)])
        both = torch.cat([ends[:, :1], inner, ends[:, 1:]], 1)
