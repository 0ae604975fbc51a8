"""The lossless prior in exact arithmetic, one wavefront step at a time.

A step computes only its own pixels: the gated blocks keep what they computed in the last steps (cache), and pick the
taps of the masked convolution out of it as slices (select).
"""

from __future__ import annotations

import numpy as np

from arpc_codec.entropy.mixture import MEAN_BITS, WEIGHT_BITS, Mixture, Values
from arpc_codec.exact.grid import (
    BIAS_BITS,
    EXP_BITS,
    EXP_RANGE,
    GELU_BITS,
    Linear,
    Silu,
    State,
    layer_norm,
    look_up,
    snap,
)
from arpc_codec.prior.adaptive import AdaptivePrediction
from arpc_codec.prior.features import CLIP, TAPS, PixelConfig, channel_features, pixel_features
from arpc_codec.prior.statistics import LARGEST_SCALE, ErrorStatistics, local_scales
from arpc_codec.prior.wavefront import Samples, rank, rows_of

NORM_EPS = 1e-5
RATE_BITS = 16
REACH = 1 - min(rank(offset) for offset in TAPS)


class Block:
    """One gated block with its cache of the last steps."""

    def __init__(self, state: State, name: str, batch: int, height: int) -> None:
        """For tiles of this number and height."""
        self.both = Linear(state, f"{name}.a", f"{name}.v")
        self.proj, self.down = (Linear(state, f"{name}.{part}") for part in ("proj", "down"))
        self.up = Linear(state, f"{name}.up", bits=GELU_BITS)
        self.taps = state[f"{name}.taps"] * 2.0 ** (GELU_BITS - BIAS_BITS)
        self.silu = Silu(state["tables.silu"])
        # [step modulo REACH, B, rows and two above, width]
        self.cache = np.zeros((REACH, batch, height + 2, self.taps.shape[1]))

    def __call__(self, x: Values, step: int, rows: slice) -> Values:
        """[n, d] of the rows of all tiles that have a pixel in this step."""
        gate, value = np.split(self.both(layer_norm(x, NORM_EPS)), 2, 1)
        here = self.cache[step % REACH]
        # Rows that ended since this storage was used must not be seen again.
        here[:, max(0, rows.start + 2 - REACH) : rows.start + 2] = 0
        own = here[:, rows.start + 2 : rows.stop + 2]
        own[...] = snap(gate, bits=10, limit=32.0).reshape(own.shape)
        mixed = np.zeros(own.shape)
        for tap, offset in zip(self.taps, TAPS, strict=True):
            first = 2 + offset[0]
            then = self.cache[(step + rank(offset)) % REACH, :, rows.start + first : rows.stop + first]
            # Multiples of 2^-21 below 2^28: the sum is exact in any order.
            mixed += then * tap
        x = snap(self.proj(snap(self.silu(mixed).reshape(value.shape) * value)) + x)
        return snap(self.down(self.silu(self.up.units(layer_norm(x, NORM_EPS)))) + x)


class Wavefront:
    """The prior over a batch of tiles of one size, from step to step.

    `begin(step)`, then for each place of the coding order `mixture(place)` and `settle(place, samples)`.
    """

    def __init__(
        self,
        state: State,
        config: PixelConfig,
        shape: tuple[int, int, int],
        bits: int,
    ) -> None:
        """shape: (tiles, height, width)."""
        self.config, self.bits = config, bits
        batch, height, _ = self.shape = shape
        self.prediction = AdaptivePrediction(config.channels, shape, bits)
        self.plan = self.prediction.plan
        order = [context.channel for context in self.plan]
        self.places = [order.index(channel) for channel in range(len(order))]
        self.errors = Samples(*shape, config.channels, 0.0)
        self.statistics = ErrorStatistics(config.channels, shape)
        self.embed = Linear(state, "embed")
        self.blocks = [Block(state, f"blocks.{i}", batch, height) for i in range(config.depth)]
        self.inner = [Linear(state, f"inner.{i}", bits=GELU_BITS) for i in range(config.channels)]
        self.outer = [Linear(state, f"outer.{i}") for i in range(config.channels)]
        self.silu = Silu(state["tables.silu"])
        self.exp = np.rint(state["tables.exp"] * 2.0 ** (WEIGHT_BITS - 16))
        self.rate = state["tables.rate"] * 2.0**-16

    def begin(self, step: int) -> None:
        """Compute what does not depend on the step's own pixels."""
        rows = self.now = rows_of(step, *self.shape[1:])
        self.prediction.begin(step, rows)
        self.errors.go(step, rows)
        self.scales = snap(local_scales(self.errors), limit=LARGEST_SCALE)
        known = self.statistics.features(step, rows)
        features = snap(pixel_features(np, self.prediction.samples, self.errors, self.scales, known))
        self.z: list[Values] = []
        h = self.embed(features.reshape(len(features), -1).T)
        for block in self.blocks:
            h = block(h, step, rows)
        self.h = layer_norm(h, NORM_EPS)

    def mixture(self, place: int) -> Mixture:
        """Distributions of the step's samples of one channel, tiles and rows flattened."""
        channel = self.plan[place].channel
        self.mean = snap(self.prediction.predict(place), MEAN_BITS, LARGEST_SCALE)
        before = [z.clip(-CLIP, CLIP) for z in self.z]
        base = self.prediction.bases[channel]
        own = snap(channel_features(np, self.mean, base, self.scales[channel], before))
        hidden = self.silu(self.inner[place].units(np.concatenate([self.h, own.reshape(len(own), -1).T], 1)))
        weight, shift, rate = np.split(np.ascontiguousarray(self.outer[place](hidden).T), 3)
        scale, centre = self.scales[channel].ravel(), self.mean.ravel()
        distance = np.rint((weight.max(0) - weight) * 2.0**EXP_BITS).clip(None, (EXP_RANGE << EXP_BITS) - 1)
        weights = self.exp.take(distance.astype(np.intp))
        means = snap(centre + shift * scale, MEAN_BITS, 2.0**18)
        rates = snap(look_up(self.rate, rate, EXP_BITS) / scale, RATE_BITS, 64.0).clip(2.0**-RATE_BITS)
        return Mixture(means, rates, weights, np.rint(centre), self.bits)

    def settle(self, place: int, samples_n: Values) -> None:
        """The step's true samples of one channel, in the order of `mixture`."""
        channel = self.plan[place].channel
        here = samples_n.reshape(self.shape[0], -1)
        self.prediction.settle(place, here)
        error = here - self.mean
        self.errors.put(channel, error)
        self.z.append(error / self.scales[channel])
        if place == self.config.channels - 1:
            self.statistics.learn(np.stack([self.z[place] for place in self.places]))
