"""Residual blocks of the convolutional networks, and the attention module that is built of them.

All of them work on one position and its neighbours: whatever is normalised, is normalised over the channels of one
position only, so a picture decoded in tiles with a halo equals the whole one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.scales import STRIDE


def linear_picture(conv: nn.Conv2d, z: Tensor, size: int) -> Tensor:
    """A decoder's linear path: a picture [B, 3, 16H, 16W] of z [B, C, H, W], drawn in squares of `size` pixels."""
    drawn = F.pixel_shuffle(conv(z), STRIDE // size)
    return drawn if size == 1 else F.interpolate(drawn, scale_factor=size, mode="bilinear")


def zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution with weights and bias of zero: what it adds to starts unchanged."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv


class Residual(nn.Module):
    """x + branch(x), the branch's last convolution starting at zero."""

    def branch(self, x: Tensor) -> Tensor:
        """What is added to x, of the same shape."""
        raise NotImplementedError

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        """`modulation` [B, 2C]: scale (less 1) and bias of the branch before it is added."""
        added = self.branch(x)
        if modulation is not None:
            scale, bias = modulation[:, :, None, None].chunk(2, 1)
            added = added * (1 + scale) + bias
        return x + added


class ResidualBlock(Residual):
    """x + conv(act(conv(norm(x)))) with dense 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = zeroed(nn.Conv2d(width, width, 3, padding=1))

    def branch(self, x: Tensor) -> Tensor:
        # In channels-last memory this is a view, not a copy.
        normed = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.conv2(F.silu(self.conv1(normed)))


class Bottleneck(Residual):
    """1x1 to half the channels, dense 3x3, 1x1 back: a fifth of a ResidualBlock's work (ELIC's unit)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, width // 2, 1)
        self.conv = nn.Conv2d(width // 2, width // 2, 3, padding=1)
        self.expand = zeroed(nn.Conv2d(width // 2, width, 1))

    def branch(self, x: Tensor) -> Tensor:
        return self.expand(F.relu(self.conv(F.relu(self.reduce(x)))))


class DepthwiseHalf(Residual):
    """First half of DCVC-RT's block: 1x1, ReLU, depthwise 3x3, 1x1 (ProGIC replaces WSiLU by ReLU)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.conv2 = zeroed(nn.Conv2d(width, width, 1))

    def branch(self, x: Tensor) -> Tensor:
        return self.conv2(self.depthwise(F.relu(self.conv1(x))))


class FeedForwardHalf(Residual):
    """Second half of DCVC-RT's block: 1x1 to four times the channels, ReLU, pairs of channels added, 1x1 back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, 4 * width, 1)
        self.conv2 = zeroed(nn.Conv2d(2 * width, width, 1))

    def branch(self, x: Tensor) -> Tensor:
        first, second = F.relu(self.conv1(x)).chunk(2, 1)
        return self.conv2(first + second)


def blocks(width: int, depth: int, dense: bool) -> nn.Sequential:
    """`depth` dense residual blocks, or `depth` light blocks of two residual halves each."""
    if dense:
        return nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
    return nn.Sequential(*(half(width) for _ in range(depth) for half in (DepthwiseHalf, FeedForwardHalf)))


class Attention(nn.Module):
    """x + gain * trunk(x) * sigmoid(mask(x)) (ELIC); the gain of each channel starts at 0, so x passes unchanged."""

    def __init__(self, width: int, depth: int, dense: bool) -> None:
        super().__init__()
        trunk, mask = (
            nn.Sequential(*(Bottleneck(width) for _ in range(depth))) if dense else blocks(width, depth, dense=False)
            for _ in range(2)
        )
        self.trunk, self.mask = trunk, mask.append(nn.Conv2d(width, width, 1))
        self.gain = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain[:, None, None] * self.trunk(x) * torch.sigmoid(self.mask(x))
