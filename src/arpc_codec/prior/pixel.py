"""The lossless prior: how far, and in which shape, samples scatter around their adaptive linear prediction.

Features of a pixel are errors of the prediction and differences of samples nearby, in units of the local error, so that
the network does not know how bright, how noisy or how deep a picture is. Blocks of content-aware gating (HPAC, CALLIC)
mix them over the causal neighbourhood; a head for each channel, which also sees the channels before it, gives a mixture
of logistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .adaptive import HERE, NE, NN, NW, WW, N, W, contexts
from .wavefront import Offset, causal

ERRORS = tuple(causal(3))
NEARBY = (W, NW, NE, WW, NN)
# Offsets of the gated blocks: what they computed at the pixel itself counts too.
TAPS = (HERE, *causal(2))
# Weights (of 8) of the errors nearby in the local scale, and the least scale, in samples.
SCALE_WEIGHTS = ((W, 2.0), (N, 2.0), (NW, 1.0), (NE, 1.0), (WW, 1.0), (NN, 1.0))
LEAST_SCALE = 0.5
CLIP = 8.0
# Scales at which s / (s + a) tells scales apart.
SCALE_MARKS = (1.0, 8.0)


class Field(Protocol):
    """Something that has a value at every pixel: samples, predictions or errors."""

    def __call__(self, channel: int, offset: Offset) -> Tensor:
        """The values at an offset from the pixels in question."""


def local_scale(error: Field, channel: int) -> Tensor:
    """Weighted mean of the absolute errors nearby, at least 0.5 samples."""
    total = LEAST_SCALE * 8.0 + 0 * error(channel, W)
    for offset, weight in SCALE_WEIGHTS:
        total = total + weight * error(channel, offset).abs()
    return total / 8.0


def pixel_features(sample: Field, error: Field, scales: list[Tensor]) -> Tensor:
    """[..., F] features that do not depend on the pixel itself."""
    parts = []
    for channel, scale in enumerate(scales):
        base = (sample(channel, W) + sample(channel, N)) / 2
        parts += [(error(channel, o) / scale).clamp(-CLIP, CLIP) for o in ERRORS]
        parts += [((sample(channel, o) - base) / scale).clamp(-CLIP, CLIP) for o in NEARBY]
        parts += [scale / (scale + mark) for mark in SCALE_MARKS]
    return torch.stack(parts, -1)


def channel_features(
    channel: int, before: tuple[int, ...], sample: Field, error: Field, mean: Tensor, scales: list[Tensor]
) -> Tensor:
    """[..., G] features of one channel once those before it are known; `mean`: its prediction."""
    scale = scales[channel]
    base = (sample(channel, W) + sample(channel, N)) / 2
    parts = [((mean - base) / scale).clamp(-CLIP, CLIP), *(scale / (scale + mark) for mark in SCALE_MARKS)]
    for other in before:
        z = (error(other, HERE) / scales[other]).clamp(-CLIP, CLIP)
        parts += [z, z.abs()]
    return torch.stack(parts, -1)


@dataclass(frozen=True)
class PixelConfig:
    """channels: 1 (grey or alpha) or 3. mixtures: logistics in a mixture."""

    channels: int = 3
    width: int = 64
    depth: int = 2
    expand: int = 3
    head: int = 64
    mixtures: int = 4


class Gating(nn.Module):
    """proj(silu(masked depthwise convolution(a x)) * (v x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.v = nn.Linear(width, width), nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self.taps = nn.Parameter(torch.zeros(len(TAPS), width))
        nn.init.normal_(self.taps, 0.0, 0.2)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x_bhwd: Tensor) -> Tensor:
        gate = self.a(x_bhwd)
        height, width = gate.shape[1:3]
        padded = F.pad(gate, (0, 0, 2, 2, 2, 0))
        mixed = torch.zeros_like(gate)
        for tap, (dr, dc) in zip(self.taps, TAPS, strict=True):
            mixed = mixed + padded[:, 2 + dr : 2 + dr + height, 2 + dc : 2 + dc + width] * tap
        return self.proj(F.silu(mixed) * self.v(x_bhwd))


class Block(nn.Module):
    """Gating and an MLP, each behind a norm and beside an identity."""

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        width = config.width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.gating = Gating(width)
        self.up, self.down = nn.Linear(width, config.expand * width), nn.Linear(config.expand * width, width)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gating(self.norm1(x))
        return x + self.down(F.silu(self.up(self.norm2(x))))


class PixelPrior(nn.Module):
    """Mixtures of every sample of tiles, from the samples and their adaptive predictions."""

    def __init__(self, config: PixelConfig) -> None:
        super().__init__()
        self.config = config
        features = config.channels * (len(ERRORS) + len(NEARBY) + len(SCALE_MARKS))
        self.embed = nn.Linear(features, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.order = tuple(context.channel for context in contexts(config.channels))
        self.inner = nn.ModuleList(
            nn.Linear(config.width + 1 + len(SCALE_MARKS) + 2 * place, config.head) for place in range(config.channels)
        )
        outer = [nn.Linear(config.head, 3 * config.mixtures) for _ in range(config.channels)]
        for layer in outer:
            nn.init.zeros_(layer.weight)
            with torch.no_grad():
                # Logistics of growing width around the prediction.
                rates = torch.linspace(1.2, -0.6, config.mixtures)
                layer.bias.copy_(torch.cat([torch.zeros(2 * config.mixtures), rates]))
        self.outer = nn.ModuleList(outer)

    def forward(self, x_bhwc: Tensor, mean_bhwc: Tensor, outside: float) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per channel (weight logits, means, log of 1 / scale), each [B, H, W, K], in samples.

        `outside`: what counts as a sample beyond the tile, the middle of the alphabet.
        """
        sample, error = Grid(x_bhwc, outside), Grid(x_bhwc - mean_bhwc, 0.0)
        scales = [local_scale(error, c) for c in range(self.config.channels)]
        h = self.embed(pixel_features(sample, error, scales))
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        result: list[tuple[Tensor, Tensor, Tensor]] = [(h, h, h)] * self.config.channels
        for place, channel in enumerate(self.order):
            mean = mean_bhwc[..., channel]
            own = channel_features(channel, self.order[:place], sample, error, mean, scales)
            out = self.outer[place](F.silu(self.inner[place](torch.cat([h, own], -1))))
            weight, shift, rate = out.chunk(3, -1)
            scale = scales[channel][..., None]
            result[channel] = (weight, mean[..., None] + shift * scale, rate - scale.log())
        return result


class Grid:
    """A field over whole tiles [B, H, W, C], `outside` beyond them (the nearest value inside would be a later one)."""

    def __init__(self, values_bhwc: Tensor, outside: float) -> None:
        self.size = values_bhwc.shape[1:3]
        self.padded = F.pad(values_bhwc.permute(0, 3, 1, 2), (3, 3, 3, 0), value=outside)

    def __call__(self, channel: int, offset: Offset) -> Tensor:
        """[B, H, W]."""
        (height, width), (dr, dc) = self.size, offset
        return self.padded[:, channel, 3 + dr : 3 + dr + height, 3 + dc : 3 + dc + width]


def mixture_bits(weight: Tensor, mean: Tensor, rate: Tensor, x: Tensor) -> Tensor:
    """Bits of samples [...] under discretised mixtures [..., K] (PixelCNN++), a uniform share of 2^-14 included."""
    inverse = rate.clamp(-11, 4).exp()
    z = x[..., None] - mean
    upper, lower = (z + 0.5) * inverse, (z - 0.5) * inverse
    # sigmoid(upper) - sigmoid(lower), without cancellation in the tails.
    flip = torch.where(z > 0, -1.0, 1.0)
    mass = (torch.sigmoid(flip * upper) - torch.sigmoid(flip * lower)).abs()
    total = (weight.softmax(-1) * mass).sum(-1)
    return -torch.log2(total + 2.0**-22)


def coding_bits(prior: PixelPrior, x: Tensor, errors: Tensor, outside: float, margin: int = 0) -> Tensor:
    """Bits [C, B, h, w] of the samples x [B, H, W, C] further than `margin` from the edges that a crop cannot see past.

    errors: samples less their adaptive predictions.
    """
    inside = (slice(None), slice(margin, None), slice(margin, -margin or None))
    mixtures = prior(x, x - errors, outside)
    return torch.stack(
        [mixture_bits(w[inside], m[inside], r[inside], x[(*inside, c)]) for c, (w, m, r) in enumerate(mixtures)]
    )
