"""The lossless prior: how far, and in which shape, samples scatter around their adaptive linear prediction.

Blocks of content-aware gating (HPAC, CALLIC) mix the features of the pixels (`features.py`) over the causal
neighbourhood; a head for each channel, which also sees the channels before it, gives a mixture of logistics.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.prior.adaptive import N, W, contexts
from arpc_codec.prior.features import (
    CLIP,
    TAPS,
    PixelConfig,
    channel_features,
    own_inputs,
    pixel_features,
    pixel_inputs,
)
from arpc_codec.prior.observed import Observed, TensorGrid
from arpc_codec.prior.statistics import local_scales


class Gating(nn.Module):
    """proj(silu(masked depthwise convolution(a x)) * (v x))."""

    places: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.v = nn.Linear(width, width), nn.Linear(width, width)
        self.proj = nn.Linear(width, width)
        self.taps = nn.Parameter(torch.zeros(len(TAPS), width))
        self.register_buffer("places", torch.tensor([(2 + dr) * 5 + 2 + dc for dr, dc in TAPS]), persistent=False)
        nn.init.normal_(self.taps, 0.0, 0.2)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(self, x_bhwd: Tensor) -> Tensor:
        gate = self.a(x_bhwd)
        # A convolution of channels-last memory: four times faster to train than a sum of slices.
        kernel = self.taps.new_zeros(15, gate.shape[-1]).index_copy(0, self.places, self.taps).T.reshape(-1, 1, 3, 5)
        padded = F.pad(gate.permute(0, 3, 1, 2), (2, 2, 2, 0))
        # Its gradients take three times as long in bfloat16.
        with torch.autocast(x_bhwd.device.type, enabled=False):
            mixed = F.conv2d(padded.to(kernel.dtype), kernel, groups=gate.shape[-1]).to(gate.dtype).permute(0, 2, 3, 1)
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
        self.embed = nn.Linear(pixel_inputs(config.channels), config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.order = tuple(context.channel for context in contexts(config.channels))
        self.inner = nn.ModuleList(
            nn.Linear(config.width + own_inputs(place), config.head) for place in range(config.channels)
        )
        outer = [nn.Linear(config.head, 3 * config.mixtures) for _ in range(config.channels)]
        for layer in outer:
            nn.init.zeros_(layer.weight)
            with torch.no_grad():
                # Logistics of growing width around the prediction.
                rates = torch.linspace(1.2, -0.6, config.mixtures)
                layer.bias.copy_(torch.cat([torch.zeros(2 * config.mixtures), rates]))
        self.outer = nn.ModuleList(outer)

    def forward(self, seen: Observed) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per channel (weight logits, means, log of 1 / scale), each [B, H, W, K], in samples."""
        sample, error = TensorGrid(seen.samples, seen.middle), TensorGrid(seen.errors, 0.0)
        means, scales = (seen.samples - seen.errors).unbind(-1), local_scales(error)
        bases = (sample.window((W,)) + sample.window((N,)))[:, 0] / 2
        z = (seen.errors.movedim(-1, 0) / scales).clamp(-CLIP, CLIP)
        h = self.embed(pixel_features(torch, sample, error, scales, seen.statistics.movedim(-1, 0)).movedim(0, -1))
        for block in self.blocks:
            h = block(h)
        h = self.norm(h)
        result: list[tuple[Tensor, Tensor, Tensor]] = [(h, h, h)] * self.config.channels
        for place, channel in enumerate(self.order):
            mean, before = means[channel], [z[c] for c in self.order[:place]]
            own = channel_features(torch, mean, bases[channel], scales[channel], before).movedim(0, -1)
            out = self.outer[place](F.silu(self.inner[place](torch.cat([h, own], -1))))
            weight, shift, rate = out.chunk(3, -1)
            scale = scales[channel][..., None]
            result[channel] = (weight, mean[..., None] + shift * scale, rate - scale.log())
        return result


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


def coding_bits(prior: PixelPrior, seen: Observed, margin: int = 0) -> Tensor:
    """Bits [C, B, h, w] of the samples further than `margin` from the edges that a crop cannot see past."""
    inside = (slice(None), slice(margin, None), slice(margin, -margin or None))
    return torch.stack(
        [
            mixture_bits(w[inside], m[inside], r[inside], seen.samples[(*inside, c)])
            for c, (w, m, r) in enumerate(prior(seen))
        ]
    )
