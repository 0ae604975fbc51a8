"""Multi-scale residual binary spherical quantizer with group masks (GM-BMSRQ, PAPERS 1.2; KEYS section 3).

h --(-z)--> residual --area--> sign --mask, gain--> code --bilinear--> (+) --> z
               ^                                                        |
               +----------------------- next scale ---------------------+
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..scales import Schedule, active_channels
from ..scales.resample import WEIGHT_BITS, area, bilinear

# Gains are a piecewise linear function of the relative side, with knots at side/final side = 1, 1/2, 1/4 ... 1/64.
GAIN_KNOTS = 7


class Quantized(NamedTuple):
    """bits: per scale [B, h, w, C] bool. prefixes: per scale the sum so far, [B, C, H, W]."""

    bits: list[Tensor]
    prefixes: list[Tensor]


class MultiScaleBSQ(nn.Module):
    """Sign bits of the residual at every scale; each code is +-gain/sqrt(C), masked channels are `fill` times that.

    Magnitudes and the weights of resampling are multiples of 2^-grid_bits.
    """

    gain_knots: Tensor

    def __init__(
        self,
        channels: int,
        *,
        fill: float = 0.0,
        learned_gains: bool = True,
        masked: bool = True,
        grid_bits: int = WEIGHT_BITS,
    ) -> None:
        super().__init__()
        self.channels, self.fill, self.masked, self.grid_bits = channels, fill, masked, grid_bits
        knots = torch.linspace(0.6, 1.0, GAIN_KNOTS) if learned_gains else torch.ones(GAIN_KNOTS)
        if learned_gains:
            self.gain_knots = nn.Parameter(knots)
        else:
            self.register_buffer("gain_knots", knots)

    def active(self, total_scales: int) -> tuple[int, ...]:
        """Active channels of each scale of a schedule with `total_scales` scales."""
        return active_channels(total_scales, self.channels) if self.masked else (self.channels,) * total_scales

    def resample(self, x_bchw: Tensor, size: tuple[int, int]) -> Tensor:
        """Codes to the size of the latent, or the sum so far to the next scale: [B, C, *size]."""
        return bilinear(x_bchw, size, self.grid_bits)

    def magnitude(self, size: tuple[int, int], final: tuple[int, int]) -> Tensor:
        """Magnitude of one code of a scale, rounded to the grid: with 12 bits, sums of codes are exact in float64."""
        # Only IEEE operations (no log): the same magnitude on every machine.
        side = math.sqrt(size[0] * size[1] / (final[0] * final[1]))
        low = 0
        while low < GAIN_KNOTS - 2 and side < 0.5 ** (low + 1):
            low += 1
        t = max(0.0, min(1.0, 2.0 - side * 2.0 ** (low + 1)))
        gain = self.gain_knots[low].double() * (1 - t) + self.gain_knots[low + 1].double() * t
        value = gain / gain.new_tensor(math.sqrt(self.channels))
        rounded = torch.round(value.detach() * 2**self.grid_bits) / 2**self.grid_bits
        return rounded + (value - value.detach())

    def code(self, bits_bhwc: Tensor, magnitude: Tensor, active: int) -> Tensor:
        """[B, h, w, C] bits -> [B, C, h, w] code values."""
        signs = bits_bhwc.permute(0, 3, 1, 2).to(magnitude.dtype) * 2 - 1
        if active < self.channels:
            signs = torch.cat([signs[:, :active], torch.full_like(signs[:, active:], self.fill)], 1)
        return signs * magnitude

    def forward(self, h_bchw: Tensor, schedule: Schedule, flip: Sequence[float] | None = None) -> Quantized:
        """Quantise [B, C, H, W] (H, W = the schedule's last scale) in float32.

        `flip` gives for each scale a fraction of bits to flip before the residual is taken on (bitwise self-correction,
        PAPERS 1.3): `prefixes` are then the corrupted sums and `bits` stay the true signs of the residuals.
        """
        final = schedule[-1]
        z = torch.zeros_like(h_bchw)
        bits: list[Tensor] = []
        prefixes: list[Tensor] = []
        for index, (size, active) in enumerate(zip(schedule, self.active(len(schedule)), strict=True)):
            residual = area((h_bchw - z).detach(), size)
            sign = (residual > 0).permute(0, 2, 3, 1)
            bits.append(sign)
            if flip is not None and flip[index] > 0:
                sign = sign ^ (torch.rand(sign.shape, device=sign.device) < flip[index])
            z = z + self.resample(self.code(sign, self.magnitude(size, final).to(h_bchw), active), final)
            prefixes.append(z)
        return Quantized(bits, prefixes)
