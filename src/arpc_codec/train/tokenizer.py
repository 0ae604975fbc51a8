"""Train the tokenizer: every prefix of scales must give a picture, large and small pictures alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..scales import scale_schedule
from ..tokenizer import STRIDE, Tokenizer, channels_last
from .data import CropMix, CropSampler, Photos
from .loop import LoopConfig, Metrics, run
from .losses import LossWeights, ReconstructionLoss
from .validation import judge, save_sheet

# The linear transform has weights of 1e-3: full steps would destroy it. The encoder moves slowly, since whatever it
# changes the decoder must learn again.
# Modulations are rarely seen: each state has its own rows.
RATES = {
    "encoder.linear": 0.0,
    "encoder": 0.5,
    "quantizer": 0.25,
    "decoder.linear": 0.02,
    "decoder.modulation": 4.0,
    "decoder.draft_gain": 4.0,
}


@dataclass(frozen=True)
class TokenizerTraining:
    """prefix_share: how often a random prefix is decoded."""

    crops: CropMix = ((192, 192, 6, 0.55), (256, 384, 2, 0.27), (512, 384, 1, 0.18))
    prefix_share: float = 0.5
    commitment: float = 2.0
    lr: float = 6e-4
    losses: LossWeights = field(default_factory=LossWeights)


def forward_prefix(model: Tokenizer, x: Tensor, sent: int | None) -> tuple[Tensor, Tensor]:
    """(x_hat, commitment) when only the first `sent` scales are kept (None: all)."""
    h = model.encoder(x).float().contiguous()
    schedule = scale_schedule(h.shape[-2], h.shape[-1])
    prefixes = model.quantizer(h, schedule).prefixes
    sent = len(schedule) if sent is None else sent
    z = prefixes[sent - 1]
    commitment = (h - prefixes[-1].detach()).square().mean()
    # Straight through: the encoder sees the identity, the gains see their own codes.
    z = z + h - h.detach()
    state = model.state(len(schedule) - sent, False, x.shape[0]).to(x.device)
    return model.decoder(z.contiguous(memory_format=torch.channels_last), state), commitment


def train_tokenizer(
    model: Tokenizer,
    photos: tuple[Photos, Photos],
    metrics: Path,
    folder: Path,
    minutes: float,
    setup: TokenizerTraining,
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights."""
    train, held = photos
    criterion = ReconstructionLoss(metrics, setup.losses)
    device = next(model.parameters()).device
    criterion.to(device)
    channels_last(criterion)
    channels_last(model)
    sampler = CropSampler(train, setup.crops, device)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 1))
        x = sampler.draw(rng)
        total = len(scale_schedule(x.shape[-2] // STRIDE, x.shape[-1] // STRIDE))
        # Squared: the last scales hold most of the bytes, so most files lack only a few.
        sent = total - 1 - int((total - 1) * rng.random() ** 2) if rng.random() < setup.prefix_share else None
        x_hat, commitment = forward_prefix(model, x, sent)
        loss, terms = criterion(x_hat, x)
        terms["commitment"] = commitment.item()
        return loss + setup.commitment * commitment, terms

    config = LoopConfig(minutes=minutes, lr=setup.lr, save_minutes=4.0, ema_half_life=400)
    return run(model, step, folder, config, validate=lambda m: validate(m, criterion, held, folder), rates=RATES).state


def validate(model: nn.Module, criterion: ReconstructionLoss, held: Photos, folder: Path) -> Metrics:
    """Quality of held-out pictures with all scales and three fewer, nothing filled; a sample sheet in `folder`."""
    assert isinstance(model, Tokenizer)
    device = next(model.parameters()).device

    def pictures(x: Tensor, missing: Sequence[int]) -> dict[str, Tensor]:
        total = len(scale_schedule(x.shape[-2] // STRIDE, x.shape[-1] // STRIDE))
        return {f"missing{n}": forward_prefix(model, x, total - n)[0] for n in missing}

    save_sheet(lambda x: pictures(x, (0, 2, 4)), held, folder / "sheet.png", device)
    return judge(lambda x: pictures(x, (0, 3)), criterion, held, device)
