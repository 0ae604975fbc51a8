"""The lossless prior in exact arithmetic, one wavefront step at a time.

A step computes only its own pixels: the gated blocks keep what they computed in the last steps (cache), and pick the
taps of the masked convolution out of it as slices (select).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..entropy.mixture import MEAN_BITS, WEIGHT_BITS, Mixture, Values
from ..prior.adapter import FACTOR_BITS, SHIFT_BITS, Adapter, layer, layers
from ..prior.adaptive import AdaptivePrediction
from ..prior.pixel import CLIP, TAPS, Block, PixelConfig, PixelPrior, channel_features, pixel_features
from ..prior.statistics import ErrorStatistics, local_scales
from ..prior.wavefront import Samples, rank, rows_of
from .fixed import (
    ACTIVATION_BITS,
    BIAS_BITS,
    ExactLinear,
    layer_norm,
    look_up,
    quantize_bias,
    quantize_rows,
    snap,
)
from .fixed import (
    WEIGHT_BITS as MATRIX_BITS,
)
from .tables import EXP_BITS, EXP_RANGE, GELU_BITS, exp_table, rate_table, sigmoid_table, silu_table

NORM_EPS = 1e-5
RATE_BITS = 16
REACH = 1 - min(rank(offset) for offset in TAPS)


@torch.no_grad()
def export_pixel(prior: PixelPrior) -> dict[str, Tensor]:
    """Integer state: int16 weights, int8 row exponents, int32 biases, tables; norms folded into the next layers."""
    state: dict[str, Tensor] = {}

    def put(name: str, weight: Tensor, bias: Tensor) -> None:
        state[f"{name}.weight"], state[f"{name}.exponent"] = quantize_rows(weight.double())
        state[f"{name}.bias"] = quantize_bias(bias)

    def put_normed(name: str, layer: nn.Linear, norm: nn.LayerNorm) -> None:
        weight, own = layer.weight[:, : len(norm.weight)], layer.weight[:, len(norm.weight) :]
        put(name, torch.cat([weight * norm.weight, own], 1), layer.bias + weight @ norm.bias)

    put("embed", prior.embed.weight, prior.embed.bias)
    for i, block in enumerate(cast(list[Block], list(prior.blocks))):
        put_normed(f"blocks.{i}.a", block.gating.a, block.norm1)
        put_normed(f"blocks.{i}.v", block.gating.v, block.norm1)
        state[f"blocks.{i}.taps"] = quantize_bias(block.gating.taps)
        put(f"blocks.{i}.proj", block.gating.proj.weight, block.gating.proj.bias)
        put_normed(f"blocks.{i}.up", block.up, block.norm2)
        put(f"blocks.{i}.down", block.down.weight, block.down.bias)
    for place in range(prior.config.channels):
        inner, outer = cast(nn.Linear, prior.inner[place]), cast(nn.Linear, prior.outer[place])
        put_normed(f"inner.{place}", inner, prior.norm)
        put(f"outer.{place}", outer.weight, outer.bias)
    state["tables.silu"], state["tables.exp"] = silu_table(), exp_table()
    state["tables.rate"], state["tables.sigmoid"] = rate_table(), sigmoid_table()
    return {name: tensor.contiguous() for name, tensor in state.items()}


@torch.no_grad()
def import_pixel(config: PixelConfig, state: dict[str, Tensor]) -> PixelPrior:
    """The float prior of an integer state, for adapting it to a picture: norms stay folded into the next layers."""
    prior = PixelPrior(config)
    for name in layers(config):
        linear = layer(prior, name)
        linear.weight.copy_(state[f"{name}.weight"] * torch.exp2(-state[f"{name}.exponent"].float())[:, None])
        linear.bias.copy_(state[f"{name}.bias"] * 2.0**-BIAS_BITS)
    for i, block in enumerate(cast(list[Block], list(prior.blocks))):
        block.gating.taps.copy_(state[f"blocks.{i}.taps"] * 2.0**-BIAS_BITS)
    return prior


def adapted(state: dict[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """Integer state with the changes of an adapter: sums and products of small integers, the same everywhere."""
    result = dict(state)
    for name in (part.removesuffix(".b") for part in adapter if part.endswith(".b")):
        weight, exponent = state[f"{name}.weight"].double(), state[f"{name}.exponent"].int()
        # Below 2^8 ranks of 2^14, times a power of two: exact in float64.
        change = adapter[f"{name}.b"].double() @ adapter[f"{name}.a"].double()
        matrix = weight + change * powers(exponent - 2 * FACTOR_BITS)
        result[f"{name}.weight"], result[f"{name}.exponent"] = narrowed(matrix, exponent)
    for name in (part for part in adapter if part.endswith((".bias", ".taps"))):
        change = adapter[name].double() * 2.0 ** (BIAS_BITS - SHIFT_BITS)
        result[name] = (state[name].double() + change).clamp(-(2**30), 2**30).to(torch.int32)
    return result


def narrowed(matrix: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """int16 matrix and int8 exponents: rows of [out, in] in units of 2^-exponent, halved until they fit."""
    limit = 2.0**MATRIX_BITS - 1
    while (wide := matrix.abs().amax(1).round() > limit).any():
        matrix, exponent = torch.where(wide[:, None], matrix / 2, matrix), exponent - wide.int()
    return matrix.round().to(torch.int16), exponent.to(torch.int8)


def powers(exponent: Tensor) -> Tensor:
    """2^exponent [out] as a column; from Python, as libraries' powers of two need not be exact."""
    return torch.tensor([2.0**e for e in exponent.tolist()], dtype=torch.float64)[:, None]


