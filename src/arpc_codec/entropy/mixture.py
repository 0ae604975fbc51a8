"""Samples <-> symbols of small alphabets under mixtures of discretised logistic distributions, exactly.

A sample is found in one or a few choices: first in which of 16 cells of a window around the mean, or outside it
(adaptive focus coding: the cells grow with the scale, not with the alphabet), then in which sixteenth of that cell,
until one value is left. A choice needs the distribution function at the edges of its cells. All values are float64
integers below 2^53 or products and quotients that IEEE 754 defines, so every machine finds the same counts. In numpy,
as these are thousands of small steps that a coder on the processor waits for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from arpc_codec.entropy.symbols import COUNT, Probabilities, Symbols

# The table of sigmoids: its unit, cells of the argument in 1, and how far it goes.
SIGMOID_BITS = 24
SIGMOID_GRID = 6
SIGMOID_RANGE = 20
MEAN_BITS = 8  # grid of the means, in samples
WEIGHT_BITS = 12
# Share of a uniform distribution in every mixture, as a power of two: no sample is impossible.
FLOOR_BITS = 14
# Cells of a window and parts of a cell; how many mean scales a window is wide at least.
CELLS = 16
FOCUS = 12.0
Values: TypeAlias = npt.NDArray[np.floating[Any]]
Rows: TypeAlias = npt.NDArray[np.intp]
# (rows, probabilities [n, m], symbols): codes the symbols of some samples, or with None reads them; returns them.
Choose = Callable[[Rows, Probabilities, "Symbols | None"], Symbols]
_PARTS = np.arange(CELLS + 1.0)[:, None]


@dataclass(frozen=True)
class Mixture:
    """Distributions of n samples of `bits` bits.

    mean [K, n]: multiples of 2^-8 samples. rate [K, n]: 1 / scale, multiples of 2^-16 in 2^-16..64.
    weight [K, n]: integers of 0..4096, not all 0. centre [n]: integer, middle of the window.
    """

    mean: Values
    rate: Values
    weight: Values
    centre: Values
    bits: int


class MixtureModel:
    """Holds the sigmoid table of a model (shipped, since libraries round it differently)."""

    def __init__(self, table: npt.NDArray[np.int32]) -> None:
        self.table, self.slope = table[:-1] * 4096.0, np.diff(table.astype(np.float64))

    def sigmoid(self, z: Values) -> Values:
        """2^36 times the sigmoid of logits in cells of the table, which are overwritten."""
        limit = float(SIGMOID_RANGE << SIGMOID_GRID)
        np.minimum(np.maximum(z, -limit, out=z), limit, out=z)
        cell = np.floor(z)
        z -= cell
        z *= 4096.0
        np.floor(z, out=z)
        index = np.add(cell, limit, out=cell).astype(np.intp)
        z *= self.slope.take(index)
        z += self.table.take(index)
        return z


class Masses:
    """What shares of n mixtures lie below samples."""

    def __init__(self, model: MixtureModel, mixture: Mixture) -> None:
        self.model, self.alphabet = model, float(1 << mixture.bits)
        self.parts = np.stack([mixture.mean + 0.5, mixture.rate * float(1 << SIGMOID_GRID), mixture.weight])
        self.floor = 2.0 ** (48 - FLOOR_BITS - mixture.bits)
        # At most 4 * 2^12 * 2^36; the uniform share adds 2^(48 - 14) over the whole alphabet.
        self.whole = mixture.weight.sum(0) * 2.0**36 + 2.0 ** (48 - FLOOR_BITS)

    def below(self, x_en: Values, rows: Rows | None = None) -> Values:
        """[e, n]: mass below integers x of all or some samples; none below 0 and all from 2^bits on."""
        whole, parts = self.whole, self.parts
        if rows is not None:
            whole, parts = whole[rows], parts.take(rows, 2)
        middle, rate, weight = parts[:, :, None]
        z = x_en - middle
        z *= rate
        share = self.model.sigmoid(z)
        share *= weight
        mass = share.sum(0)
        mass += x_en * self.floor
        mass[x_en <= 0.0] = 0.0
        return np.where(x_en >= self.alphabet, whole, mass)


def chances(mass_en: Values) -> Probabilities:
    """[n, e - 1]: probabilities, positive multiples of 2^-20 that sum to 1, of the cells between edges with this mass
    below."""
    cells = len(mass_en) - 1
    low, ends = mass_en[0], np.empty_like(mass_en)
    ends[0], ends[-1] = 0.0, float(COUNT)
    inner = np.subtract(mass_en[1:-1], low, out=ends[1:-1])
    inner /= np.maximum(mass_en[-1] - low, 1.0)
    inner *= float(COUNT - cells)
    np.rint(inner, out=inner)
    inner += np.arange(1.0, cells)[:, None]
    return np.multiply((ends[1:] - ends[:-1]).T, 1.0 / COUNT, order="C")


def window(mixture: Mixture) -> tuple[Values, Values]:
    """(first sample, size of a cell) of each window; inside the alphabet unless larger than it."""
    alphabet = float(1 << mixture.bits)
    scale = np.zeros_like(mixture.centre)
    for share in mixture.weight / mixture.rate:  # in this order: the quotients are rounded
        scale += share
    scale /= mixture.weight.sum(0)
    cell, largest = np.ones_like(scale), CELLS
    while largest < alphabet:
        cell[scale > largest / FOCUS] *= float(CELLS)
        largest *= CELLS
    first = np.maximum(mixture.centre - cell * float(CELLS // 2), 0.0)
    return np.minimum(first, np.maximum(alphabet - cell * float(CELLS), 0.0)), cell


def code(model: MixtureModel, mixture: Mixture, choose: Choose, x: Values | None) -> Values:
    """Codes samples x [n], or with None reads them; returns them. Rows rise in every call of `choose`."""
    masses, (first, cell) = Masses(model, mixture), window(mixture)
    rows, low = np.arange(len(first)), first.copy()
    edges, mass = np.zeros((2, CELLS + 3, len(first)))
    np.add(first, cell * _PARTS, out=edges[1:-1])
    mass[1:-1] = masses.below(edges[1:-1])
    edges[-1], mass[-1] = np.maximum(edges[-2], masses.alphabet), masses.whole
    while True:
        truth = None if x is None else (edges[1:-1] <= x[rows]).sum(0, dtype=np.int32)
        chosen, columns = choose(rows, chances(mass), truth).astype(np.intp), np.arange(len(rows))
        start, end = edges[chosen, columns], edges[chosen + 1, columns]
        low[rows] = start
        kept = (end - start > 1.0).nonzero()[0]
        if not kept.size:
            return low
        rows, chosen, start, end = rows[kept], chosen[kept], start[kept], end[kept]
        bounds = mass[chosen, kept], mass[chosen + 1, kept]
        edges, mass = np.empty((2, CELLS + 1, len(rows)))
        edges[:] = start + np.floor((end - start) * _PARTS / float(CELLS))
        mass[0], mass[-1] = bounds
        mass[1:-1] = masses.below(edges[1:-1], rows)
