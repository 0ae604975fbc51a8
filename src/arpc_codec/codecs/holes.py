"""Latents of ProGIC files with holes: what arrived of a position, weighed against what its neighbours suggest."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from arpc_codec.codecs.stages import ABSENT
from arpc_codec.tokenizer.residual_vq import ResidualVQ

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
    if (depth_hw == len(indices_shw)).all():
        return quantizer.decode(whole, len(indices_shw))
    z = quantizer.decode(whole, 1)
    for stages in range(2, len(indices_shw) + 1):
        z = torch.where(depth_hw >= stages, quantizer.decode(whole, stages), z)
    return _weigh(conceal(z, (depth_hw > 0)[None, None]), quantizer.codebooks, depth_hw, len(indices_shw))


def conceal(z_bchw: Tensor, known_b1hw: Tensor) -> Tensor:
    """Positions that are not known take the mean of those around them, near ones first."""
    weight = known_b1hw.to(z_bchw)
    z = _spread(z_bchw * weight, weight)
    for _ in range(ROUNDS):
        z = torch.where(known_b1hw, z_bchw, _around(z))
    return z


def _weigh(z_bchw: Tensor, codebooks: Tensor, depth_hw: Tensor, stages: int) -> Tensor:
    """Draw positions that have fewer stages than others towards their neighbours.

    Between sharper ones they would look like noise. Both estimates are weighed by their errors: that of the missing
    stages is the mean square of their entries, that of the neighbours is measured where all stages are there.
    """
    around = _around(z_bchw)
    full = (depth_hw == stages).expand_as(z_bchw)
    if not full.any():
        return z_bchw
    of_neighbours = (z_bchw - around)[full].square().mean()
    energy = codebooks[:stages].square().mean((1, 2))
    # So that it is exactly 0 where no stage is missing.
    of_missing = (energy.flip(0).cumsum(0).flip(0) - energy)[(depth_hw - 1).clamp(min=0)]
    share = (of_missing / (of_missing + of_neighbours).clamp(min=1e-30)) * (depth_hw > 0)
    return z_bchw + share * (around - z_bchw)


def _around(z_bchw: Tensor) -> Tensor:
    """Weighted mean of the up to eight neighbours of every position."""
    channels = z_bchw.shape[1]
    near = (_NEAR.to(z_bchw)[None, None]).repeat(channels, 1, 1, 1)
    total, weight = (F.conv2d(x, near, padding=1, groups=channels) for x in (z_bchw, torch.ones_like(z_bchw)))
    return total / weight.clamp(min=1)


def _spread(total: Tensor, weight: Tensor) -> Tensor:
    """Weighted means, where nothing has weight those of blocks of 2x2, 4x4, ...: time does not grow with the hole."""
    if (weight > 0).all():
        return total / weight
    coarse = _spread(*(F.avg_pool2d(x, 2, ceil_mode=True) for x in (total, weight)))
    rows, cols = total.shape[-2:]
    coarse = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., :rows, :cols]
    return torch.where(weight > 0, total / weight.clamp(min=1e-30), coarse)
