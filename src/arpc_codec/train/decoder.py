"""Fine-tune the decoder on what it will really see: latents whose last scales the prior has filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..prior.model import Prior
from ..scales import Schedule
from ..tokenizer import STRIDE, Tokenizer
from ..tokenizer.network import MOST_MISSING
from .choice import chosen_by_cost
from .data import Photos
from .loop import Metrics
from .losses import LossWeights
from .pictures import PictureTrainer, PictureTraining
from .tokenizer import RATES, validate


@dataclass(frozen=True)
class DecoderTraining(PictureTraining):
    """whole_share: all scales sent; of the rest, filled_share are filled, mean_share of those with expected codes."""

    whole_share: float = 0.2
    filled_share: float = 0.85
    mean_share: float = 0.8
    # What is filled in is smooth, and a decoder draws its cells on smooth surfaces first.
    losses: LossWeights = field(default_factory=lambda: LossWeights(grid=8.0, flat=20.0))


@torch.no_grad()
def fill_latent(prior: Prior, tokenizer: Tokenizer, true_bits: list[Tensor], schedule: Schedule, mean: bool) -> Tensor:
    """z [B, C, H, W]: the scales whose bits are given, the others predicted by the trunk (expected or likeliest)."""
    quantizer, sent = tokenizer.quantizer, len(true_bits)
    walked = len(schedule) - prior.config.repeats
    state = prior.trunk.start(schedule[:walked], batch=len(true_bits[0]))
    z = prior.trunk.pos_start.new_zeros(len(true_bits[0]), quantizer.channels, *schedule[-1])
    for scale, size in enumerate(schedule):
        x = None if scale == 0 else quantizer.resample(z, size).flatten(2).transpose(1, 2)
        # Scales behind those that the trunk walks refine what it said of the last of them.
        if scale < walked:
            outputs, _ = prior.trunk.step(x, state)
        if scale < sent:
            code = quantizer.code(true_bits[scale], scale, schedule)
        else:
            after = len(schedule) - 1 - scale
            chances = prior.chances(prior.said(outputs, x, after), size, after)
            if not mean:
                chances = (chances > 0.5).to(chances)
            # One picture after the other: the chances of all nodes of a tree are many.
            code = torch.cat([quantizer.expected(one, scale, schedule) for one in chances])
        z = z + quantizer.resample(code.to(z), schedule[-1])
    return z


def train_decoder(
    tokenizer: Tokenizer,
    prior: Prior,
    photos: tuple[Photos, Photos],
    metrics: Path,
    folder: Path,
    minutes: float,
    setup: DecoderTraining,
    discriminators: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Train the decoder alone within `minutes`; returns the averaged weights of the whole tokenizer.

    discriminators: as `PictureTrainer`.
    """
    tokenizer.encoder.requires_grad_(False)
    tokenizer.quantizer.requires_grad_(False)
    prior.requires_grad_(False).eval()
    trainer = PictureTrainer(tokenizer, photos, metrics, setup, discriminators)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 3))
        x = trainer.draw(rng)
        schedule = tokenizer.schedule(x.shape[-2] // STRIDE, x.shape[-1] // STRIDE)
        whole = rng.random() < setup.whole_share
        # Those that lack most are the hardest to learn: a decoder that knows whole latents draws its cells on them.
        missing = 0 if whole else int(rng.integers(1, min(len(schedule) - 1, MOST_MISSING) + 1))
        sent = len(schedule) - missing
        filled = not whole and rng.random() < setup.filled_share
        with torch.no_grad():
            h = tokenizer.encoder(x).float().contiguous()
            choose = chosen_by_cost(prior, tokenizer, len(x), schedule) if tokenizer.config.trade else None
            bits, prefixes = tokenizer.quantizer(h, schedule, choose=choose)
            z = prefixes[sent - 1]
            if filled:
                z = fill_latent(prior, tokenizer, bits[:sent], schedule, bool(rng.random() < setup.mean_share))
        state = tokenizer.state(missing, filled, len(x)).to(x.device)
        z = tokenizer.decoder_input(z, seed=1 + index * len(x))
        x_hat = tokenizer.decoder(z.contiguous(memory_format=torch.channels_last), state)
        loss, terms = trainer.criterion(x_hat, x)
        loss, more = trainer.contested(x_hat, x, loss, tokenizer.decoder.out.weight, progress)
        return loss, {("filled_" if filled else "") + k: v for k, v in (terms | more).items()}

    return trainer.run(step, validate, folder, minutes, RATES)
