"""A light context network that says what a latent costs while its analysis is trained; no file depends on it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Values beyond are as surprising.
SHOWN = 4
LEAST = 1e-6


class LightContext(nn.Module):
    """Rates of integers [B, C, H, W] in raster order, all positions at once: each is a discretised logistic.

    Its mean and width are told by the cells above and to the left (a masked 5x5 convolution), by the channels of the
    same cell that come before, and by the level.
    """

    mask: Tensor
    lower: Tensor

    def __init__(self, channels: int, levels: int, width: int = 192, units: int = 6) -> None:
        super().__init__()
        self.channels, self.units = channels, units
        self.around = nn.Conv2d(2 * channels, width, 5, padding=2)
        self.level = nn.Embedding(levels, width)
        self.mix = nn.Conv2d(width, width, 1)
        self.up = nn.Conv2d(width, channels * units, 1)
        self.own = nn.Parameter(torch.randn(2 * channels, channels * units) * 0.02)
        self.out = nn.Parameter(torch.randn(channels, units, 2) * 0.05)
        self.bias = nn.Parameter(torch.zeros(levels, channels, 2))
        mask = torch.zeros(5, 5)
        mask[:2] = mask[2, :2] = 1
        self.register_buffer("mask", mask)
        lower = torch.tril(torch.ones(channels, channels), -1).T.repeat(2, 1)
        self.register_buffer("lower", lower.repeat_interleave(units, 1))

    def forward(self, q_bchw: Tensor, level_b: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and width, each [B, C, H, W], of what is expected where the integers q are."""
        shown = torch.cat([q_bchw.clamp(-SHOWN, SHOWN), q_bchw.abs().clamp(max=SHOWN)], 1)
        x = F.conv2d(shown, self.around.weight * self.mask, self.around.bias, padding=2)
        x = F.silu(x + self.level(level_b)[:, :, None, None])
        x = x + F.silu(self.mix(x))
        units = self.up(x) + torch.einsum("bihw,ij->bjhw", shown, self.own * self.lower)
        told = torch.einsum("bcuhw,cuo->bcohw", F.silu(units).unflatten(1, (self.channels, self.units)), self.out)
        mean, width = (told.float() + self.bias[level_b][..., None, None]).unbind(2)
        return mean, width.clamp(-SHOWN, SHOWN).exp()


def logistic_bits(values_bchw: Tensor, mean: Tensor, width: Tensor) -> Tensor:
    """Bits [B] of intervals of one around the values, under logistic distributions."""
    distance = (values_bchw - mean).abs()
    chance = torch.sigmoid((0.5 - distance) / width) - torch.sigmoid((-0.5 - distance) / width)
    return -torch.log2(chance.clamp_min(LEAST)).sum((1, 2, 3))
