"""Noise for a decoder to draw texture from.

Where a latent is the same from cell to cell, a convolution can only repeat itself every 16 pixels, and that is seen as
a grid. Channels that differ from cell to cell let it draw what a picture has there (as in StyleGAN, section 3.2).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def cell_noise(channels: int, rows: int, cols: int, seed: int = 0) -> Tensor:
    """[channels, rows, cols] in [-1, 1), the same on every machine (raw values of a Philox generator)."""
    count = channels * rows * cols
    # Only these are promised to stay; four values are in each.
    raw = np.random.Philox(key=seed).random_raw(-(-count // 4)).astype("<u8").view("<u2")[:count]
    return torch.from_numpy(raw.astype(np.float32) / 2**15 - 1).view(channels, rows, cols)


def with_noise(z_bchw: Tensor, channels: int, seed: int = 0) -> Tensor:
    """Latents [B, C, H, W] with that many more channels of noise, the same in each of them for seed 0."""
    if not channels:
        return z_bchw
    batch, _, rows, cols = z_bchw.shape
    noise = torch.stack([cell_noise(channels, rows, cols, seed and seed + index) for index in range(batch)])
    return torch.cat([z_bchw, noise.to(z_bchw)], 1)
