"""Start of a tokenizer: the best linear transform codec of the training pictures.

Encoder: the first Karhunen-Loeve components of 16x16 patches. Decoder: least squares from the quantised latent's 3x3
neighbourhood to the patch at a quarter of the size. Learning these by gradient descent would cost most of a short run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ModelError
from ..tokenizer import STRIDE, MultiScaleBSQ, Tokenizer
from ..tokenizer.blocks import LINEAR_SIZE
from ..tokenizer.progic import ProgicDecoder, ProgicEncoder
from .data import Photos, random_crop, to_tensor

# Component i is scaled to std ~ eigenvalue^(SPREAD/2): flat enough for sign bits, steep enough to keep luma precise.
SPREAD = 0.25
AMPLITUDE = 0.45
RIDGE = 1e-3
SIDE = 256


def init_linear(
    model: Tokenizer, photos: Photos, *, pictures: int = 240, side: int = SIDE, gain_steps: int = 60
) -> None:
    """Set encoder.linear, decoder.linear and the quantizer's gains from random crops of `photos`.

    Raises ModelError for networks without linear paths.
    """
    encoder, decoder = model.encoder, model.decoder
    if not isinstance(encoder, ProgicEncoder) or not isinstance(decoder, ProgicDecoder):
        raise ModelError(f"the network {model.config.network} has no linear paths to start from")
    rng = np.random.default_rng(0)
    x = to_tensor([random_crop(rng, photos, (side, side)) for _ in range(pictures)])
    scale = fit_transform(encoder.linear, x, SPREAD)
    with torch.no_grad():
        h = encoder.linear(F.pixel_unshuffle(x, STRIDE)).contiguous()
    schedule = model.schedule(h.shape[-2], h.shape[-1])
    if model.config.learned_gains:
        _fit_gains(model, h[: pictures // 4], scale, gain_steps)
    with torch.no_grad():
        prefixes = model.quantizer(h, schedule).prefixes
    fit_draft(decoder.linear, (prefixes[-1], prefixes[-1], prefixes[-3]), x)


@torch.no_grad()
def fit_transform(linear: nn.Conv2d, x_bchw: Tensor, spread: float) -> Tensor:
    """Make the encoder's linear path the first Karhunen-Loeve components of the pictures; returns their factors.

    Component i gets a standard deviation proportional to eigenvalue^(spread/2), AMPLITUDE on average.
    """
    patches = F.pixel_unshuffle(x_bchw, STRIDE).permute(0, 2, 3, 1).flatten(0, 2)
    mean = patches.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T).double())
    channels = linear.out_channels
    values, vectors = values.flip(0)[:channels].float(), vectors.flip(1)[:, :channels].float()
    deviation = values ** (spread / 2)
    scale = AMPLITUDE * deviation / deviation.mean() / values.sqrt()
    weight = (vectors * scale).T
    linear.weight.copy_(weight[:, :, None, None])
    linear.bias = nn.Parameter(-weight @ mean)
    return scale


def _fit_gains(model: Tokenizer, h: Tensor, scale: Tensor, steps: int) -> None:
    """Gradient steps on the gains alone, for the pixel error of the whole sum and of the sum less two scales."""
    schedule = model.schedule(h.shape[-2], h.shape[-1])
    weight = (1 / scale**2)[:, None, None]
    assert isinstance(model.quantizer, MultiScaleBSQ)
    optimiser = torch.optim.Adam([model.quantizer.gain_knots], lr=0.03)
    for _ in range(steps):
        prefixes = model.quantizer(h, schedule).prefixes
        errors = [((prefixes[i] - h).square() * weight).mean() for i in (-1, -3)]
        optimiser.zero_grad()
        (errors[0] + 0.3 * errors[1]).backward()
        optimiser.step()
        with torch.no_grad():
            model.quantizer.gain_knots.clamp_(0.2, 1.5)


@torch.no_grad()
def fit_draft(linear: nn.Conv2d, latents: Sequence[Tensor], x_bchw: Tensor) -> None:
    """Ridge regression from 3x3 neighbourhoods of quantised latents of the pictures to pixels of the reduced patch.

    A latent that is listed twice counts twice.
    """
    small = F.avg_pool2d(x_bchw, LINEAR_SIZE)
    patches_bchw = F.pixel_unshuffle(small, STRIDE // LINEAR_SIZE)
    target = patches_bchw.permute(0, 2, 3, 1).flatten(0, 2).double()
    size = 9 * linear.in_channels + 1
    gram, cross = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, target.shape[1], dtype=torch.float64)
    for z in latents:
        columns = F.unfold(z, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
        columns = torch.cat([columns, torch.ones(len(columns), 1, dtype=torch.float64)], 1)
        gram += columns.T @ columns
        cross += columns.T @ target
    gram += RIDGE * gram.diagonal().mean() * torch.eye(size, dtype=torch.float64)
    solution = torch.linalg.solve(gram, cross).float().T
    linear.weight.copy_(solution[:, :-1].unflatten(1, (-1, 3, 3)))
    linear.bias = nn.Parameter(solution[:, -1].clone())
