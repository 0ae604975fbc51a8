"""VGG-19 features (Simonyan & Zisserman, the original Caffe weights) for perceptual losses."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from arpc_codec.metrics.weights import weights_file

WEIGHTS = "vgg19_caffe_conv1_conv3_f16.safetensors"
_LAYERS = (
    ("conv1_1", 3, 64),
    ("conv1_2", 64, 64),
    ("conv2_1", 64, 128),
    ("conv2_2", 128, 128),
    ("conv3_1", 128, 256),
    ("conv3_2", 256, 256),
    ("conv3_3", 256, 256),
)
_TAPS = ("conv1_2", "conv2_2", "conv3_3")
_POOLED = ("conv1_2", "conv2_2")
_MEAN_BGR = (103.939, 116.779, 123.68)


class VGGFeatures(nn.Module):
    """conv1_2, conv2_2 and conv3_3 after ReLU, frozen, differentiable in the picture."""

    mean: Tensor

    def __init__(self, weights: Path | str | None = None) -> None:
        """`weights`: file or folder (see `weights_file`). Raises ModelError when it is missing."""
        super().__init__()
        stored = load_file(weights_file(WEIGHTS, weights))
        with torch.device("meta"):
            for name, c_in, c_out in _LAYERS:
                self.add_module(name, nn.Conv2d(c_in, c_out, 3, padding=1))
        self.load_state_dict({name: stored[name].float() for name in self.state_dict()}, assign=True)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps `[N,64,H,W]`, `[N,128,H/2,W/2]`, `[N,256,H/4,W/4]` of RGB `[N,3,H,W]` in [-1,1]."""
        h_bchw = (x.flip(1) + 1) * 127.5 - self.mean
        maps: list[Tensor] = []
        for name, _, _ in _LAYERS:
            h_bchw = F.relu(self.get_submodule(name)(h_bchw))
            if name in _TAPS:
                maps.append(h_bchw)
            if name in _POOLED:
                h_bchw = F.max_pool2d(h_bchw, 2)
        return maps


def vgg_loss(maps: list[Tensor], target_maps: list[Tensor]) -> Tensor:
    """Scalar: mean over taps of the L1 feature difference / mean absolute target feature."""
    terms = [
        F.l1_loss(m.float(), t.float()) / t.float().abs().mean().clamp_min(1e-6)
        for m, t in zip(maps, target_maps, strict=True)
    ]
    return torch.stack(terms).mean()