class Silu:
    """silu of values rounded to multiples of 2^-9 within +-64, on the activation grid."""

    def __init__(self, table: Tensor) -> None:
        """table: int32, see `silu_table`; its ends hold beyond it."""
        index = torch.arange(-64 << GELU_BITS, (64 << GELU_BITS) + 1, device=table.device)
        below = table[(index + len(table) // 2).clamp(0, len(table) - 1)].double() * 2.0**-ACTIVATION_BITS
        self.values, self.limit = below + index.clamp_min(0).double() * 2.0**-GELU_BITS, float(64 << GELU_BITS)

    def __call__(self, units: Tensor) -> Tensor:
        """Of values in units of 2^-9, which are overwritten. Same shape."""
        index = units.round_().clamp_(-self.limit, self.limit).add_(self.limit).to(torch.int32)
        return self.values.index_select(0, index.flatten()).view(units.shape)


class ExactBlock:
    """One gated block with its cache of the last steps."""

    def __init__(self, state: dict[str, Tensor], name: str, device: torch.device) -> None:
        self.both = ExactLinear(stacked(state, f"{name}.a", f"{name}.v"), "", device)
        self.proj, self.down = (ExactLinear(state, f"{name}.{part}", device) for part in ("proj", "down"))
        self.up = ExactLinear(state, f"{name}.up", device, GELU_BITS)
        self.taps = state[f"{name}.taps"].to(device).double() * 2.0 ** (GELU_BITS - BIAS_BITS)
        self.silu = Silu(state["tables.silu"].to(device))

    def start(self, batch: int, height: int) -> None:
        """An empty cache for tiles: [step modulo REACH, B, rows and two above, width]."""
        self.cache = self.taps.new_zeros(REACH, batch, height + 2, self.taps.shape[1])

    def __call__(self, x: Tensor, step: int, rows: slice) -> Tensor:
        """[B, R, d] of the rows that have a pixel in this step."""
        gate, value = self.both(layer_norm(x, NORM_EPS)).chunk(2, -1)
        here = self.cache[step % REACH]
        # Rows that ended since this storage was used must not be seen again.
        here[:, max(0, rows.start + 2 - REACH) : rows.start + 2] = 0
        here[:, rows.start + 2 : rows.stop + 2] = snap(gate, bits=10, limit=32.0)
        mixed = torch.zeros_like(x)
        for tap, offset in zip(self.taps, TAPS, strict=True):
            first = 2 + offset[0]
            then = self.cache[(step + rank(offset)) % REACH, :, rows.start + first : rows.stop + first]
            mixed.addcmul_(then, tap)
        x = snap(self.proj(snap(self.silu(mixed).mul_(value))).add_(x))
        return snap(self.down(self.silu(self.up.units(layer_norm(x, NORM_EPS)))).add_(x))


def stacked(state: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    """Layers with the same input as one."""
    parts = ("weight", "exponent", "bias")
    return {f".{part}": torch.cat([state[f"{name}.{part}"] for name in names]) for part in parts}


class Wavefront:
    """The prior over a batch of tiles of one size, from step to step.

    `begin(step)`, then for each place of the coding order `mixture(place)` and `settle(place, samples)`.
    """

    def __init__(
        self,
        state: dict[str, Tensor],
        config: PixelConfig,
        shape: tuple[int, int, int],
        bits: int,
        device: torch.device,
    ) -> None:
        """shape: (tiles, height, width)."""
        self.config, self.bits, self.device = config, bits, device
        batch, height, _ = self.shape = shape
        self.prediction = AdaptivePrediction(config.channels, shape, bits)
        self.plan = self.prediction.plan
        order = [context.channel for context in self.plan]
        self.places = [order.index(channel) for channel in range(len(order))]
        self.errors = Samples(*shape, config.channels, 0.0)
        self.statistics = ErrorStatistics(config.channels, shape)
        self.embed = ExactLinear(state, "embed", device)
        self.blocks = [ExactBlock(state, f"blocks.{i}", device) for i in range(config.depth)]
        for block in self.blocks:
            block.start(batch, height)
        self.inner = [ExactLinear(state, f"inner.{i}", device, GELU_BITS) for i in range(config.channels)]
        self.outer = [ExactLinear(state, f"outer.{i}", device) for i in range(config.channels)]
        self.silu = Silu(state["tables.silu"].to(device))
        self.exp = (state["tables.exp"].double() * 2.0 ** (WEIGHT_BITS - 16)).round()
        self.rate = state["tables.rate"].double() * 2.0**-16

    def begin(self, step: int) -> None:
        """Compute what does not depend on the step's own pixels."""
        rows = self.now = rows_of(step, *self.shape[1:])
        self.prediction.begin(step, rows)
        self.errors.go(step, rows)
        self.scales = snap(local_scales(self.errors), limit=2.0**17)
        known = torch.from_numpy(self.statistics.features(step, rows))
        features = snap(pixel_features(self.prediction.samples, self.errors, self.scales, known))
        self.z: list[Tensor] = []
        h = self.embed(features.to(self.device))
        for block in self.blocks:
            h = block(h, step, rows)
        self.h = layer_norm(h, NORM_EPS)

    def mixture(self, place: int) -> Mixture:
        """Distributions of the step's samples of one channel, tiles and rows flattened."""
        channel = self.plan[place].channel
        self.mean = snap(torch.from_numpy(self.prediction.predict(place)), MEAN_BITS, 2.0**17)
        before = [z.clamp(-CLIP, CLIP) for z in self.z]
        base = torch.from_numpy(self.prediction.bases[channel])
        own = snap(channel_features(self.mean, base, self.scales[channel], before))
        hidden = self.silu(self.inner[place].units(torch.cat([self.h, own.to(self.device)], -1)))
        weight, shift, rate = self.outer[place](hidden).flatten(0, 1).T.contiguous().cpu().chunk(3)
        scale = self.scales[channel].flatten()
        distance = (weight.amax(0) - weight).mul_(2.0**EXP_BITS)
        index = distance.round_().clamp_(max=(EXP_RANGE << EXP_BITS) - 1).to(torch.int32)
        weights = self.exp.index_select(0, index.flatten()).view_as(weight)
        centre = self.mean.flatten()
        means = snap(centre + shift * scale, MEAN_BITS, 2.0**18)
        rates = snap(look_up(self.rate, rate, EXP_BITS).div_(scale), RATE_BITS, 64.0).clamp_min(2.0**-RATE_BITS)
        return Mixture(means.numpy(), rates.numpy(), weights.numpy(), centre.round().numpy(), self.bits)

    def settle(self, place: int, samples_n: Values) -> None:
        """The step's true samples of one channel, in the order of `mixture`."""
        channel = self.plan[place].channel
        here = samples_n.reshape(self.shape[0], -1)
        self.prediction.settle(place, here)
        error = here - self.mean.numpy()
        self.errors.put(channel, error)
        self.z.append(torch.from_numpy(error) / self.scales[channel])
        if place == self.config.channels - 1:
            self.statistics.learn(torch.stack([self.z[place] for place in self.places]).numpy())
