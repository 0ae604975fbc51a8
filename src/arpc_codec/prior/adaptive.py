"""Linear prediction that follows the picture: weighted least squares over what is already coded, fitted all along.

The sums of products that a fit needs are carried along the wavefront: those of a pixel are a weighted mean of those of
its neighbours W, N and NE plus its own, so old pixels fade out in all directions and a step costs a few products per
coefficient. Only +, -, *, / of float arrays, element by element and in a fixed order, so every machine gives the same
bits (sums over a dimension would not).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arpc_codec.prior.wavefront import Carried, Offset, Samples, Values, rows_of, skew, unskew

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


def total(x: Values) -> Values:
    """Sum over the first dimension, always in the same order: halves are added until one is left."""
    while (size := len(x)) > 1:
        half = size // 2
        pairs = x[:half] + x[half : 2 * half]
        x = pairs if size == 2 * half else np.concatenate([pairs, x[2 * half :]])
    return x[0]


def solve(systems: Values) -> Values:
    """Solutions [n, ...] of symmetric positive systems [n, n + 1, ...], matrix and right side, which are overwritten.

    Elimination without pivots.
    """
    size, change = len(systems), np.empty_like(systems)
    for j in range(size - 1):
        factor, below = systems[j + 1 :, j] / systems[j, j], systems[j + 1 :, j + 1 :]
        below -= np.multiply(factor[:, None], systems[j, j + 1 :], out=change[j + 1 :, j + 1 :])
    solution = systems[:, size]
    for j in range(size - 1, -1, -1):
        solution[j] /= systems[j, j]
        solution[:j] -= systems[:j, j] * solution[j]
    return solution


class AdaptivePrediction:
    """Predicts the samples of a step, channel by channel, and learns from their true values.

    Up to 8 bits the sums stay below 2^22, so that what float32 rounds off is far below the ridge; above, float64.

    For each step `begin`, then for each place of the coding order `predict` and `settle`. The systems of all channels
    are carried and solved together, [..., place and tile, row]; those with fewer inputs are filled up with zeros.
    """

    def __init__(self, channels: int, shape: tuple[int, int, int], bits: int) -> None:
        """shape: (tiles, height, width). bits: of the samples; beyond the tiles they count as 2^(bits - 1)."""
        self.plan, self.batch = contexts(channels), shape[0]
        self.dtype = np.dtype(np.float32 if bits <= 8 else np.float64)
        self.samples = Samples(*shape, channels, float(1 << bits - 1))
        size = self.size = max(len(context.inputs) for context in self.plan)
        self.offsets = sorted({offset for context in self.plan for _, offset in context.inputs} - {HERE})
        # Where each input stands in the window of all channels; what is not there, or not yet, in an empty row.
        empty = channels * len(self.offsets)
        index = np.full((size, channels), empty)
        start = np.zeros((size, channels), self.dtype)
        # Inputs from the pixel itself: per place the (slot, later place) that wait for its channel.
        self.waiting: list[list[tuple[int, int]]] = [[] for _ in self.plan]
        order = [context.channel for context in self.plan]
        for place, context in enumerate(self.plan):
            start[: len(context.start), place] = context.start
            for slot, (channel, offset) in enumerate(context.inputs):
                if offset == HERE:
                    self.waiting[order.index(channel)].append((slot, place))
                else:
                    index[slot, place] = channel * len(self.offsets) + self.offsets.index(offset)
        self.index = index.ravel()
        self.start = start.repeat(self.batch, 1)[..., None]
        # Sums of products of two inputs are symmetric: one triangle is carried, then those with the target.
        self.rows, self.columns = np.triu_indices(size)
        self.pairs = np.empty((size, size + 1), np.intp)
        self.pairs[:, size] = len(self.rows) + np.arange(size)
        self.pairs[self.rows, self.columns] = self.pairs[self.columns, self.rows] = np.arange(len(self.rows))
        self.diagonal = np.arange(size)
        self.carried = Carried(len(self.rows) + size, channels * self.batch, shape[1], self.dtype)
        self.weights = self.start.repeat(shape[1], 2)

    def begin(self, step: int, rows: slice) -> None:
        """Go to a step. bases [C, B, R]: the mean of W and N of each channel, which all inputs are less of."""
        self.now = rows
        self.samples.go(step, rows)
        window = self.samples.window(self.offsets)
        west, north = window[:, self.offsets.index(W)], window[:, self.offsets.index(N)]
        self.bases = (west + north) * 0.5
        relative = np.zeros((window.shape[0] * window.shape[1] + 1, *window.shape[2:]), self.dtype)
        relative[:-1].reshape(window.shape)[...] = window - self.bases[:, None]
        self.inputs = relative.take(self.index, 0).reshape(self.size, len(self.plan) * self.batch, -1)
        self.targets = np.empty_like(self.inputs[0])
        self.sums = self.carried.faded(FADE, rows)
        if step % REFIT == 0:
            systems = self.sums.take(self.pairs, 0)
            systems[self.diagonal, self.diagonal] += RIDGE
            systems[:, -1] += RIDGE * self.start
            self.weights[..., rows] = solve(systems)

    def predict(self, place: int) -> Values:
        """[B, R] float64 for the channel of a place, not rounded."""
        own = slice(place * self.batch, (place + 1) * self.batch)
        change = total(self.weights[:, own, self.now] * self.inputs[:, own])
        return change.astype(np.float64) + self.bases[self.plan[place].channel]

    def settle(self, place: int, values_br: Values) -> None:
        """The true samples of a place's channel; after the last one all channels learn."""
        channel = self.plan[place].channel
        self.samples.put(channel, values_br)
        relative = values_br - self.bases[channel]
        self.targets[place * self.batch : (place + 1) * self.batch] = relative
        for slot, later in self.waiting[place]:
            self.inputs[slot, later * self.batch : (later + 1) * self.batch] = relative
        if place == len(self.plan) - 1:
            self._learn()

    def _learn(self) -> None:
        inputs, pairs = self.inputs, len(self.rows)
        weighted = inputs / (1.0 + total(inputs[:4] * inputs[:4]) / NOISE)
        products = weighted.take(self.rows, 0)
        products *= inputs.take(self.columns, 0)
        self.sums[:pairs] += products
        self.sums[pairs:] += weighted * self.targets
        self.carried.put(self.sums)


def predict_tiles(x_bhwc: Values, bits: int) -> Values:
    """Prediction of every sample of tiles [B, H, W, C] float64 of `bits` bits, not rounded, as a decoder makes it."""
    batch, height, width, channels = x_bhwc.shape
    truth = skew(x_bhwc)
    mean = np.zeros_like(truth)
    prediction = AdaptivePrediction(channels, (batch, height, width), bits)
    for step in range(len(truth)):
        rows = rows_of(step, height, width)
        prediction.begin(step, rows)
        for place, context in enumerate(prediction.plan):
            mean[step, :, rows, context.channel] = prediction.predict(place)
            prediction.settle(place, truth[step, :, rows, context.channel])
    return unskew(mean, width)
