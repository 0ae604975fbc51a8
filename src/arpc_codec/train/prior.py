"""Train the prior on the tokens of a frozen tokenizer, at the sizes that are coded.

A new prior, trunk and context head together, on crops of photographs; or, as ARPC's second stage (ICLR 2026), a
published trunk on whole captioned pictures (captions.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from arpc_codec.prior.attention import Text
from arpc_codec.prior.model import Prior
from arpc_codec.prior.rope import Size
from arpc_codec.scales import Schedule, raw_bits
from arpc_codec.tokenizer import STRIDE, Tokenizer, channels_last
from arpc_codec.tokenizer.multiscale import Choice, MultiScaleQuantizer
from arpc_codec.tokenizer.planes import SLOTS
from arpc_codec.train.data import CropMix, CropSampler, Photos, to_tensor
from arpc_codec.train.loop import LoopConfig, Metrics, run

# Scales of integers weigh as their step to this power.
EVEN = 0.65
# Units that see hundreds of large numbers would move too fast.
RATES = {"context.cell": 0.1}
# Held-out pictures of each size that a validation looks at.
VALIDATED = 6


class Batch(NamedTuple):
    """Pictures [B, 3, 16H, 16W] in [-1, 1], the schedule of their latents; text and grid as in `VAR.forward`."""

    x: Tensor
    schedule: Schedule
    text: Text | None = None
    grid: Size | None = None

    @classmethod
    def plain(cls, x: Tensor, tokenizer: Tokenizer) -> Batch:
        """Without text, scheduled by their size."""
        return cls(x, tokenizer.schedule(x.shape[-2] // STRIDE, x.shape[-1] // STRIDE))


class Tokens(NamedTuple):
    """Of each scale: bits [B, h, w, d], the trunk's input [B, h*w, C] (not of the first), symbols [B, m, h, w]."""

    bits: list[Tensor]
    inputs: list[Tensor]
    symbols: list[Tensor]


@dataclass(frozen=True)
class PriorTraining:
    """How a prior is trained; the defaults are for a new one on crops.

    shown: how many of the scales of the latent's own size a step looks at if tokens are integers, 0 for all. flip_*:
    bitwise self-correction, share of steps and its rates. trunk_weight: of the trunk's own loss beside that with the
    context head. text_drop: how often a picture is shown without its text. muon: as in `LoopConfig`.
    """

    crops: CropMix = (
        (256, 256, 8, 0.25),
        (384, 512, 2, 0.35),
        (512, 768, 1, 0.4),
    )
    shown: int = 0
    flip_share: float = 0.3
    flip_rates: tuple[float, ...] = tuple(i / 100 for i in range(0, 31, 5))
    trunk_weight: float = 0.3
    text_drop: float = 0.1
    lr: float = 2e-3
    beta2: float = 0.98
    weight_decay: float = 0.02
    muon: tuple[str, ...] = ("trunk.blocks",)
    save_minutes: float = 4.0


# ARPC's second stage (ICLR 2026). Its weight decay is not stated.
FINETUNING = PriorTraining(
    flip_share=1.0,
    flip_rates=tuple(i / 100 for i in range(31)),
    trunk_weight=0.0,
    lr=6e-5,
    beta2=0.97,
    weight_decay=0.0,
    muon=(),
)


@torch.no_grad()
def tokenize(
    tokenizer: Tokenizer, batch: Batch, flip: list[float] | None = None, choose: Choice | None = None
) -> Tokens:
    """Tokens of a batch; `flip` and `choose` as in the quantizer."""
    # In full precision: a bit is the sign of what may be very little.
    with torch.autocast(batch.x.device.type, enabled=False):
        h = tokenizer.encoder(batch.x).contiguous()
    quantizer = tokenizer.quantizer
    quantized = quantizer(h, batch.schedule, flip, choose)
    inputs = [
        quantizer.resample(z, size).flatten(2).transpose(1, 2)
        for z, size in zip(quantized.prefixes[:-1], batch.schedule[1:], strict=True)
    ]
    symbols = [quantizer.symbols(bits, scale, batch.schedule).to(h) for scale, bits in enumerate(quantized.bits)]
    return Tokens(quantized.bits, inputs, symbols)


