"""Linear prediction that follows the picture: weighted least squares over what is already coded, fitted all along.

The sums of products that a fit needs are carried along the wavefront: those of a pixel are a weighted mean of those of
its neighbours W, N and NE plus its own, so old pixels fade out in all directions and a step costs a few products per
coefficient. Only +, -, *, / of float64 tensors, element by element and in a fixed order, so every device gives the same
bits (sums over a dimension would not).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .wavefront import Carried, Offset, Samples, rows_of, skew, unskew

W, N, NW, NE, WW, NN = (0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0)
NWW, NNW, NNE, WWW = (-1, -2), (-2, -1), (-2, 1), (0, -3)
HERE = (0, 0)
OWN = (W, N, NW, NE, WW, NN, NWW, NNW, NNE, WWW)
# A small part of the weights' own start is mixed into every fit, so that flat surfaces have a solution.
RIDGE = 4.0
# How much of the sums comes from W, N and NE. Together just below 1: they reach some 15 pixels far.
FADE = (0.48, 0.23, 0.26)
# Products count less where the neighbourhood is rough: (1 + roughness / NOISE)^-1.
NOISE = 16.0
# Columns from one fit to the next: the weights change slowly, and a fit is most of the work.
REFIT = 2


@dataclass(frozen=True)
class Context:
    """Inputs of one channel's prediction: (channel, offset), and the weights that a fit starts from."""

    channel: int
    inputs: tuple[tuple[int, Offset], ...]
    start: tuple[float, ...]


def contexts(channels: int) -> tuple[Context, ...]:
    """In coding order: green, red, blue (then alpha); each sees the channels before it at the same pixel."""
    order = {1: (0,), 2: (0, 1), 3: (1, 0, 2), 4: (1, 0, 2, 3)}[channels]
    result = []
    for place, channel in enumerate(order):
        before, after = order[:place], order[place + 1 :]
        inputs = [(channel, offset) for offset in OWN[: 10 - 3 * min(place, 1) - max(0, place - 1)]]
        for other in before:
            inputs += [(other, offset) for offset in (HERE, W, N, NW, NE)]
        for other in after:
            inputs += [(other, offset) for offset in (W, N)]
        share = 0.8 / max(1, len(before))
        own = {W: 0.27, N: 0.27, NW: -0.12, NE: 0.12}
        start = [share if o == HERE else own.get(o, 0.0) if c == channel else 0.0 for c, o in inputs]
        result.append(Context(channel, tuple(inputs), tuple(start)))
    return tuple(result)


def total(x: Tensor) -> Tensor:
    """Sum over the first dimension, one after the other."""
    out = x[0]
    for part in x[1:]:
        out = out + part
    return out


def solve(matrix_nnv: Tensor, right_nv: Tensor) -> Tensor:
    """Solutions [n, ...] of symmetric positive systems [n, n, ...], both overwritten; elimination without pivots."""
    matrix, right = matrix_nnv, right_nv
    size = right.shape[0]
    for j in range(size - 1):
        factor = matrix[j + 1 :, j] / matrix[j, j]
        matrix[j + 1 :, j + 1 :] -= factor[:, None] * matrix[j, j + 1 :][None]
        right[j + 1 :] -= factor * right[j]
    solution = torch.empty_like(right)
    for j in range(size - 1, -1, -1):
        rest = right[j] if j == size - 1 else right[j] - total(matrix[j, j + 1 :] * solution[j + 1 :])
        solution[j] = rest / matrix[j, j]
    return solution


class AdaptivePredictor:
    """Predicts one channel of a step's pixels, then learns from their true values.

    Vectors run over [B, R]: the rows of all tiles that have a pixel in the step. Call `predict` and `learn` in turns.
    """

    def __init__(self, context: Context, batch: int, height: int, device: torch.device | str = "cpu") -> None:
        self.context = context
        size = len(context.inputs)
        self.start = torch.tensor(context.start, dtype=torch.float64, device=device)[:, None, None]
        # Sums of products of two inputs are symmetric: one triangle is carried, then those with the target.
        self.rows, self.columns = torch.triu_indices(size, size, device=device)
        pairs = torch.zeros(size, size, dtype=torch.int64, device=device)
        pairs[self.rows, self.columns] = pairs[self.columns, self.rows] = torch.arange(len(self.rows), device=device)
        self.pairs = pairs.flatten()
        self.carried = Carried(len(self.rows) + size, batch, height, device)
        self.weights = self.start.repeat(1, batch, height)

    def predict(self, inputs_nbr: Tensor, step: int, rows: slice) -> Tensor:
        """[B, R] from inputs [n, B, R] float64, each less its own channel's base (see `Context`)."""
        self.sums, self.inputs = self.carried.faded(FADE, rows), inputs_nbr
        if step % REFIT == 0:
            matrix = self.sums.index_select(0, self.pairs).unflatten(0, (len(inputs_nbr), -1))
            matrix.diagonal().add_(RIDGE)
            self.weights[..., rows] = solve(matrix, self.sums[len(self.rows) :] + RIDGE * self.start)
        return total(self.weights[..., rows] * inputs_nbr)

    def learn(self, target_br: Tensor) -> None:
        """Take in the true values, less their base."""
        inputs, pairs = self.inputs, len(self.rows)
        weighted = inputs / (1.0 + total(inputs[:4] * inputs[:4]) / NOISE)
        products = weighted.index_select(0, self.rows).mul_(inputs.index_select(0, self.columns))
        self.sums[:pairs].add_(products)
        self.sums[pairs:].add_(weighted * target_br)
        self.carried.put(self.sums)


def step_inputs(samples: Samples, context: Context, step: int, rows: slice, bases: dict[int, Tensor]) -> Tensor:
    """[n, B, R]: a channel's inputs in one step, each less the base of its channel, the mean of W and N."""
    return torch.stack([samples.at(step, rows, offset, c) - bases[c] for c, offset in context.inputs])


def predict_tiles(x_bhwc: Tensor, bits: int) -> Tensor:
    """Prediction of every sample of tiles [B, H, W, C] float64 of `bits` bits, not rounded, as a decoder makes it."""
    batch, height, width, channels = x_bhwc.shape
    samples = Samples(batch, height, width, channels, float(1 << bits - 1), x_bhwc.device)
    truth = skew(x_bhwc)
    mean = torch.zeros_like(truth)
    plan = contexts(channels)
    predictors = [AdaptivePredictor(context, batch, height, x_bhwc.device) for context in plan]
    for step in range(len(truth)):
        rows = rows_of(step, height, width)
        bases = {c: (samples.at(step, rows, W, c) + samples.at(step, rows, N, c)) * 0.5 for c in range(channels)}
        for context, predictor in zip(plan, predictors, strict=True):
            c = context.channel
            inputs = step_inputs(samples, context, step, rows, bases)
            mean[step, :, rows, c] = predictor.predict(inputs, step, rows) + bases[c]
            samples.at(step, rows, HERE, c).copy_(truth[step, :, rows, c])
            predictor.learn(truth[step, :, rows, c] - bases[c])
    return unskew(mean, width)
