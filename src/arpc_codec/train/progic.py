"""Train ProGIC: a picture from every number of codebooks, the whole sum weighing most (arXiv 2603.02897)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from arpc_codec.tokenizer.progic import Progic
from arpc_codec.tokenizer.residual_vq import used_share
from arpc_codec.train.data import CropMix, Photos, random_crop, to_tensor
from arpc_codec.train.linear import SIDE, fit_components, fit_draft
from arpc_codec.train.loop import Metrics
from arpc_codec.train.losses import LossWeights, ReconstructionLoss
from arpc_codec.train.muon import DECODER_KERNELS, ENCODER_KERNELS
from arpc_codec.train.pictures import PictureTrainer, PictureTraining
from arpc_codec.train.validation import judge, save_sheet, whole_photos
from arpc_codec.train.weights import MODULATION, add_noise, fewer_blocks, take

# As for the other tokenizer: the linear transform has weights of 1e-3, the encoder moves slowly.
RATES = {"encoder.linear": 0.0, "encoder": 0.5, "decoder.linear": 0.02, "decoder.modulation": 4.0}
# Pictures that go through the encoder at once when codebooks start, and how many linear paths are fitted to.
BATCH, FITTED = 24, 240


@dataclass(frozen=True)
class ProgicTraining(PictureTraining):
    """others: prefixes decoded per picture and step beside the whole; partial_weight: their share of the loss (p).

    With others = N - 1 the loss is the paper's sum over all prefixes, of weights 1 - p for the whole and p / (N - 1)
    for each other. Fewer, drawn anew for every picture, estimate it without bias: five decodes a step are too slow
    on a CPU.
    error: weight of the squared error beside `losses`. fixed: encoder and codebooks stay, and with them all files.
    """

    crops: CropMix = ((192, 192, 4, 0.6), (256, 384, 2, 0.25), (512, 384, 1, 0.15))
    others: int = 1
    partial_weight: float = 0.5
    commitment: float = 4.0
    fixed: bool = False
    error: float = 2.0
    losses: LossWeights = field(default_factory=lambda: LossWeights(alex=0.6, squeeze=0.5))
    muon: tuple[str, ...] = (*ENCODER_KERNELS, *DECODER_KERNELS)


def reconstruct(model: Progic, x: Tensor) -> dict[str, Tensor]:
    """x decoded after 1..N codebooks."""
    prefixes = model.quantizer(model.encoder(x).float()).prefixes
    return {
        f"stages{n}": model.decoder(_fast(model.decoder_input(z)), model.used(n, len(x)).to(x.device))
        for n, z in enumerate(prefixes, 1)
    }


def start(model: Progic, photos: Photos, *, fresh: bool, pictures: int = 3200, side: int = SIDE) -> None:
    """Start the codebooks as k-means of real residuals; of a `fresh` dense network first the linear paths, too."""
    rng = np.random.default_rng(0)

    def crops(count: int) -> Tensor:
        return to_tensor([random_crop(rng, photos, (side, side)) for _ in range(count)])

    x = crops(min(pictures, FITTED))
    if fresh and model.config.dense:
        fit_components(model.encoder.linear, x)
    with torch.no_grad():
        more = (crops(BATCH) for _ in range((pictures - len(x)) // BATCH))
        y = torch.cat([model.encoder(part) for part in chain(x.split(BATCH), more)]).contiguous()
    model.quantizer.start(y, torch.Generator().manual_seed(0))
    if fresh and model.config.dense:
        fit_draft(model.decoder, model.quantizer(y[: len(x)]).prefixes, x)


def take_weights(model: Progic, weights: Mapping[str, Tensor]) -> list[str]:
    """Take every weight whose name and shape fit; returns the names that keep their start."""
    state = fewer_blocks(add_noise(weights, model), model)
    own, books, stages = model.state_dict(), "quantizer.codebooks", model.config.stages
    if books not in state and MODULATION in own and len(state.get(MODULATION, ())) > stages:
        # A tokenizer's decoder, which is told how many scales are missing, draws such sums when this many are: six of
        # one stage, one less of every further one.
        state[MODULATION] = state[MODULATION][max(0, 7 - stages) : max(7, stages)].flip(0)
    if books in state and "quantizer.sums" not in state:
        # A model folder lacks the moving means: each entry goes on as the mean of one vector, itself.
        state["quantizer.sums"] = state[books].float()
    return take(model, state)


def train_progic(
    model: Progic,
    photos: tuple[Photos, Photos],
    metrics: Path,
    folder: Path,
    minutes: float,
    setup: ProgicTraining,
    discriminators: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights. discriminators: as `PictureTrainer`."""
    model.encoder.requires_grad_(not setup.fixed)
    trainer, last = PictureTrainer(model, photos, metrics, setup, discriminators), model.config.stages

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 4))
        x = trainer.draw(rng)
        y = model.encoder(x).float()
        quantized = model.quantizer(y)
        # [others, B] numbers of codebooks, each picture its own.
        drawn = rng.permuted(np.tile(np.arange(1, last), (len(x), 1)), axis=1)[:, : setup.others].T
        state_b = torch.cat([model.used(last, len(x)), torch.from_numpy(drawn.flatten() - 1)])
        every_nbchw = torch.stack(quantized.prefixes)
        z = every_nbchw[state_b, torch.arange(len(state_b)) % len(x)]
        x_hat = model.decoder(_fast(model.decoder_input(z, seed=1 + index * len(z))), state_b.to(x.device))
        copies = x.repeat(setup.others, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        whole, terms = trainer.criterion(x_hat[: len(x)], x)
        partial, partial_terms = trainer.criterion(x_hat[len(x) :], copies)
        error = (x_hat - torch.cat([x, copies])).square().flatten(1).mean(1)
        terms["error"] = error[: len(x)].mean().item()
        whole, partial = (
            own.float() + setup.error * errors.mean()
            for own, errors in ((whole, error[: len(x)]), (partial, error[len(x) :]))
        )
        loss = (1 - setup.partial_weight) * whole + setup.partial_weight * partial
        loss, more = trainer.contested(x_hat, torch.cat([x, copies]), loss, model.decoder.last, progress)
        terms |= more | {f"partial_{name}": value for name, value in partial_terms.items()}
        if setup.fixed:
            return loss, terms
        revived = model.quantizer.update(y, quantized, torch.Generator().manual_seed(index))
        # As a share of the latent's variance: otherwise shrinking the latent would serve it, too.
        size = y.var((0, 2, 3)).mean()
        errors = torch.stack([(y - z_i.detach()).square().mean() / size for z_i in quantized.prefixes])
        commitment = (1 - setup.partial_weight) * errors[-1] + setup.partial_weight * errors[:-1].mean()
        terms |= {"commitment": commitment.item(), "latent": size.item(), "revived": float(revived)}
        return loss + setup.commitment * commitment, terms

    return trainer.run(step, validate, folder, minutes, RATES)


@torch.no_grad()
def validate(model: nn.Module, criterion: ReconstructionLoss, held: Photos, folder: Path) -> Metrics:
    """Quality of held-out photos after 1..N codebooks, share of each codebook that they use; a sheet in `folder`."""
    assert isinstance(model, Progic)
    device = next(model.parameters()).device
    save_sheet(lambda x: reconstruct(model, x), held, folder / "sheet.png", device)
    result = judge(lambda x: reconstruct(model, x), criterion, held, device)
    indices = [model.quantizer(model.encoder(to_tensor([p], device)).float()).indices for p in whole_photos(held)]
    if indices:
        shares = used_share(torch.cat(indices), model.config.entries)
        result |= {f"val_used_stage{n}": share for n, share in enumerate(shares, 1)}
    return result


def _fast(z: Tensor) -> Tensor:
    return z.contiguous(memory_format=torch.channels_last)
