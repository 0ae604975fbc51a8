"""LPIPS v0.1 (Zhang et al., CVPR 2018) with AlexNet or SqueezeNet 1.1 features, as metric and as loss."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from arpc_codec.metrics.weights import weights_file

Net = Literal["alex", "squeeze"]


class _Fire(nn.Module):
    """SqueezeNet's block: a 1x1 bottleneck, then 1x1 and 3x3 convolutions side by side."""

    def __init__(self, channels: int, bottleneck: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, bottleneck, 1)
        self.expand1x1 = nn.Conv2d(bottleneck, expand, 1)
        self.expand3x3 = nn.Conv2d(bottleneck, expand, 3, padding=1)

    def forward(self, x_bchw: Tensor) -> Tensor:
        s_bchw = F.relu(self.squeeze(x_bchw))
        return torch.cat([F.relu(self.expand1x1(s_bchw)), F.relu(self.expand3x3(s_bchw))], dim=1)


def _alex() -> tuple[nn.Sequential, tuple[int, ...], tuple[int, ...]]:
    """Layers in torchvision's numbering, the layers tapped, and the channels of each tap."""
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1),
        nn.ReLU(),
    )
    return layers, (1, 4, 7, 9, 11), (64, 192, 384, 256, 256)


def _squeeze() -> tuple[nn.Sequential, tuple[int, ...], tuple[int, ...]]:
    """Layers in torchvision's numbering, the layers tapped, and the channels of each tap."""
    layers = nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(64, 16, 64),
        _Fire(128, 16, 64),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(128, 32, 128),
        _Fire(256, 32, 128),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        _Fire(256, 48, 192),
        _Fire(384, 48, 192),
        _Fire(384, 64, 256),
        _Fire(512, 64, 256),
    )
    return layers, (1, 4, 7, 9, 10, 11, 12), (64, 128, 256, 384, 384, 512, 512)


class LPIPS(nn.Module):
    """Learned perceptual distance, frozen, differentiable in both pictures.

    Features may run under autocast (bfloat16); normalisation and means are always float32.
    """

    def __init__(self, net: Net, weights: Path | str | None = None) -> None:
        """`weights`: file or folder (see `weights_file`). Raises ModelError when it is missing."""
        super().__init__()
        if net not in ("alex", "squeeze"):
            raise ValueError(f"net must be 'alex' or 'squeeze', not {net!r}")
        self.net = net
        path = weights_file(f"lpips_{net}_v0.1.safetensors", weights)
        # On "meta" nothing is initialised, so that building a metric leaves the random state alone.
        with torch.device("meta"):
            self.features, self.taps, channels = _alex() if net == "alex" else _squeeze()
            self.scaling = nn.Module()
            self.scaling.register_buffer("shift", torch.zeros(1, 3, 1, 1))
            self.scaling.register_buffer("scale", torch.ones(1, 3, 1, 1))
            for i, c in enumerate(channels):
                head = nn.Module()
                head.register_buffer("weight", torch.zeros(1, c, 1, 1))
                self.add_module(f"lin{i}", head)
        self.load_state_dict(load_file(path), assign=True)
        self.requires_grad_(False)
        self.eval()

    def feature_maps(self, x_bchw: Tensor) -> list[Tensor]:
        """Tapped feature maps of RGB `[N,3,H,W]` in [-1,1], each scaled to unit length over channels."""
        x_bchw = (x_bchw - self.get_buffer("scaling.shift")) / self.get_buffer("scaling.scale")
        maps: list[Tensor] = []
        for i, layer in enumerate(self.features):
            x_bchw = layer(x_bchw)
            if i in self.taps:
                f_bchw = x_bchw.float()
                # The clamp changes no value that matters; without it sqrt has an infinite slope at 0.
                norm_b1hw = f_bchw.square().sum(1, keepdim=True).clamp_min(1e-20).sqrt()
                maps.append(f_bchw / (norm_b1hw + 1e-10))
        return maps

    def distance(self, a_maps: list[Tensor], b_maps: list[Tensor]) -> Tensor:
        """LPIPS `[N]` between two results of `feature_maps` (a target's maps can be kept and reused)."""
        total_b = a_maps[0].new_zeros(a_maps[0].shape[0])
        for i, (a_bchw, b_bchw) in enumerate(zip(a_maps, b_maps, strict=True)):
            # The head is linear, so the mean over pixels may come first.
            mean_bc = (a_bchw - b_bchw).square().mean((2, 3))
            total_b = total_b + (mean_bc * self.get_buffer(f"lin{i}.weight").flatten()).sum(1)
        return total_b

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance `[N]` of RGB batches `[N,3,H,W]` in [-1,1]; sides of 64 pixels and more are safe."""
        return self.distance(self.feature_maps(a), self.feature_maps(b))