@torch.no_grad()
def even_inputs(prior: Prior, tokenizer: Tokenizer, batch: Batch) -> None:
    """Let a new trunk see all channels of a code as equally large."""
    tokens = tokenize(tokenizer, batch)
    z = torch.cat([x.flatten(0, 1) for x in tokens.inputs])
    size = z.square().mean(0).sqrt().clamp_min(1e-3).to(prior.trunk.word_embed.weight)
    prior.trunk.word_embed.weight /= size


def bit_losses(
    logits: Tensor, bits_bhwd: Tensor, quantizer: MultiScaleQuantizer, scale: int, schedule: Schedule
) -> Tensor:
    """Binary cross-entropy (nats) of the bits of a scale, those that are not asked being free, as a mean over all."""
    groups, places = quantizer.groups(scale, schedule), quantizer.coded(schedule)[scale]
    asked = torch.cat([quantizer.asked(bits_bhwd[..., group]) for group in groups], -1)
    target = bits_bhwd[..., places].to(logits.dtype)
    return F.binary_cross_entropy_with_logits(logits[..., places], target, weight=asked.to(logits.dtype))


def scale_losses(
    prior: Prior,
    tokenizer: Tokenizer,
    batch: Batch,
    flip: list[float] | None = None,
    choose: Choice | None = None,
    only: Sequence[int] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """(nats per bit of each scale with the context head if there is one, the same of the trunk alone, if it says any).

    `only`: scales of integers to look at, None for all.

    `choose` as in the quantizer. A prior learns from nearest integers, whatever an encoder makes of what it says: one
    that learns from its own choices ends up expecting the same few everywhere (dev/LOG.md).
    """
    quantizer, schedule = tokenizer.quantizer, batch.schedule
    bits, inputs, symbols = tokenize(tokenizer, batch, flip, choose)
    steps = [quantizer.step(scale, schedule) or 0.0 for scale in range(len(schedule))]
    trunk, full = prior(inputs, bits, symbols, schedule, batch.text, batch.grid, steps, only)

    def losses(logits: list[Tensor]) -> list[Tensor]:
        scales = range(len(schedule)) if only is None else only
        return [
            bit_losses(own, bits[scale], quantizer, scale, schedule)
            for own, scale in zip(logits, scales, strict=bool(logits))
        ]

    return losses(full), losses(trunk)


def scale_weights(quantizer: MultiScaleQuantizer, schedule: Schedule, device: torch.device) -> Tensor:
    """Weights [K] of the scales' mean losses.

    A token weighs sqrt(area of the last scale / area of its own) (ARPC), so a scale as the square root of its
    tokens: fine scales hold the bytes, coarse ones the picture. Signs: of sum 1. Integers say the less the larger their
    step is, so that a scale weighs as a power of it.
    """
    weights = torch.tensor([(h * w) ** 0.5 for h, w in schedule], device=device)
    steps = [quantizer.step(scale, schedule) for scale in range(len(schedule))]
    if None in steps:
        return weights / weights.sum()
    channels = [(places.stop - places.start) / SLOTS for places in quantizer.coded(schedule)]
    return weights / weights[-1] * torch.tensor(steps, device=device) ** EVEN * torch.tensor(channels, device=device)


def bit_sums(schedule: Schedule, coded: Sequence[slice], *losses: list[Tensor]) -> np.ndarray:
    """Raw bits of a picture, then its coded bits by each list of nats per bit of its scales."""
    raw = np.array(raw_bits(schedule, coded))
    return np.array([raw.sum(), *((raw * [v.item() for v in nats]).sum() / np.log(2) for nats in losses)])


def train_prior(
    prior: Prior,
    tokenizer: Tokenizer,
    draw: Callable[[np.random.Generator], Batch],
    held: Callable[[], Iterator[tuple[str, Batch]]],
    folder: Path,
    minutes: float,
    setup: PriorTraining,
) -> dict[str, Tensor]:
    """Train within `minutes`; returns the averaged weights. The tokenizer is frozen.

    `draw`: a batch to train on. `held`: names and batches to validate on; see `validate`.
    """
    tokenizer.requires_grad_(False).eval()
    channels_last(tokenizer)
    if prior.context is not None:
        channels_last(prior.context)
    device = prior.trunk.pos_start.device

    def step(index: int, progress: float) -> tuple[Tensor, Metrics]:
        rng = np.random.default_rng((index, 2))
        batch = draw(rng)
        if batch.text is not None:
            dropped = torch.from_numpy(rng.random(len(batch.x)) < setup.text_drop).to(device)
            batch = batch._replace(text=prior.trunk.text.dropped(batch.text, dropped))
        flip = None
        if rng.random() < setup.flip_share:
            flip = [float(rng.choice(setup.flip_rates)) for _ in batch.schedule]
        weights = scale_weights(tokenizer.quantizer, batch.schedule, device)
        only = None
        if setup.shown and prior.config.groups:
            # The last scales are most of the work and much alike: some of them, of more crops, teach more.
            repeats = tokenizer.config.repeats
            smaller = len(batch.schedule) - repeats
            drawn = smaller + rng.permutation(repeats)[: setup.shown]
            only = [*range(smaller), *sorted(drawn.tolist())]
            weights[smaller:] *= repeats / setup.shown
            weights = weights[only]
        full, trunk = scale_losses(prior, tokenizer, batch, flip, only=only)
        coded = loss = (weights * torch.stack(full)).sum()
        sides = sorted(batch.x.shape[-2:])
        name = f"bits_{sides[0]}x{sides[1]}" + ("_flip" if flip else "")
        metrics = {name: coded.item() / np.log(2)}
        if trunk:
            alone = (weights * torch.stack(trunk)).sum()
            loss = coded + setup.trunk_weight * alone
            metrics[name + "_trunk"] = alone.item() / np.log(2)
        return loss, metrics

    config = LoopConfig(
        minutes=minutes,
        lr=setup.lr,
        weight_decay=setup.weight_decay,
        beta2=setup.beta2,
        muon=setup.muon,
        save_minutes=setup.save_minutes,
    )
    return run(prior, step, folder, config, validate=lambda m: validate(m, tokenizer, held()), rates=RATES).state


@torch.no_grad()
def validate(prior: nn.Module, tokenizer: Tokenizer, held: Iterator[tuple[str, Batch]]) -> Metrics:
    """Coded bits / raw active bits per name of the held-out batches, with and without the context head."""
    assert isinstance(prior, Prior)
    sums: dict[str, np.ndarray] = {}
    for name, batch in held:
        losses = scale_losses(prior, tokenizer, batch)
        coded = tokenizer.quantizer.coded(batch.schedule)
        found = bit_sums(batch.schedule, coded, *(nats for nats in losses if nats))
        sums[name] = sums.get(name, 0) + len(batch.x) * found
    result = {f"{name}_ratio": full / raw for name, (raw, full, *_) in sums.items()}
    return result | {f"{name}_trunk": trunk / raw for name, (raw, _, *alone) in sums.items() for trunk in alone}


def crop_batches(
    train: Photos, crops: CropMix, tokenizer: Tokenizer, device: torch.device
) -> Callable[[np.random.Generator], Batch]:
    """A function that draws a batch of crops of photographs; as `CropSampler`."""
    sampler = CropSampler(train, crops, device)
    return lambda rng: Batch.plain(sampler.draw(rng), tokenizer)


def held_photos(held: Photos, tokenizer: Tokenizer, device: torch.device) -> Iterator[tuple[str, Batch]]:
    """The corners of a few pictures, of 768x512 and 512x384."""
    for height, width in ((512, 768), (384, 512)):
        pictures = [p if p.shape[1] >= p.shape[0] else np.rot90(p) for p in held.pictures]
        chosen = [p[:height, :width] for p in pictures if p.shape[0] >= height and p.shape[1] >= width][:VALIDATED]
        for picture in chosen:
            yield f"val_{width}", Batch.plain(to_tensor([np.ascontiguousarray(picture)], device), tokenizer)
