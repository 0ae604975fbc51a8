"""Latents of ProGIC files with holes: every position has the sum of what arrived, or what its neighbours suggest."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..tokenizer.residual_vq import ResidualVQ
from .stages import ABSENT

# Rounds of averaging in a hole. A lone position is done after one; most of a hole of five after these.
ROUNDS = 16
_NEAR = torch.tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]])


def depths(indices_shw: np.ndarray) -> np.ndarray:
    """How many stages, from the first, each position has: [rows, cols]."""
    return (indices_shw != ABSENT).sum(0)


def stages_told(depth_hw: np.ndarray) -> int:
    """The number of stages that the decoder is told: the rounded mean over the positions that arrived."""
    return round(float(depth_hw[depth_hw > 0].mean()))


def latent(quantizer: ResidualVQ, indices_shw: Tensor, depth_hw: Tensor) -> Tensor:
    """z [1, C, rows, cols] of indices with holes, at least one position of which arrived."""
    whole = indices_shw.clamp(min=0)[None]
    z = quantizer.decode(whole, 1)
    for stages in range(2, len(indices_shw) + 1):
        z = torch.where(depth_hw >= stages, quantizer.decode(whole, stages), z)
    return conceal(z, (depth_hw > 0)[None, None])


def conceal(z_bchw: Tensor, known_b1hw: Tensor) -> Tensor:
    """Positions that are not known take the mean of those around them, near ones first."""
    if known_b1hw.all():
        return z_bchw
    weight = known_b1hw.to(z_bchw)
    z = _spread(z_bchw * weight, weight)
    channels = z.shape[1]
    near = (_NEAR.to(z)[None, None]).repeat(channels, 1, 1, 1)
    around = F.conv2d(torch.ones_like(z), near, padding=1, groups=channels)
    for _ in range(ROUNDS):
        mean = F.conv2d(z, near, padding=1, groups=channels) / around.clamp(min=1)
        z = torch.where(known_b1hw, z_bchw, mean)
    return z


def _spread(total: Tensor, weight: Tensor) -> Tensor:
    """Weighted means, where nothing has weight those of blocks of 2x2, 4x4, ...: time does not grow with the hole."""
    if (weight > 0).all():
        return total / weight
    coarse = _spread(*(F.avg_pool2d(x, 2, ceil_mode=True) for x in (total, weight)))
    rows, cols = total.shape[-2:]
    coarse = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :rows, :cols]
    return torch.where(weight > 0, total / weight.clamp(min=1e-30), coarse)
