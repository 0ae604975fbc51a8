"""Train the prior (trunk and context head) on the tokens of a frozen tokenizer, at the sizes that are coded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..prior.model import Prior
from ..scales import Schedule, scale_schedule
from ..tokenizer import STRIDE, Tokenizer, channels_last
from .data import CropMix, CropSampler, Photos, to_tensor
from .loop import LoopConfig, Metrics, run


@dataclass(frozen=True)
class PriorTraining:
    """flip_*: bitwise self-correction, share of steps and its rates."""

    crops: CropMix = (
        (256, 256, 8, 0.25),
        (384, 512, 2, 0.35),
        (512, 768, 1, 0.4),
    )
    flip_share: float = 0.3
    flip_rates: tuple[float, ...] = tuple(i / 100 for i in range(0, 31, 5))
    trunk_weight: float = 0.3
    lr: float = 2e-3


@torch.no_grad()
def tokenize(
    tokenizer: Tokenizer, x: Tensor, flip: list[float] | None = None
) -> tuple[Schedule, list[Tensor], list[Tensor]]:
    """(schedule, bits per scale [B, h, w, d], trunk inputs of scales 1.. [B, h*w, d]) of a batch of pictures."""
    h = tokenizer.encoder(x).float().contiguous()
    schedule = scale_schedule(h.shape[-2], h.shape[-1])
    quantized = tokenizer.quantizer(h, schedule, flip)
    inputs = [
        tokenizer.quantizer.resample(z, size).flatten(2).transpose(1, 2)
        for z, size in zip(quantized.prefixes[:-1], schedule[1:], strict=True)
    ]
    return schedule, quantized.bits, inputs


def bit_losses(logits: Tensor, bits_bhwd: Tensor, active: int) -> Tensor:
    """Mean binary cross-entropy (nats per bit) over the active bits of a scale; logits [B, h, w, d] of bit = 1."""
    target = bits_bhwd[..., :active].to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits[..., :active], target)


def scale_losses(
    prior: Prior, tokenizer: Tokenizer, x: Tensor, flip: list[float] | None = None
) -> tuple[Schedule, list[Tensor], list[Tensor]]:
    """(schedule, nats per bit of each scale with the context head, the same of the trunk alone)."""
    schedule, bits, inputs = tokenize(tokenizer, x, flip)
    active = tokenizer.quantizer.active(len(schedule))
    trunk, full = prior(inputs, bits, schedule, active)
    full_losses = [bit_losses(f, b, a) for f, b, a in zip(full, bits, active, strict=True)]
    return schedule, full_losses, [bit_losses(t, b, a) for t, b, a in zip(trunk, bits, active, strict=True)]


def train_prior(
    prior: Prior,
    tokenizer: Tokenizer,
    photos: tuple[Photos, Photos],
    folder: Path,
    minutes: float,
    setup: PriorTraining,
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights. The tokenizer is frozen."""
    train, held = photos
    tokenizer.requires_grad_(False).eval()
    channels_last(tokenizer)
    channels_last(prior.context)
    device = prior.trunk.pos_start.device
    sampler = CropSampler(train, setup.crops, device)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 2))
        x = sampler.draw(rng)
        height, width = x.shape[-2:]
        schedule = scale_schedule(height // STRIDE, width // STRIDE)
        flip = None
        if rng.random() < setup.flip_share:
            flip = [float(rng.choice(setup.flip_rates)) for _ in schedule]
        _, full, trunk = scale_losses(prior, tokenizer, x, flip)
        # A scale weighs as the square root of its tokens: fine scales hold the bytes, coarse ones the picture.
        weights = torch.tensor([(h * w) ** 0.5 for h, w in schedule], device=device)
        weights = weights / weights.sum()
        coded, alone = (weights * torch.stack(full)).sum(), (weights * torch.stack(trunk)).sum()
        name = f"bits_{min(height, width)}x{max(height, width)}" + ("_flip" if flip else "")
        return coded + setup.trunk_weight * alone, {
            name: coded.item() / np.log(2),
            name + "_trunk": alone.item() / np.log(2),
        }

    config = LoopConfig(minutes=minutes, lr=setup.lr, weight_decay=0.02, muon="trunk.blocks", save_minutes=4.0)
    return run(prior, step, folder, config, validate=lambda m: validate(m, tokenizer, held)).state


@torch.no_grad()
def validate(prior: nn.Module, tokenizer: Tokenizer, held: Photos, count: int = 6) -> Metrics:
    """Coded bits / raw active bits on held-out pictures of 768x512 and 512x384, with and without the context head."""
    assert isinstance(prior, Prior)
    result: Metrics = {}
    for height, width in ((512, 768), (384, 512)):
        pictures = [p if p.shape[1] >= p.shape[0] else np.rot90(p) for p in held.pictures]
        chosen = [p[:height, :width] for p in pictures if p.shape[0] >= height and p.shape[1] >= width][:count]
        sums = np.zeros(3)
        for picture in chosen:
            x = to_tensor([np.ascontiguousarray(picture)], prior.trunk.pos_start.device)
            schedule, full, trunk = scale_losses(prior, tokenizer, x)
            active = tokenizer.quantizer.active(len(schedule))
            raw = np.array([h * w * a for (h, w), a in zip(schedule, active, strict=True)])
            nats = [np.array([v.item() for v in values]) for values in (full, trunk)]
            sums += [raw.sum(), *(float((raw * n).sum() / np.log(2)) for n in nats)]
        if chosen:
            result |= {f"val_{width}_ratio": sums[1] / sums[0], f"val_{width}_trunk": sums[2] / sums[0]}
    return result
