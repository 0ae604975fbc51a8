"""How strong the detail of a cell is, in two channels of the latent, for the decoder to draw textures from.

Where a latent has nothing but zeros a decoder cannot know whether it is water or sky that was rounded away. Two numbers
tell, for a bit or two a cell, as band energies tell an audio codec how loud the noise is that it puts in the place of
what was not sent (perceptual noise substitution, MPEG-4 AAC).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from arpc_codec.scales import STRIDE

CHANNELS = 2
# Pixels: detail finer than the first, and between the two.
SIZES = (2, 8)
# Detail of [-1, 1] below which there is none to speak of.
FLOOR = 0.004
# Sum and difference of the two logarithms in photographs, over the root of 2.
USUAL = (-4.35, 0.29)
# A factor of e is so many units.
UNITS = 3.5
LUMA = (0.299, 0.587, 0.114)


@torch.no_grad()
def texture(x: Tensor, *, halves: bool = False) -> Tensor:
    """[B, 3, 16H, 16W] in [-1, 1] -> [B, 2, H, W], at least float32: how strong each cell's detail is, and how coarse.

    The orthonormal sum and difference of the logarithms of the mean size of coarse and fine detail of luma.
    halves: rounded to multiples of UNITS / 2, of which a step of as much leaves nothing.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    y = torch.einsum("bchw,c->bhw", x, x.new_tensor(LUMA))[:, None]
    first, second = (F.interpolate(F.avg_pool2d(y, n), y.shape[-2:], mode="bilinear") for n in SIZES)
    fine, coarse = ((F.avg_pool2d(d.abs(), STRIDE) + FLOOR).log() for d in (y - first, first - second))
    found = torch.cat([coarse + fine, coarse - fine], 1) / 2**0.5
    found = found - found.new_tensor(USUAL)[:, None, None]
    return (found * 2).round() * (UNITS / 2) if halves else found * UNITS
