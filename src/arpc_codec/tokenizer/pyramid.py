"""The published encoder and decoder: convolutions at every resolution, normalised over the whole picture.

    image -stem-> 1/1 level -stride 2-> 1/2 ... 1/16 level -> mid -> norm, act, 3x3 -> h
    z -stem-> mid -> 1/16 level -nearest x2, 3x3-> 1/8 ... 1/1 level -> norm, act, 3x3 -> image

Statistics of the whole picture mean that a part of it decodes to something slightly different than within the whole.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.tokenizer.config import PYRAMID_LEVELS, TokenizerConfig, norm_groups

NORM_EPS = 1e-6
# Residual blocks in the middle of either network.
MID_BLOCKS = 2


def norm(width: int) -> nn.GroupNorm:
    """GroupNorm of `width` channels, in as many groups as published."""
    return nn.GroupNorm(norm_groups(width), width, eps=NORM_EPS)


class NormedBlock(nn.Module):
    """shortcut(x) + conv(act(norm(conv(act(norm(x)))))); the shortcut is a 1x1 where the width changes."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.norm1 = norm(width_in)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm2 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width_in, width, 1) if width_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv1(F.silu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(F.silu(self.norm2(branch)))


class Down(nn.Conv2d):
    """3x3 convolution of stride 2, padded at the right and the bottom only."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Conv2d):
    """Every pixel doubled, then a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


class Level(nn.Module):
    """Residual blocks at one resolution, then the change to the next."""

    def __init__(self, width_in: int, width: int, depth: int, resample: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(NormedBlock(width if i else width_in, width) for i in range(depth)))
        self.resample = resample

    def forward(self, x: Tensor) -> Tensor:
        return self.resample(self.blocks(x))


class PyramidEncoder(nn.Module):
    """[B, 3, 16H, 16W] in [-1, 1] -> h [B, C, H, W]."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths = config.encoder_widths
        self.stem = nn.Conv2d(3, config.encoder_stem, 3, padding=1)
        self.levels = nn.Sequential(
            *(
                Level(width_in, width, depth, Down(width) if i < PYRAMID_LEVELS - 1 else nn.Identity())
                for i, (width_in, width, depth) in enumerate(
                    zip((config.encoder_stem, *widths), widths, config.encoder_depths, strict=False)
                )
            )
        )
        self.mid = nn.Sequential(*(NormedBlock(widths[-1], widths[-1]) for _ in range(MID_BLOCKS)))
        self.norm = norm(widths[-1])
        self.out = nn.Conv2d(widths[-1], config.channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        # Channels last the sums of the norms are less exact: h would differ by 1e-4.
        return self.out(F.silu(self.norm(self.mid(self.levels(self.stem(x.contiguous()))))))


class PyramidDecoder(nn.Module):
    """z [B, C, H, W] -> [B, 3, 16H, 16W], about [-1, 1]. It is not told what is missing: `state` is ignored."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        widths = config.decoder_widths
        self.stem = nn.Conv2d(config.channels, widths[-1], 3, padding=1)
        self.mid = nn.Sequential(*(NormedBlock(widths[-1], widths[-1]) for _ in range(MID_BLOCKS)))
        # Finest first, as in the config; run from the last to the first.
        self.levels = nn.ModuleList(
            Level(width_in, width, depth, Up(width) if 0 < i < PYRAMID_LEVELS else nn.Identity())
            for i, (width_in, width, depth) in enumerate(
                zip((*widths[1:], widths[-1]), widths, config.decoder_depths, strict=True)
            )
        )
        self.norm = norm(widths[0])
        self.out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Tensor, state: Tensor | None = None) -> Tensor:
        x = self.mid(self.stem(z))
        for level in reversed(self.levels):
            x = level(x)
        return self.out(F.silu(self.norm(x)))
