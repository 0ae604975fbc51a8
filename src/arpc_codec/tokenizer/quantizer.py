"""Multi-scale residual binary spherical quantizer with group masks (GM-BMSRQ of ARPC, ICLR 2026)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from arpc_codec.scales import Schedule, active_channels
from arpc_codec.scales.resample import WEIGHT_BITS
from arpc_codec.tokenizer.multiscale import MultiScaleQuantizer, binary_entropy

# Gains are a piecewise linear function of the relative side, with knots at side/final side = 1, 1/2, 1/4 ... 1/64.
GAIN_KNOTS = 7


class MultiScaleBSQ(MultiScaleQuantizer):
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
        super().__init__(channels, channels, grid_bits)
        self.fill, self.masked = fill, masked
        knots = torch.linspace(0.6, 1.0, GAIN_KNOTS) if learned_gains else torch.ones(GAIN_KNOTS)
        if learned_gains:
            self.gain_knots = nn.Parameter(knots)
        else:
            self.register_buffer("gain_knots", knots)

    def active(self, total_scales: int) -> tuple[int, ...]:
        """Active channels of each scale of a schedule with `total_scales` scales."""
        return active_channels(total_scales, self.channels) if self.masked else (self.channels,) * total_scales

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

    def coded(self, schedule: Schedule) -> tuple[slice, ...]:
        """The leading bits."""
        return tuple(slice(0, count) for count in self.active(len(schedule)))

    def choose(self, residual_bchw: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Signs of all channels, those of masked ones too."""
        return (residual_bchw > 0).permute(0, 2, 3, 1)

    def flipped(self, bits_bhwd: Tensor, rate: float, scale: int, schedule: Schedule) -> Tensor:
        """A share of the bits is flipped."""
        return bits_bhwd ^ (torch.rand(bits_bhwd.shape, device=bits_bhwd.device) < rate)

    def code(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """[B, h, w, C] bits -> [B, C, h, w] code values."""
        return self._codes(bits_bhwd.double() * 2 - 1, scale, schedule)

    def expected(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """From the chance of a 1 for each bit."""
        unit = 2.0**self.grid_bits
        return (self._codes(chances_hwn[None] * 2 - 1, scale, schedule).detach() * unit).round() / unit

    def entropy(self, chances_hwn: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """Of the coded bits."""
        return binary_entropy(chances_hwn[..., self.coded(schedule)[scale]]).sum(-1)

    def symbols(self, bits_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        """+-1 for active bits, 0 for the others."""
        signs = bits_bhwd.permute(0, 3, 1, 2).float() * 2 - 1
        signs[:, self.active(len(schedule))[scale] :] = 0
        return signs

    def _codes(self, signs_bhwd: Tensor, scale: int, schedule: Schedule) -> Tensor:
        signs, active = signs_bhwd.permute(0, 3, 1, 2), self.active(len(schedule))[scale]
        if active < self.channels:
            signs = torch.cat([signs[:, :active], torch.full_like(signs[:, active:], self.fill)], 1)
        return signs * self.magnitude(schedule[scale], schedule[-1])
