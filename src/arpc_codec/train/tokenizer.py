"""Train the tokenizer: every prefix of scales must give a picture, large and small pictures alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..scales import Schedule
from ..tokenizer import MultiScaleVQ, Quantized, Tokenizer
from ..tokenizer.network import MISSING_STATES
from ..tokenizer.progic import Progic
from .data import CropMix, Photos, random_crop, to_tensor
from .loop import Metrics
from .losses import ReconstructionLoss
from .pictures import PictureTrainer, PictureTraining
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
}

# Missing scales of a validation.
SHOWN = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class TokenizerTraining(PictureTraining):
    """prefix_share: how often a random prefix is decoded. codebook_crops: side and number."""

    crops: CropMix = ((192, 192, 6, 0.55), (256, 384, 2, 0.27), (512, 384, 1, 0.18))
    prefix_share: float = 0.5
    commitment: float = 2.0
    codebook_crops: tuple[int, int] = (384, 700)


class Latent(NamedTuple):
    """h [B, C, H, W] of some pictures, its schedule, and what the quantizer makes of it."""

    h: Tensor
    schedule: Schedule
    quantized: Quantized


def quantised(model: Tokenizer, x: Tensor) -> Latent:
    """The latent of pictures [B, 3, 16H, 16W]."""
    h = model.encoder(x).float().contiguous()
    schedule = model.schedule(h.shape[-2], h.shape[-1])
    return Latent(h, schedule, model.quantizer(h, schedule))


def decoded(model: Tokenizer, latent: Latent, missing: int) -> Tensor:
    """Pictures of a latent whose last `missing` scales were not sent."""
    h, schedule, (_, prefixes) = latent
    # Straight through: the encoder sees the identity, gains see their own codes.
    z = prefixes[len(schedule) - 1 - missing] + h - h.detach()
    state = model.state(missing, False, len(h)).to(h.device)
    return model.decoder(model.decoder_input(z).contiguous(memory_format=torch.channels_last), state)


def from_progic(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Encoder and decoder of a ProGIC network for a tokenizer: k scales missing look like k codebooks missing."""
    state = {name: value for name, value in weights.items() if not name.startswith("quantizer.")}
    rows = state["decoder.modulation.weight"]
    # The pyramid before the last size is worth about one codebook.
    states = torch.arange(2 * MISSING_STATES) % MISSING_STATES
    state["decoder.modulation.weight"] = rows[(len(rows) - 2 - states).clamp_min(0)]
    return state


def blended(weights: Mapping[str, Tensor], progic: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a tokenizer whose decoder is the mean of its own and that of a ProGIC network trained from it.

    Rows of the modulation move by what differs for as many codebooks missing, those beyond as the last of them.
    """
    state, rows = dict(weights), "decoder.modulation.weight"
    for name in progic:
        if name.startswith("decoder.") and name != rows:
            state[name] = (state[name] + progic[name]) / 2
    stages = len(progic[rows])
    change = (progic[rows].flip(0) - state[rows][:stages]) / 2
    missing = torch.arange(2 * MISSING_STATES) % MISSING_STATES
    state[rows] = state[rows] + change[missing.clamp_max(stages - 1)]
    return state


def add_noise(weights: Mapping[str, Tensor], model: Tokenizer | Progic) -> dict[str, Tensor]:
    """Weights of a decoder without noise for `model`, which may have it; all others stay as they are."""
    stem, state = "decoder.stem.weight", dict(weights)
    first, own = state.get(stem), model.state_dict().get(stem)
    if first is not None and own is not None and first[:, :0].shape == own[:, :0].shape:
        noise = own[:, first.shape[1] :]
        # Not zeros: noise that does nothing yet has no gradient on average.
        if noise.shape[1] == model.config.noise:
            state[stem] = torch.cat([first, noise], 1)
    return state


def make_codebooks(model: Tokenizer, photos: Photos, setup: TokenizerTraining) -> None:
    """Make codebooks from the latents of random crops."""
    assert isinstance(model.quantizer, MultiScaleVQ)
    rng, (side, count) = np.random.default_rng(0), setup.codebook_crops
    pool = photos.at_least(side)
    with torch.no_grad():
        crops = (to_tensor([random_crop(rng, pool, (side, side))]) for _ in range(count))
        h = torch.cat([model.encoder(x) for x in crops]).contiguous()
    model.quantizer.start(h, model.schedule(h.shape[-2], h.shape[-1]), torch.Generator().manual_seed(0))


def train_tokenizer(
    model: Tokenizer,
    photos: tuple[Photos, Photos],
    metrics: Path,
    folder: Path,
    minutes: float,
    setup: TokenizerTraining,
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights. Codebooks stay, and the encoder that they were made for."""
    if isinstance(model.quantizer, MultiScaleVQ):
        model.encoder.requires_grad_(False)
    trainer = PictureTrainer(model, photos, metrics, setup)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 1))
        x = trainer.draw(rng)
        latent = quantised(model, x)
        total = len(latent.schedule)
        # Squared: the last scales hold most of the bytes, so most files lack only a few.
        missing = 1 + int((total - 1) * rng.random() ** 2) if rng.random() < setup.prefix_share else 0
        loss, terms = trainer.criterion(decoded(model, latent, missing), x)
        commitment = (latent.h - latent.quantized.prefixes[-1].detach()).square().mean()
        terms["commitment"] = commitment.item()
        return loss + setup.commitment * commitment, terms

    return trainer.run(step, validate, folder, minutes, RATES)


def validate(model: nn.Module, criterion: ReconstructionLoss, held: Photos, folder: Path) -> Metrics:
    """Quality of held-out pictures with all scales and some fewer, nothing filled; a sample sheet in `folder`."""
    assert isinstance(model, Tokenizer)
    device = next(model.parameters()).device

    def pictures(x: Tensor, missing: Sequence[int]) -> dict[str, Tensor]:
        latent = quantised(model, x)
        return {f"missing{n}": decoded(model, latent, n) for n in missing}

    save_sheet(lambda x: pictures(x, (0, 2, 4)), held, folder / "sheet.png", device)
    return judge(lambda x: pictures(x, SHOWN), criterion, held, device)
