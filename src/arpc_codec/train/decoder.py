"""Fine-tune the decoder on what it will really see: sums of true scales, and of scales that the prior has filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.prior.model import Prior, in_steps
from arpc_codec.prior.planes import PlaneContext
from arpc_codec.scales import Schedule
from arpc_codec.tokenizer import STRIDE, MultiScalePlanes, Tokenizer
from arpc_codec.tokenizer.network import MISSING_STATES, MOST_MISSING
from arpc_codec.tokenizer.progic import ProgicDecoder
from arpc_codec.train.data import Photos
from arpc_codec.train.loop import Metrics
from arpc_codec.train.losses import LossWeights, ReconstructionLoss
from arpc_codec.train.muon import DECODER_KERNELS
from arpc_codec.train.pictures import PictureTrainer, PictureTraining
from arpc_codec.train.validation import judge, save_sheet

# The linear path has weights of 1e-3: full steps would destroy it. Modulations are rarely seen: each state has its own
# rows.
RATES = {"decoder.linear": 0.02, "decoder.modulation": 4.0}
# Missing scales of a validation, and of its sheet.
SHOWN, SHEET = (0, 2, 3, 4, 5, 6), (2, 4, 5, 6)


@dataclass(frozen=True)
class DecoderTraining(PictureTraining):
    """small: how often all scales of the latent's own size are missing: of all pictures of a step the same number, and
    in `filled_share` of the steps filled in. Such steps mind the squared error alone. Otherwise each picture lacks any
    number with equal chance.

    error: weight of the squared error.
    """

    lr: float = 1e-3
    muon: tuple[str, ...] = DECODER_KERNELS
    adversary_from: float = 0.3
    small: float = 0.1
    filled_share: float = 0.6
    error: float = 2.0
    losses: LossWeights = field(default_factory=lambda: LossWeights(alex=0.6, squeeze=0.5))


@torch.no_grad()
def fill_latent(prior: Prior, tokenizer: Tokenizer, sums: Sequence[Tensor], schedule: Schedule) -> Tensor:
    """z [B, C, H, W] of the scales whose `sums` are given, the others filled as a file is, with the codes to expect."""
    quantizer, context, sent = tokenizer.quantizer, prior.context, len(sums)
    assert isinstance(quantizer, MultiScalePlanes)
    assert isinstance(context, PlaneContext)
    walked = len(schedule) - prior.config.repeats
    z, batch = sums[-1], len(sums[-1])
    state = prior.trunk.start(schedule[:walked], batch=batch)
    hidden = z.new_empty(0)
    for scale, size in enumerate(schedule[: quantizer.guessed(schedule)]):
        before = sums[scale - 1] if 0 < scale <= sent else z
        x = None if scale == 0 else quantizer.resample(before, size).flatten(2).mT
        # Scales behind those that the trunk walks are told by its features of the last of them.
        if scale < walked:
            _, hidden = prior.trunk.step(x, state)
        if scale >= sent:
            after, nothing = len(schedule) - 1 - scale, z.new_zeros(batch, quantizer.channels, *size)
            v = in_steps(x, nothing, quantizer.step(scale, schedule))
            chances = context.before(hidden.unflatten(1, size), v, after).sigmoid()
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
    start_filled(tokenizer)
    trainer = PictureTrainer(tokenizer, photos, metrics, setup, discriminators)

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 3))
        x = trainer.draw(rng)
        schedule = tokenizer.schedule(x.shape[-2] // STRIDE, x.shape[-1] // STRIDE)
        most, repeats = min(len(schedule) - 1, MOST_MISSING), tokenizer.config.repeats
        small = most >= repeats and rng.random() < setup.small
        if small:
            missing = [int(rng.integers(repeats, most + 1))] * len(x)
        else:
            missing = rng.integers(min(most + 1, repeats), size=len(x)).tolist()
        filled = small and rng.random() < setup.filled_share
        z = seen(tokenizer, prior if filled else None, x, missing)
        state = torch.cat([tokenizer.state(n, filled) for n in missing]).to(x.device)
        z = tokenizer.decoder_input(z, seed=1 + index * len(x))
        x_hat = tokenizer.decoder(z.contiguous(memory_format=torch.channels_last), state).float()
        error = (x_hat - x).square().mean()
        if small:
            # Where next to nothing is known, whatever is drawn pleases perceptual losses more than a blur does.
            return setup.error * error, {"filled_error" if filled else "small_error": error.item()}
        loss, terms = trainer.criterion(x_hat, x)
        loss = loss.float() + setup.error * error
        loss, more = trainer.contested(x_hat, x, loss, tokenizer.decoder.out.weight, progress)
        return loss, terms | more | {"error": error.item()}

    return trainer.run(step, validate, folder, minutes, RATES)


@torch.no_grad()
def start_filled(tokenizer: Tokenizer) -> None:
    """Sums that are filled in look like those that are not until there is something better."""
    assert isinstance(tokenizer.decoder, ProgicDecoder)
    assert tokenizer.decoder.modulation is not None
    rows = tokenizer.decoder.modulation.weight
    if not rows[MISSING_STATES:].any():
        rows[MISSING_STATES:] = rows[:MISSING_STATES]


@torch.no_grad()
def seen(tokenizer: Tokenizer, prior: Prior | None, x: Tensor, missing: Sequence[int]) -> Tensor:
    """The latent [B, C, H, W] of pictures that lack some scales each; of all the same, if a prior fills them in."""
    schedule = tokenizer.schedule(x.shape[-2] // STRIDE, x.shape[-1] // STRIDE)
    with torch.autocast(x.device.type, enabled=False):
        sums = tokenizer.quantizer(tokenizer.encoder(x).contiguous(), schedule).prefixes
    if prior is None or not missing[0]:
        return torch.stack([sums[-1 - n][picture] for picture, n in enumerate(missing)])
    (same,) = set(missing)
    return fill_latent(prior, tokenizer, sums[: len(schedule) - same], schedule)


@torch.no_grad()
def validate(model: nn.Module, criterion: ReconstructionLoss, held: Photos, folder: Path) -> Metrics:
    """Quality of held-out pictures with all scales and some fewer; a sample sheet in `folder`."""
    assert isinstance(model, Tokenizer)
    device = next(model.parameters()).device

    def pictures(x: Tensor, missing: Sequence[int]) -> dict[str, Tensor]:
        found = {}
        for n in missing:
            z = model.decoder_input(seen(model, None, x, [n] * len(x))).contiguous(memory_format=torch.channels_last)
            found[f"missing{n}"] = model.decoder(z, model.state(n, filled=False, batch=len(x)).to(device))
        return found

    save_sheet(lambda x: pictures(x, SHEET), held, folder / "sheet.png", device)
    return judge(lambda x: pictures(x, SHOWN), criterion, held, device)
